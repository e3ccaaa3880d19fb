//! Everything known about an experiment: its plan, the status of its runs, and the measurements.
//!
//! The store fills these rows from SQLite and the report reads them. They are in this crate so that store and report do
//! not depend on each other.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Arithmetic, Form, Measurement, Metric, NetworkId, PlanRecord, Predictions, RunId, Status, ThroughputRecord,
};

/// Status of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRow {
    /// Identity of the run.
    pub run: RunId,
    /// Status of the run.
    pub status: Status,
    /// The reason, if the run did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Number of attempts so far.
    pub attempts: u32,
    /// Trainer version of the latest attempt that began.
    pub trainer_version: Option<u32>,
    /// How the latest attempt that began computed its numbers. Absent for runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arithmetic: Option<Arithmetic>,
    /// Model of the processor that it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Names and digests of the data of the latest attempt, and of the weights that it started from.
    pub data_fingerprint: Option<String>,
    /// Number of steps in the latest checkpoint; 0 without a checkpoint.
    pub checkpoint_step: u64,
}

/// One measured value of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurementRow {
    /// The run.
    pub run: RunId,
    /// The value and what it was measured on.
    pub measurement: Measurement,
}

/// What one run predicted for the images of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictionsRow {
    /// The run.
    pub run: RunId,
    /// The classes of the images.
    pub predictions: Predictions,
}

/// Everything that the report of an experiment and profile is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentRows {
    /// The plan.
    pub plan: PlanRecord,
    /// The runs that something is known about, in plan order, one row each.
    pub runs: Vec<RunRow>,
    /// All measurements of these runs, sorted by plan order, metric, split, form and epoch.
    pub measurements: Vec<MeasurementRow>,
    /// The measurement of throughput that covers all networks of the plan; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<ThroughputRecord>,
    /// What these runs predicted, sorted by plan order, split and form. Empty if nobody asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<PredictionsRow>,
}

impl ExperimentRows {
    /// Returns the rows of a plan whose runs are not known yet.
    pub fn of_plan(plan: PlanRecord) -> Self {
        Self { plan, runs: Vec::new(), measurements: Vec::new(), throughput: None, predictions: Vec::new() }
    }

    /// Gives each run that succeeded the throughput of its networks. It replaces what the run itself reported, as runs
    /// of older versions did.
    pub fn share_throughput(&mut self) {
        let Some(record) = &self.throughput else { return };
        let succeeded: BTreeSet<RunId> =
            self.runs.iter().filter(|row| row.status == Status::Succeeded).map(|row| row.run).collect();
        let mut shared: BTreeMap<RunId, Vec<Measurement>> = BTreeMap::new();
        for run in self.plan.runs.iter().filter(|run| !run.networks.is_empty() && succeeded.contains(&run.run)) {
            let of_form = |(form, network): (&Form, &NetworkId)| {
                record.networks.get(network).map(|times| times.measurements(*form))
            };
            shared.insert(run.run, run.networks.iter().filter_map(of_form).flatten().collect());
        }
        let is_replaced = |row: &MeasurementRow| {
            matches!(row.measurement.metric, Metric::Throughput | Metric::ThroughputSpread)
                && shared.contains_key(&row.run)
        };
        self.measurements.retain(|row| !is_replaced(row));
        let place: BTreeMap<RunId, usize> = self.plan.runs.iter().enumerate().map(|(i, run)| (run.run, i)).collect();
        let rows = shared
            .into_iter()
            .flat_map(|(run, values)| values.into_iter().map(move |measurement| MeasurementRow { run, measurement }));
        self.measurements.extend(rows);
        self.measurements.sort_by_key(|row| {
            let m = &row.measurement;
            (place.get(&row.run).copied(), m.metric, m.split, m.form, m.epoch)
        });
    }
}
