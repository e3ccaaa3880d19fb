//! Which index files are opened, which are made again, and which are refused and left unchanged.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use sweep_protocol::{
    Event, Form, JournalReader, JournalWriter, Metric, ResultsLayout, Split, Status, SupervisorEvent, Tally,
};
use sweep_store::{Damage, Reader, Store, StoreError};

use crate::fixture::{ask, closed, half_done, ids, launched, lay_out, measured, of_images, started};

async fn execute(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Returns the status of the first run from a reader, and the damage that the reader found.
async fn first_status(layout: &ResultsLayout) -> (Status, Vec<Damage>) {
    let mut reader = Reader::open(layout).await.unwrap();
    (reader.run_rows(&ids()).unwrap()[0].status, reader.take_damage())
}

#[tokio::test]
async fn a_new_index_is_in_wal_mode_and_is_opened_again_with_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await.close().await.unwrap();
    assert_eq!(ask(&layout.database(), "PRAGMA journal_mode").await, ["journal_mode=wal"]);
    let before = fs::read(layout.database()).unwrap();
    assert!(Store::open(&layout).await.unwrap().1.is_empty());
    assert_eq!(fs::read(layout.database()).unwrap(), before);
}

#[tokio::test]
async fn a_reader_needs_no_index_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path().join("results"));
    assert!(Reader::open(&layout).await.unwrap().experiments().unwrap().is_empty());
    assert!(!layout.root().exists());
    half_done(&ResultsLayout::new(folder.path())).await.close().await.unwrap();
    let layout = ResultsLayout::new(folder.path());
    fs::remove_file(layout.database()).unwrap();
    assert_eq!(first_status(&layout).await.0, Status::Succeeded);
    assert!(!layout.database().exists());
}

#[tokio::test]
async fn remains_of_an_index_after_a_crash_are_replaced_and_mislead_no_reader() {
    let no_database = "not a database, but long enough to have a header of one hundred bytes".repeat(4);
    for (name, content) in [
        ("metrics.sqlite", ""),
        ("metrics.sqlite", no_database.as_str()),
        ("metrics.sqlite-rebuild", "half made"),
        ("metrics.sqlite-rebuild-journal", "half made"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let layout = ResultsLayout::new(folder.path());
        half_done(&layout).await.close().await.unwrap();
        fs::write(layout.root().join(name), content).unwrap();
        assert_eq!(first_status(&layout).await.0, Status::Succeeded, "{name}");
        let (store, damage) = Store::open(&layout).await.unwrap();
        store.close().await.unwrap();
        assert_eq!(damage.len(), usize::from(!name.contains("rebuild")), "{name}: {damage:?}");
        let aside = layout.root().join("metrics.sqlite.damaged-1");
        assert_eq!(aside.exists(), content == no_database, "a file that is not an index is moved aside");
        assert!(first_status(&layout).await.1.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn an_index_of_an_older_version_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await.close().await.unwrap();
    execute(&layout.database(), "PRAGMA user_version = 2; DROP VIEW run_summary").await;
    assert_eq!(first_status(&layout).await.0, Status::Succeeded);
    let (store, damage) = Store::open(&layout).await.unwrap();
    store.close().await.unwrap();
    assert!(damage[0].to_string().contains("schema version 2"), "{damage:?}");
    assert_eq!(ask(&layout.database(), "SELECT count(*) AS n FROM run_summary").await, ["n=2"]);
}

#[tokio::test]
async fn a_pipe_or_folder_in_the_place_of_the_index_is_moved_aside() {
    for make in ["mkfifo", "mkdir"] {
        let folder = tempfile::tempdir().unwrap();
        let layout = ResultsLayout::new(folder.path());
        half_done(&layout).await.close().await.unwrap();
        fs::remove_file(layout.database()).unwrap();
        let made = std::process::Command::new(make).arg(layout.database()).status().unwrap();
        assert!(made.success());
        let (_, damage) = first_status(&layout).await;
        assert!(damage[0].to_string().contains("not a regular file"), "{damage:?}");
        Store::open(&layout).await.unwrap().0.close().await.unwrap();
        assert!(layout.database().is_file() && folder.path().join("metrics.sqlite.damaged-1").exists());
    }
}

#[tokio::test]
async fn an_index_of_a_newer_version_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let path = layout.database();
    half_done(&layout).await.close().await.unwrap();
    execute(&path, "PRAGMA user_version = 99").await;
    let before = fs::read(&path).unwrap();
    for opened in [Store::open(&layout).await.map(drop), Reader::open(&layout).await.map(drop)] {
        let fault = opened.unwrap_err();
        assert!(matches!(fault, StoreError::Version { found: 99, expected: 6, .. }), "{fault:?}");
        let text = fault.to_string();
        assert!(text.contains("metrics.sqlite") && text.contains("99") && text.contains("rebuild"), "{text}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    execute(&layout.database(), "CREATE TABLE theirs (x)").await;
    let before = fs::read(layout.database()).unwrap();
    assert!(matches!(Store::open(&layout).await, Err(StoreError::Foreign { found: 0, .. })));
    assert!(matches!(Store::rebuild(&layout).await, Err(StoreError::Foreign { .. })));
    assert_eq!(fs::read(layout.database()).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_readers_read_while_the_writer_writes() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    let (mut store, _) = Store::open(&layout).await.unwrap();
    let [run, _] = ids();
    let attempt = layout.run(run).attempt(1);
    fs::create_dir_all(attempt.root()).unwrap();
    let written = Arc::new(AtomicBool::new(false));
    let reader = |_| {
        let (layout, written) = (layout.clone(), Arc::clone(&written));
        tokio::spawn(async move {
            let mut seen = 0;
            while !written.load(Ordering::Relaxed) {
                let mut reader = Reader::open(&layout).await.unwrap();
                let rows = reader.experiment_rows("groups", "default").await.unwrap().unwrap();
                assert!(rows.measurements.len() >= seen, "a reader saw fewer values than before");
                seen = rows.measurements.len();
                assert!(reader.take_damage().is_empty());
            }
        })
    };
    let readers: Vec<_> = (0..16).map(reader).collect();
    let mut supervisor = JournalWriter::open(&attempt.supervisor()).unwrap();
    let mut told = JournalReader::<SupervisorEvent>::new(&attempt.supervisor());
    supervisor.append_without_sync(launched()).unwrap();
    store.apply_supervisor(run, 1, &told.read_new().unwrap().lines).await.unwrap();
    let mut journal = JournalWriter::open(&attempt.journal()).unwrap();
    let mut said = JournalReader::<Event>::new(&attempt.journal());
    journal.append_without_sync(started(1, 0)).unwrap();
    for epoch in 1..=100 {
        let loss = of_images(Metric::Loss, Split::Train, Form::Training, epoch, 1.0 / f64::from(epoch));
        journal.append_without_sync(measured(vec![loss])).unwrap();
        store.apply_journal(run, 1, &said.read_new().unwrap().lines).await.unwrap();
    }
    supervisor.append_without_sync(closed(Status::Cancelled, said.next_seq(), Tally::default())).unwrap();
    store.apply_supervisor(run, 1, &told.read_new().unwrap().lines).await.unwrap();
    written.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}
