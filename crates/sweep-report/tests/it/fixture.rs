//! A made-up experiment with 3 seeds: one run failed, one is queued, one point has not started, one is excluded.

use std::collections::BTreeMap;

use sweep_protocol::{
    AxisRecord, Coordinates, ExclusionRecord, ExperimentRows, FailureKind, Form, Machine, Measurement, MeasurementRow,
    Metric, NetworkTimes, PlanRecord, PlannedRunRecord, Predictions, PredictionsRow, RunId, RunRow, SharedThroughput,
    Split, Status, ThroughputRecord,
};
use sweep_report::{Declaration, PaperNumbers, PaperRow, PaperTable};

const EPOCHS: u32 = 8;

/// The declaration of the fixture's report.
pub(crate) const DECLARATION: &str = r#"
title = "Groups of FC3"
note = "Made up for a test."

[[table]]
id = "groups"
title = "What groups cost & save"
rows = ["groups"]
paper = { file = "paper/made-up.toml", rows = { "2" = "M1.b", "4" = "M1.c", "32" = "M1.c" } }

[[table.column]]
metric = "accuracy"
split = "test"
form = "deployed"
delta = true
reference = "top1"

[[table.column]]
metric = "params"
form = "deployed"

[[table.column]]
metric = "throughput"
form = "deployed"
label = "speed"

[[plot]]
id = "accuracy_over_groups"
kind = "line"
axis = "groups"
y = { metric = "accuracy", split = "test", form = "deployed" }

[[plot]]
id = "accuracy_against_params"
kind = "scatter"
label = ["groups"]
x = { metric = "params", form = "deployed" }
y = { metric = "accuracy", split = "test", form = "deployed" }

[[plot]]
id = "speed"
kind = "bars"
axis = "groups"
y = { metric = "throughput", form = "deployed" }

[[plot]]
id = "learning_curves"
kind = "curves"
series = ["groups"]
y = { metric = "accuracy", split = "validation", form = "training" }
"#;

pub(crate) fn declaration() -> Declaration {
    toml::from_str(DECLARATION).unwrap()
}

/// Made-up numbers of a paper.
pub(crate) fn paper() -> PaperNumbers {
    let row = |id: &str, top1: f64| PaperRow {
        id: id.to_owned(),
        name: id.to_owned(),
        model: None,
        form: None,
        values: BTreeMap::from([("top1".to_owned(), top1)]),
    };
    let table = PaperTable {
        id: "M1".to_owned(),
        title: "Made up".to_owned(),
        source: "no paper".to_owned(),
        page: 7,
        note: None,
        columns: vec!["top1".to_owned()],
        rows: vec![row("M1.b", 12.5), row("M1.c", 12.25)],
    };
    PaperNumbers { tables: BTreeMap::from([("paper/made-up.toml".to_owned(), table)]), counts: BTreeMap::new() }
}

/// One axis with the points 1, 2 (the baseline), 4 and 8. The point 16 is excluded.
pub(crate) fn rows() -> ExperimentRows {
    let at = |label: &str| Coordinates(vec![("groups".to_owned(), label.to_owned())]);
    let mut rows = empty("groups", &[("groups", &["1", "2", "4", "8", "16"])]);
    rows.plan.baseline = at("2");
    rows.plan.exclusions =
        vec![ExclusionRecord { coordinates: at("16"), reason: "16 does not divide 8 channels".to_owned() }];
    for (i, label) in ["1", "2", "4", "8"].into_iter().enumerate() {
        for seed in 0..3 {
            let status = match (label, seed) {
                ("4", 2) => Status::Failed(FailureKind::Diverged),
                ("1", 2) | ("8", _) => Status::Queued,
                _ => Status::Succeeded,
            };
            let position = i as f64;
            add(&mut rows, at(label), Sketch { seed, status, size: 2e7 / 2_f64.powf(position), position });
        }
    }
    rows
}

/// Like [`rows`], and the runs that succeeded stored what they predicted for 1000 test images of two classes.
pub(crate) fn predicted_rows() -> ExperimentRows {
    let mut rows = rows();
    for MeasurementRow { run, measurement } in rows
        .measurements
        .iter()
        .filter(|row| row.measurement.metric == Metric::Accuracy && row.measurement.split == Some(Split::Test))
    {
        let hits = (measurement.value * 1000.0).round() as u32;
        let seed = rows.plan.runs.iter().find(|planned| planned.run == *run).unwrap().seed as u32;
        // Each seed fails on other images, so networks disagree on some.
        let predicted: Vec<u32> = (0..1000).map(|image| u32::from((image + 500 * seed) % 1000 >= hits)).collect();
        let place = (Split::Test, Some(Form::Deployed), Some(EPOCHS));
        let predictions = Predictions::new(place, 2, [&[0; 1000], &predicted]).unwrap();
        rows.predictions.push(PredictionsRow { run: *run, predictions });
    }
    rows
}

/// Two axes. All runs have succeeded, and many points lie close together.
pub(crate) fn crowded_rows() -> ExperimentRows {
    let groups = ["1", "2", "4", "8"];
    let perceptrons = ["full", "no-local", "no-global"];
    let mut rows = empty("perceptrons", &[("groups", &groups), ("perceptrons", &perceptrons)]);
    rows.plan.baseline = Coordinates(vec![("perceptrons".to_owned(), "full".to_owned())]);
    for (i, group) in groups.into_iter().enumerate() {
        for (j, perceptron) in perceptrons.into_iter().enumerate() {
            let coordinates = Coordinates(vec![
                ("groups".to_owned(), group.to_owned()),
                ("perceptrons".to_owned(), perceptron.to_owned()),
            ]);
            for seed in 0..6 {
                let position = i as f64 + 1.7 * j as f64;
                let size = 2e7 / 2_f64.powf(i as f64) - 3e5 * j as f64;
                add(&mut rows, coordinates.clone(), Sketch { seed, status: Status::Succeeded, size, position });
            }
        }
    }
    rows
}

/// Like [`crowded_rows`] with one axis, and a measurement of throughput. The points 1 and 2 have the same network.
pub(crate) fn timed_rows() -> ExperimentRows {
    let at = |label: &str| Coordinates(vec![("kernels".to_owned(), label.to_owned())]);
    let mut rows = empty("kernels", &[("kernels", &["1", "2", "3"])]);
    rows.plan.baseline = at("1");
    for (i, label) in ["1", "2", "3"].into_iter().enumerate() {
        for seed in 0..3 {
            let position = i as f64;
            add(&mut rows, at(label), Sketch { seed, status: Status::Succeeded, size: 1e7, position });
            let network = if label == "3" { "other" } else { "same" };
            rows.plan.runs.last_mut().unwrap().networks = [(Form::Deployed, network.to_owned())].into();
        }
    }
    let times = |seconds: [f64; 9]| NetworkTimes { batch: 100, seconds: seconds.to_vec() };
    let networks = [
        ("same".to_owned(), times([0.10, 0.11, 0.10, 0.10, 0.10, 0.10, 0.10, 0.12, 0.10])),
        ("other".to_owned(), times([0.20, 0.24, 0.21, 0.17, 0.24, 0.20, 0.17, 0.23, 0.20])),
    ];
    let arithmetic = "cpu avx2 candle-0.11.1+kernels-1".parse().unwrap();
    let (host, processor) = ("bench".to_owned(), Some("A Processor".to_owned()));
    rows.throughput = Some(ThroughputRecord {
        measured_at_ms: 1,
        code: "0.1.0".to_owned(),
        machine: Machine { host, processor, device: "cpu".to_owned(), arithmetic, threads: 2 },
        warmup_rounds: 3,
        clock_mhz: vec![2000, 2100, 2200],
        networks: networks.into(),
    });
    share_throughput(&mut rows);
    rows
}

/// Gives the runs that succeeded the throughput of their networks, as a reader of results does.
pub(crate) fn share_throughput(rows: &mut ExperimentRows) {
    let shared = SharedThroughput::of(&rows.plan, rows.throughput.as_ref());
    let status: BTreeMap<RunId, Status> = rows.runs.iter().map(|row| (row.run, row.status)).collect();
    for of_run in std::mem::take(&mut rows.measurements).chunk_by(|a, b| a.run == b.run) {
        let run = of_run[0].run;
        let mut values: Vec<Measurement> = of_run.iter().map(|row| row.measurement).collect();
        shared.give(run, status[&run], &mut values);
        rows.measurements.extend(values.into_iter().map(|measurement| MeasurementRow { run, measurement }));
    }
}

fn empty(experiment: &str, axes: &[(&str, &[&str])]) -> ExperimentRows {
    let axis = |(name, labels): &(&str, &[&str])| AxisRecord {
        name: (*name).to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    };
    let plan = PlanRecord {
        experiment: experiment.to_owned(),
        profile: "smoke".to_owned(),
        question: "How far can groups be raised before accuracy suffers?".to_owned(),
        axes: axes.iter().map(axis).collect(),
        baseline: Coordinates::default(),
        runs: Vec::new(),
        exclusions: Vec::new(),
        metrics: Vec::new(),
        commands: false,
        scale: None,
        source: None,
        claims: BTreeMap::new(),
    };
    ExperimentRows::of_plan(plan)
}

/// What a made-up run measures.
#[derive(Clone, Copy)]
struct Sketch {
    seed: u64,
    status: Status,
    size: f64,
    position: f64,
}

fn add(rows: &mut ExperimentRows, coordinates: Coordinates, sketch: Sketch) {
    let Sketch { seed, status, size, position } = sketch;
    let run = RunId::of(&coordinates.to_string(), seed);
    rows.plan.runs.push(PlannedRunRecord { run, seed, coordinates, networks: BTreeMap::new(), work: None });
    if status == Status::Queued {
        return;
    }
    let failed = status != Status::Succeeded;
    rows.runs.push(RunRow {
        run,
        status,
        message: failed.then(|| "loss is NaN at step 17".to_owned()),
        attempts: 1,
        trainer_version: Some(1),
        arithmetic: Some("cpu avx2 candle-1+kernels-1".parse().unwrap()),
        processor: Some("Anon 9000".to_owned()),
        data_fingerprint: Some("00112233445566778899aabbccddeeff".to_owned()),
        checkpoint_step: 0,
    });
    let mut push = |metric, split, form, epoch, value| {
        rows.measurements.push(MeasurementRow { run, measurement: Measurement { metric, split, form, epoch, value } });
    };
    let noise = |salt: u32| ((f64::from(salt) + 3.0 * seed as f64 + position) * 12.9898).sin() * 0.004;
    let last = if failed { 3 } else { EPOCHS };
    let reached = |epoch: u32| (0.915 - 0.006 * position) * (1.0 - 0.55 * (-0.6 * f64::from(epoch)).exp());
    for epoch in 1..=last {
        let value = reached(epoch) + noise(epoch);
        push(Metric::Accuracy, Some(Split::Validation), Some(Form::Training), Some(epoch), value);
    }
    push(Metric::Params, None, Some(Form::Deployed), None, size.round());
    if !failed {
        push(Metric::Accuracy, Some(Split::Test), Some(Form::Deployed), Some(EPOCHS), reached(EPOCHS) + noise(99));
        push(Metric::Flops, None, Some(Form::Deployed), None, 2.5 * size.round());
        push(Metric::Throughput, None, Some(Form::Deployed), None, 640.0 + 35.0 * position + 900.0 * noise(7));
    }
}
