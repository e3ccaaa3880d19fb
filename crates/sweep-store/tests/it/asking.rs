//! What is applied, and what the index answers then.

use std::collections::BTreeMap;

use sweep_protocol::{Form, Metric, ResultsLayout, RunId, Split, Status};
use sweep_store::{Store, StoreError};

use crate::fixture::{
    CONFIGS, ask, closed, configs, dump, ids, launched, lines, measured, of_images, plan, planned, started, whole_run,
};

/// An index in which the first run succeeded at its first attempt and the second one has not begun.
async fn half_done(layout: &ResultsLayout) -> Store {
    let mut store = planned(layout).await;
    let [run, _] = ids();
    store.apply_supervisor(run, 1, &lines(vec![launched()])).await.unwrap();
    store.apply_journal(run, 1, &lines(whole_run())).await.unwrap();
    store.apply_supervisor(run, 1, &lines(vec![launched(), closed(Status::Succeeded)])).await.unwrap();
    store
}

#[tokio::test]
async fn the_summary_has_a_row_for_each_run_with_its_final_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await;
    let [first, second] = ids();
    let rows = ask(&layout.database(), "SELECT * FROM run_summary").await;
    assert_eq!(
        rows[0],
        format!(
            "experiment=groups profile=default short_id={} status=succeeded message=- coordinates=groups=1 partition=8 \
             seed=0 attempts=1 accuracy=0.5 accuracy_training_form=0.5 loss=1.5 top5_accuracy=- \
             verification_accuracy=- identification_accuracy=- mean_iou=- params=100 flops=1000 flops_all=1001 \
             throughput=80 throughput_training_form=40 max_abs_diff=0.000001 top1_agreement=1 epochs=2 train_time_s=3 \
             data_wait_s=- run_id={first}",
            first.short()
        )
    );
    assert!(rows[1].contains("status=queued") && rows[1].ends_with(&second.to_string()), "{}", rows[1]);
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn the_learning_curve_has_a_row_for_each_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await;
    let curve =
        "SELECT epoch, train_loss, validation_loss, test_loss, train_accuracy, test_accuracy FROM learning_curve";
    assert_eq!(
        ask(&layout.database(), curve).await,
        [
            "epoch=1 train_loss=2 validation_loss=2.5 test_loss=3 train_accuracy=- test_accuracy=0.25",
            "epoch=2 train_loss=1 validation_loss=1.25 test_loss=1.5 train_accuracy=- test_accuracy=0.5",
        ]
    );
}

#[tokio::test]
async fn run_rows_come_in_the_order_asked_for_and_leave_out_the_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = half_done(&ResultsLayout::new(folder.path())).await;
    let [first, second] = ids();
    let rows = store.run_rows(&[second, RunId::of("{}", 9), first]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.run).collect::<Vec<_>>(), [second, first]);
    assert_eq!((rows[0].status, rows[0].attempts, rows[0].checkpoint_step), (Status::Queued, 0, 0));
    assert_eq!((rows[1].status, rows[1].attempts, rows[1].checkpoint_step), (Status::Succeeded, 1, 10));
    assert_eq!((rows[1].trainer_version, rows[1].data_fingerprint.as_deref()), (Some(3), Some("f00d")));
}

#[tokio::test]
async fn experiment_rows_hold_the_plan_and_sorted_measurements() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = half_done(&ResultsLayout::new(folder.path())).await;
    let rows = store.experiment_rows("groups", "default").await.unwrap().unwrap();
    assert_eq!(rows.plan, plan("groups"));
    assert_eq!(rows.runs.iter().map(|row| row.run).collect::<Vec<_>>(), ids());
    let losses: Vec<_> = rows
        .measurements
        .iter()
        .map(|row| row.measurement)
        .take_while(|measurement| measurement.metric == Metric::Loss)
        .map(|m| (m.split, m.form, m.epoch))
        .collect();
    assert_eq!(losses.len(), 7, "{losses:?}");
    assert!(losses.is_sorted(), "{losses:?}");
    assert!(store.experiment_rows("groups", "paper").await.unwrap().is_none());
}

#[tokio::test]
async fn experiments_are_counted_by_status() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = half_done(&ResultsLayout::new(folder.path())).await;
    let mut empty = plan("empty");
    empty.runs.clear();
    store.record_plan(&empty, &BTreeMap::new()).await.unwrap();
    let listed = store.experiments().await.unwrap();
    assert_eq!(listed.iter().map(|e| e.experiment.as_str()).collect::<Vec<_>>(), ["empty", "groups"]);
    assert!(listed[0].counts.is_empty());
    assert_eq!(listed[1].counts, BTreeMap::from([(Status::Queued, 1), (Status::Succeeded, 1)]));
}

#[tokio::test]
async fn runs_are_found_by_the_start_of_their_id() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = half_done(&ResultsLayout::new(folder.path())).await;
    let [first, _] = ids();
    assert_eq!(store.find_runs(&first.short().to_uppercase()).await.unwrap(), [first]);
    assert_eq!(store.find_runs("").await.unwrap().len(), 2);
    assert!(store.find_runs("%").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_stands_where_its_latest_attempt_stands() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = planned(&ResultsLayout::new(folder.path())).await;
    let [run, _] = ids();
    store.apply_journal(run, 1, &lines(vec![started(1, 0)])).await.unwrap();
    assert_eq!(store.run_rows(&[run]).await.unwrap()[0].status, Status::Running);
    store.apply_supervisor(run, 1, &lines(vec![launched(), closed(Status::Cancelled)])).await.unwrap();
    store.apply_supervisor(run, 2, &lines(vec![launched()])).await.unwrap();
    let row = store.run_rows(&[run]).await.unwrap().remove(0);
    assert_eq!((row.status, row.message, row.attempts), (Status::Running, None, 2));
    assert_eq!(row.trainer_version, Some(1), "the second attempt has not said its own yet");

    let attempts = store.attempts(run).await.unwrap();
    assert_eq!((attempts[0].status, attempts[0].message.as_deref()), (Status::Cancelled, Some("why")));
    assert_eq!((attempts[0].started_at_ms, attempts[0].ended_at_ms), (Some(1000), Some(1001)));
    assert_eq!((attempts[1].slot, attempts[1].host.as_deref()), (Some(1), None));
}

#[tokio::test]
async fn a_value_measured_again_is_the_later_attempts_in_whatever_order_they_are_applied() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = planned(&ResultsLayout::new(folder.path())).await;
    let [run, _] = ids();
    let loss = |value| measured(vec![of_images(Metric::Loss, Split::Train, Form::Training, 1, value)]);
    store.apply_journal(run, 2, &lines(vec![loss(2.0)])).await.unwrap();
    store.apply_journal(run, 1, &lines(vec![loss(1.0)])).await.unwrap();
    let rows = store.experiment_rows("groups", "default").await.unwrap().unwrap();
    assert_eq!(rows.measurements.iter().map(|row| row.measurement.value).collect::<Vec<_>>(), [2.0]);
}

#[tokio::test]
async fn applying_everything_twice_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let mut store = half_done(&layout).await;
    let before = dump(&layout.database()).await;
    let [run, _] = ids();
    store.record_plan(&plan("groups"), &configs()).await.unwrap();
    store.apply_journal(run, 1, &lines(whole_run())).await.unwrap();
    store.apply_supervisor(run, 1, &lines(vec![launched(), closed(Status::Succeeded)])).await.unwrap();
    assert_eq!(dump(&layout.database()).await, before);
}

#[tokio::test]
async fn a_smaller_plan_forgets_runs_that_were_never_attempted() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let mut store = half_done(&layout).await;
    let [first, _] = ids();
    let mut smaller = plan("groups");
    smaller.runs.clear();
    store.record_plan(&smaller, &configs()).await.unwrap();
    assert_eq!(store.find_runs("").await.unwrap(), [first], "what was measured stays");
    assert!(ask(&layout.database(), "SELECT * FROM coordinate").await.is_empty());
}

#[tokio::test]
async fn journals_of_unknown_runs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = planned(&ResultsLayout::new(folder.path())).await;
    let stranger = RunId::of(CONFIGS[0], 1);
    let applied = store.apply_journal(stranger, 1, &lines(vec![started(1, 0)])).await;
    assert!(matches!(applied, Err(StoreError::Sql { .. })), "{applied:?}");
    assert_eq!(store.find_runs("").await.unwrap().len(), 2);
}
