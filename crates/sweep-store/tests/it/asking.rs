//! What readers and queries answer after events are recorded.

use std::collections::BTreeMap;

use sweep_protocol::{
    Epochs, Event, ExperimentRows, Form, MeasurementRow, Metric, ResultsLayout, RunId, SeriesKey, Split, Status,
};
use sweep_store::{Reader, RunHistory, StoreError};

use crate::fixture::{CONFIGS, Said, ask, half_done, ids, lay_out, measured, of_images, plan, started, write_attempt};

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
async fn run_rows_come_in_the_requested_order_and_runs_that_were_not_started_are_queued() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await;
    let [first, second] = ids();
    let rows = Reader::open(&layout).await.unwrap().run_rows(&[second, RunId::of("{}", 9), first]).unwrap();
    assert_eq!(rows.iter().map(|row| row.run).collect::<Vec<_>>(), [second, RunId::of("{}", 9), first]);
    for row in &rows[..2] {
        assert_eq!((row.status, row.attempts, row.checkpoint_step), (Status::Queued, 0, 0));
    }
    assert_eq!((rows[2].status, rows[2].attempts, rows[2].checkpoint_step), (Status::Succeeded, 1, 10));
    assert_eq!((rows[2].trainer_version, rows[2].data_fingerprint.as_deref()), (Some(3), Some("f00d")));
}

#[tokio::test]
async fn experiment_rows_hold_the_plan_and_sorted_measurements_with_and_without_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await.close().await.unwrap();
    let mut reader = Reader::open(&layout).await.unwrap();
    let rows = reader.experiment_rows("groups", "default").await.unwrap().unwrap();
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
    assert!(reader.experiment_rows("groups", "paper").await.unwrap().is_none());
    let predicted: Vec<_> = rows.predictions.iter().map(|row| (row.run, row.predictions.accuracy())).collect();
    assert_eq!(predicted, [(ids()[0], 0.5)]);
    let values = reader.experiment_rows_of("groups", "default", |_| Epochs::All).await.unwrap().unwrap();
    assert_eq!(values, ExperimentRows { predictions: Vec::new(), ..rows.clone() });

    // Part of the values: the last one of each series, and all of the loss.
    let wanted = |(metric, ..): SeriesKey| if metric == Metric::Loss { Epochs::All } else { Epochs::Last };
    let series = |row: &MeasurementRow| {
        let m = row.measurement;
        (row.run, m.metric, m.split, m.form)
    };
    let of_series = rows.measurements.chunk_by(|a, b| series(a) == series(b));
    let last = |values: &[MeasurementRow]| values[values.len() - 1];
    let expected_last: Vec<MeasurementRow> = of_series.clone().map(last).collect();
    let expected: Vec<MeasurementRow> = of_series
        .flat_map(
            |values| if values[0].measurement.metric == Metric::Loss { values } else { &values[values.len() - 1..] },
        )
        .copied()
        .collect();
    let part = async |reader: &mut Reader| {
        let choose = |last: &ExperimentRows| {
            assert_eq!(last.measurements, expected_last);
            Ok::<_, StoreError>(wanted)
        };
        let chosen = reader.chosen_rows(plan("groups"), choose).await.unwrap();
        assert_eq!(chosen, ExperimentRows { measurements: expected.clone(), ..rows.clone() });
        assert_eq!(reader.value_count(&ids()).unwrap(), rows.measurements.len() as u64);
    };
    part(&mut reader).await;
    std::fs::remove_file(layout.database()).unwrap();
    part(&mut Reader::open(&layout).await.unwrap()).await;
    let read = Reader::open(&layout).await.unwrap().experiment_rows("groups", "default").await.unwrap().unwrap();
    assert_eq!(read, rows);
}

#[tokio::test]
async fn experiments_are_counted_by_status() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await;
    let mut empty = plan("empty");
    empty.runs.clear();
    let path = layout.plan("empty", "default");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, serde_json::to_vec(&empty).unwrap()).unwrap();
    let listed = Reader::open(&layout).await.unwrap().experiments().unwrap();
    assert_eq!(listed.iter().map(|e| e.experiment.as_str()).collect::<Vec<_>>(), ["empty", "groups"]);
    assert!(listed[0].counts.is_empty());
    assert_eq!(listed[1].counts, BTreeMap::from([(Status::Queued, 1), (Status::Succeeded, 1)]));
}

#[tokio::test]
async fn runs_are_found_by_the_start_of_their_id() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    half_done(&layout).await;
    let [first, _] = ids();
    let mut reader = Reader::open(&layout).await.unwrap();
    assert_eq!(reader.find_runs(&first.short().to_uppercase()), [first]);
    assert_eq!(reader.find_runs("").len(), 2);
    assert!(reader.find_runs("%").is_empty());
}

#[tokio::test]
async fn the_status_of_a_run_is_that_of_its_latest_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    let [run, _] = ids();
    let said = Said { run, attempt: 1, events: vec![started(1, 0)], tail: "", closed: None };
    write_attempt(&layout, &said);
    let mut reader = Reader::open(&layout).await.unwrap();
    assert_eq!(reader.run_rows(&[run]).unwrap()[0].status, Status::Running);
    std::fs::remove_dir_all(layout.run(run).attempts()).unwrap();
    write_attempt(&layout, &Said { closed: Some(Status::Cancelled), ..said.clone() });
    write_attempt(&layout, &Said { attempt: 2, events: vec![], ..said });
    let RunHistory { row, attempts, .. } = reader.run(run).unwrap();
    assert_eq!((row.status, row.message, row.attempts), (Status::Running, None, 2));
    assert_eq!(row.trainer_version, Some(1), "the second attempt has not reported its own yet");
    assert_eq!((attempts[0].status, attempts[0].message.as_deref()), (Status::Cancelled, Some("why")));
    assert!(attempts[0].started_at_ms <= attempts[0].ended_at_ms && attempts[0].ended_at_ms.is_some());
    assert_eq!((attempts[1].slot, attempts[1].host.as_deref()), (Some(1), None));
}

#[tokio::test]
async fn a_value_that_was_measured_again_comes_from_the_later_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    let [run, _] = ids();
    for (attempt, value) in [(1, 1.0), (2, 2.0)] {
        let events = vec![measured(vec![of_images(Metric::Loss, Split::Train, Form::Training, 1, value)])];
        write_attempt(&layout, &Said { run, attempt, events, tail: "", closed: Some(Status::Cancelled) });
    }
    let rows = Reader::open(&layout).await.unwrap().experiment_rows("groups", "default").await.unwrap().unwrap();
    assert_eq!(rows.measurements.iter().map(|row| row.measurement.value).collect::<Vec<_>>(), [2.0]);
}

#[tokio::test]
async fn values_of_an_older_trainer_version_are_not_mixed_with_those_of_the_latest() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    let [run, _] = ids();
    let loss = |epoch, value| measured(vec![of_images(Metric::Loss, Split::Train, Form::Training, epoch, value)]);
    for (attempt, version, events) in [(1, 3, vec![loss(1, 1.0), loss(2, 0.5)]), (2, 4, vec![loss(1, 2.0)])] {
        let events = [vec![started(version, 0)], events].concat();
        write_attempt(&layout, &Said { run, attempt, events, tail: "", closed: Some(Status::Cancelled) });
    }
    let values = Reader::open(&layout).await.unwrap().run(run).unwrap().measurements;
    assert_eq!(values.iter().map(|m| (m.epoch, m.value)).collect::<Vec<_>>(), [(Some(1), 2.0)]);
}

#[tokio::test]
async fn values_of_another_arithmetic_are_not_mixed_with_those_of_the_latest_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    lay_out(&layout);
    let [run, _] = ids();
    let loss = |epoch, value| measured(vec![of_images(Metric::Loss, Split::Train, Form::Training, epoch, value)]);
    for (attempt, kernels, events) in [(1, "plain", vec![loss(1, 1.0), loss(2, 0.5)]), (2, "avx2", vec![loss(1, 2.0)])]
    {
        let mut start = started(3, 0);
        if let Event::Started { environment, .. } = &mut start {
            environment.arithmetic = Some(format!("cpu {kernels} candle-1+kernels-1").parse().unwrap());
        }
        let events = [vec![start], events].concat();
        write_attempt(&layout, &Said { run, attempt, events, tail: "", closed: Some(Status::Cancelled) });
    }
    let values = Reader::open(&layout).await.unwrap().run(run).unwrap().measurements;
    assert_eq!(values.iter().map(|m| (m.epoch, m.value)).collect::<Vec<_>>(), [(Some(1), 2.0)]);
}

#[tokio::test]
async fn a_smaller_plan_removes_runs_that_were_never_attempted() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ResultsLayout::new(folder.path());
    let mut store = half_done(&layout).await;
    let [first, _] = ids();
    let mut smaller = plan("groups");
    smaller.runs.clear();
    store.record_plan(&smaller, &BTreeMap::new()).await.unwrap();
    let left = ask(&layout.database(), "SELECT run_id FROM run").await;
    assert_eq!(left, [format!("run_id={first}")], "runs with measurements stay");
    assert!(ask(&layout.database(), "SELECT * FROM coordinate").await.is_empty());
}

#[tokio::test]
async fn journals_of_unknown_runs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = half_done(&ResultsLayout::new(folder.path())).await;
    let stranger = RunId::of(CONFIGS[0], 1);
    assert!(matches!(store.apply_journal(stranger, 1, &[]).await, Err(StoreError::UnknownRun { .. })));
}
