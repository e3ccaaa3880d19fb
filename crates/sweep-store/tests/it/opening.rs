//! Which files are opened, and which are refused untouched.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use sweep_protocol::{Form, Metric, ResultsLayout, Split, Status};
use sweep_store::{Store, StoreError};

use crate::fixture::{ask, closed, ids, launched, lines, measured, of_images, planned, started};

async fn execute(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_new_index_is_in_wal_mode_and_is_opened_again_with_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    planned(&layout).await.close().await.unwrap();
    assert_eq!(ask(&layout.database(), "PRAGMA journal_mode").await, ["journal_mode=wal"]);
    let mut store = Store::open(&layout.database()).await.unwrap();
    assert_eq!(store.experiments().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_empty_file_left_by_a_crash_is_no_index_yet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.sqlite");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Store::open_read_only(&path).await, Err(StoreError::Missing { .. })));
    Store::open(&path).await.unwrap().close().await.unwrap();
    Store::open_read_only(&path).await.unwrap();
}

#[tokio::test]
async fn a_reader_finds_nothing_where_nothing_is_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.sqlite");
    assert!(matches!(Store::open_read_only(&path).await, Err(StoreError::Missing { .. })));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    planned(&layout).await.close().await.unwrap();
    let mut reader = Store::open_read_only(&layout.database()).await.unwrap();
    let written = reader.apply_supervisor(ids()[0], 1, &lines(vec![launched()])).await;
    assert!(matches!(written, Err(StoreError::Sql { .. })), "{written:?}");
}

#[tokio::test]
async fn an_index_of_a_newer_version_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let path = layout.database();
    planned(&layout).await.close().await.unwrap();
    execute(&path, "PRAGMA user_version = 99").await;
    let before = std::fs::read(&path).unwrap();
    for opened in [Store::open(&path).await, Store::open_read_only(&path).await] {
        let fault = opened.unwrap_err();
        assert!(matches!(fault, StoreError::Version { found: 99, expected: 2, .. }), "{fault:?}");
        let text = fault.to_string();
        assert!(text.contains("metrics.sqlite") && text.contains("99") && text.contains("rebuild"), "{text}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.sqlite");
    execute(&path, "CREATE TABLE theirs (x)").await;
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(&path).await, Err(StoreError::Foreign { found: 0, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.sqlite");
    std::fs::write(&path, "not a database, but long enough to have a header of one hundred bytes".repeat(4)).unwrap();
    let fault = Store::open(&path).await.unwrap_err().to_string();
    assert!(fault.contains("metrics.sqlite"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_readers_read_while_the_writer_writes() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let mut store = planned(&layout).await;
    let [run, _] = ids();
    let written = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..16)
        .map(|_| {
            let (path, written) = (layout.database(), Arc::clone(&written));
            tokio::spawn(async move {
                let mut seen = 0;
                while !written.load(Ordering::Relaxed) {
                    let mut store = Store::open_read_only(&path).await.unwrap();
                    let rows = store.experiment_rows("groups", "default").await.unwrap().unwrap();
                    assert!(rows.measurements.len() >= seen, "a reader went back in time");
                    seen = rows.measurements.len();
                    store.close().await.unwrap();
                }
            })
        })
        .collect();
    let events = (1..=100).map(|epoch| {
        measured(vec![of_images(Metric::Loss, Split::Train, Form::Training, epoch, 1.0 / f64::from(epoch))])
    });
    let journal = lines([started(1, 0)].into_iter().chain(events).collect());
    for batch in journal.chunks(3) {
        store.apply_journal(run, 1, batch).await.unwrap();
    }
    store.apply_supervisor(run, 1, &lines(vec![launched(), closed(Status::Succeeded)])).await.unwrap();
    written.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}
