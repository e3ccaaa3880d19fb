//! Test data: a plan of two runs, events of attempts, and the content of an index as text.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Column, ConnectOptions, Row, TypeInfo, ValueRef};
use sweep_protocol::{
    AttemptName, AxisRecord, Coordinates, Environment, Event, Form, JournalWriter, Measurement, Metric, Outcome,
    PlanRecord, PlannedRunRecord, Predictions, ResultsLayout, RunId, Split, Status, SupervisorEvent, Tally,
};
use sweep_store::Store;

pub(crate) const CONFIGS: [&str; 2] = [r#"{"groups":1}"#, r#"{"groups":2}"#];

pub(crate) fn ids() -> [RunId; 2] {
    CONFIGS.map(|config| RunId::of(config, 0))
}

pub(crate) fn plan(experiment: &str) -> PlanRecord {
    let at = |label: &str| Coordinates(vec![("groups".into(), label.into()), ("partition".into(), "8".into())]);
    PlanRecord {
        experiment: experiment.into(),
        profile: "default".into(),
        question: "what do groups cost?".into(),
        axes: vec![AxisRecord { name: "groups".into(), labels: vec!["1".into(), "2".into()] }],
        baseline: Coordinates::default(),
        runs: std::iter::zip(ids(), ["1", "2"])
            .map(|(run, label)| PlannedRunRecord {
                run,
                seed: 0,
                coordinates: at(label),
                networks: BTreeMap::new(),
                work: None,
            })
            .collect(),
        exclusions: Vec::new(),
        metrics: Vec::new(),
        commands: false,
        scale: None,
        source: None,
        claims: BTreeMap::new(),
    }
}

/// Writes the plan and the configurations of its runs where a scheduler puts them.
pub(crate) fn lay_out(layout: &ResultsLayout) {
    let path = layout.plan("groups", "default");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_vec(&plan("groups")).unwrap()).unwrap();
    for (run, config) in std::iter::zip(ids(), CONFIGS) {
        fs::create_dir_all(layout.run(run).root()).unwrap();
        fs::write(layout.run(run).config(), format!(r#"{{"config":{config},"seed":0}}"#)).unwrap();
    }
}

/// Everything that is written into the journals of one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
    pub(crate) events: Vec<Event>,
    /// The beginning of a line that it did not finish.
    pub(crate) tail: &'static str,
    pub(crate) closed: Option<Status>,
}

/// Returns a first attempt that succeeded.
pub(crate) fn whole(run: RunId) -> Said {
    Said { run, attempt: 1, events: whole_run(), tail: "", closed: Some(Status::Succeeded) }
}

/// Writes the two journals of an attempt.
pub(crate) fn write_attempt(layout: &ResultsLayout, said: &Said) {
    let folder = layout.run(said.run).attempt(said.attempt);
    fs::create_dir_all(folder.root()).unwrap();
    let mut journal = JournalWriter::open(&folder.journal()).unwrap();
    for event in &said.events {
        journal.append_without_sync(event.clone()).unwrap();
    }
    let all = said.events.iter().filter_map(|event| match event {
        Event::Measured { measurements } => Some(measurements),
        _ => None,
    });
    let measured = Tally::of(all.flatten());
    fs::OpenOptions::new().append(true).open(folder.journal()).unwrap().write_all(said.tail.as_bytes()).unwrap();
    let mut supervisor = JournalWriter::open(&folder.supervisor()).unwrap();
    let of = Some(AttemptName { run: said.run, attempt: said.attempt });
    supervisor.append_without_sync(SupervisorEvent::Launched { pid: 7, slot: 1, process: None, of }).unwrap();
    if let Some(status) = said.closed {
        supervisor.append_without_sync(closed(status, said.events.len() as u64, measured)).unwrap();
    }
}

/// Makes a results folder with its index. The first run succeeded at its first attempt, and the second has not begun.
pub(crate) async fn half_done(layout: &ResultsLayout) -> Store {
    lay_out(layout);
    write_attempt(layout, &whole(ids()[0]));
    let (store, damage) = Store::open(layout).await.unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    store
}

pub(crate) fn started(trainer_version: u32, resumed_at_step: u64) -> Event {
    Event::Started {
        environment: Environment {
            trainer_version,
            code: "0.0.0 abc".into(),
            device: "cpu".into(),
            threads: 2,
            host: "here".into(),
            arithmetic: Some("cpu avx2 candle-1+kernels-1".parse().unwrap()),
            processor: Some("Anon 9000".to_owned()),
            pid: 7,
            data_fingerprint: "f00d".into(),
        },
        epochs: 2,
        steps_per_epoch: 10,
        resumed_at_step,
    }
}

pub(crate) fn of_images(metric: Metric, split: Split, form: Form, epoch: u32, value: f64) -> Measurement {
    Measurement { metric, split: Some(split), form: Some(form), epoch: Some(epoch), value }
}

pub(crate) fn of_form(metric: Metric, form: Form, value: f64) -> Measurement {
    Measurement { metric, split: None, form: Some(form), epoch: None, value }
}

pub(crate) fn measured(measurements: Vec<Measurement>) -> Event {
    Event::Measured { measurements }
}

/// Returns the event of a run that predicted these classes for two test images of the classes 0 and 1.
pub(crate) fn predicted(classes: &[u32; 2]) -> Event {
    let place = (Split::Test, Some(Form::Deployed), Some(2));
    Event::Predicted { predictions: Predictions::new(place, 10, [&[0, 1], classes]).unwrap() }
}

/// Returns all events of a run of two epochs.
pub(crate) fn whole_run() -> Vec<Event> {
    use Form::{Deployed, Training};
    use Metric::{Accuracy, Flops, FlopsAll, Loss, MaxAbsDiff, Params, Throughput, Top1Agreement, TrainTime};
    let epoch = |n: u32| {
        let x = f64::from(n);
        measured(vec![
            of_images(Loss, Split::Train, Training, n, 2.0 / x),
            of_images(Loss, Split::Validation, Training, n, 2.5 / x),
            of_images(Loss, Split::Test, Training, n, 3.0 / x),
            of_images(Accuracy, Split::Test, Training, n, 0.25 * x),
            Measurement { metric: TrainTime, split: None, form: None, epoch: Some(n), value: 1.5 },
        ])
    };
    let mut events = vec![
        started(3, 0),
        Event::Progressed { epoch: 0, step: 1, loss: 2.5 },
        epoch(1),
        Event::Checkpointed { step: 10, file: "checkpoint-10.safetensors".into() },
        epoch(2),
        measured(vec![
            of_images(Accuracy, Split::Test, Deployed, 2, 0.5),
            of_images(Loss, Split::Test, Deployed, 2, 1.5),
            of_form(Params, Training, 120.0),
            of_form(Params, Deployed, 100.0),
            of_form(Flops, Deployed, 1000.0),
            of_form(FlopsAll, Deployed, 1001.0),
            of_form(Throughput, Training, 40.0),
            of_form(Throughput, Deployed, 80.0),
            Measurement { metric: MaxAbsDiff, split: Some(Split::Test), form: None, epoch: None, value: 1e-6 },
            Measurement { metric: Top1Agreement, split: Some(Split::Test), form: None, epoch: None, value: 1.0 },
        ]),
    ];
    events.push(predicted(&[0, 3]));
    let measured = events.iter().filter_map(|event| match event {
        Event::Measured { measurements } => Some(measurements),
        _ => None,
    });
    let measured = Some(Tally::of(measured.flatten()));
    events.push(Event::Ended { outcome: Outcome::Succeeded, measured });
    events
}

pub(crate) fn launched() -> SupervisorEvent {
    SupervisorEvent::Launched { pid: 7, slot: 1, process: None, of: None }
}

pub(crate) fn closed(status: Status, lines: u64, measured: Tally) -> SupervisorEvent {
    let message = (status != Status::Succeeded).then(|| "why".to_owned());
    SupervisorEvent::Closed { status, message, journal_lines: Some(lines), measured: Some(measured) }
}

/// Runs a query on a second connection. Returns each row as `column=value` fields.
pub(crate) async fn ask(path: &Path, sql: &'static str) -> Vec<String> {
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap();
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(render).collect()
}

fn render(row: &SqliteRow) -> String {
    let field = |column: &sqlx::sqlite::SqliteColumn| {
        let at = column.ordinal();
        let raw = row.try_get_raw(at).unwrap();
        let value = match raw.type_info().name() {
            _ if raw.is_null() => "-".to_owned(),
            "INTEGER" => row.get::<i64, _>(at).to_string(),
            "REAL" => row.get::<f64, _>(at).to_string(),
            _ => row.get::<String, _>(at),
        };
        format!("{}={value}", column.name())
    };
    row.columns().iter().map(field).collect::<Vec<_>>().join(" ")
}

/// Returns every row of every table, in an order that does not depend on the order of writing.
pub(crate) async fn dump(path: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    for table in [
        "SELECT 'experiment', * FROM experiment",
        "SELECT 'run', run_id, config, seed, status, message, attempts, trainer_version, arithmetic, processor,
            data_fingerprint, checkpoint_step, stamp, digest, packed_values, predictions_digest FROM run",
        "SELECT 'prediction', run_id, predictions FROM prediction JOIN run USING (run)",
        "SELECT 'experiment_run', * FROM experiment_run",
        "SELECT 'coordinate', * FROM coordinate",
        "SELECT 'attempt', * FROM attempt",
        "SELECT 'measurement', * FROM measurement",
    ] {
        rows.extend(ask(path, table).await);
    }
    rows.sort();
    rows
}
