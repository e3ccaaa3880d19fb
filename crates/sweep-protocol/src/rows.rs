//! Everything known about an experiment: its plan, the status of its runs, and the measurements.
//!
//! The store fills these rows from SQLite and the report reads them. They are in this crate so that store and report do
//! not depend on each other.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Arithmetic, Form, Measurement, Metric, NetworkId, PlanRecord, PlannedRunRecord, Predictions, RunId, Split, Status,
    ThroughputRecord,
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

/// Identifies the values of a run over epochs.
pub type SeriesKey = (Metric, Option<Split>, Option<Form>);

/// The part of a sweep's values that rows have: the last one of each series, and all of these series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartOfValues {
    /// Number of all values of the sweep.
    pub all_values: u64,
    /// The series with the values of all epochs.
    pub whole: BTreeSet<SeriesKey>,
}

/// The values of a series that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Epochs {
    /// No value.
    None,
    /// The value of the last epoch.
    Last,
    /// The value of each epoch.
    All,
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
    /// The measurements of these runs that were asked for, sorted by plan order, metric, split, form and epoch.
    pub measurements: Vec<MeasurementRow>,
    /// The part of the values that these are; absent if a report may show any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PartOfValues>,
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
        Self { plan, runs: Vec::new(), measurements: Vec::new(), part: None, throughput: None, predictions: Vec::new() }
    }
}

/// The throughput of the networks of each run of a plan.
#[derive(Clone, Debug, Default)]
pub struct SharedThroughput {
    of_runs: BTreeMap<RunId, Vec<Measurement>>,
}

impl SharedThroughput {
    /// Looks up the networks of each run in a record. Without a record there is nothing to share.
    pub fn of(plan: &PlanRecord, record: Option<&ThroughputRecord>) -> Self {
        let Some(record) = record else { return Self::default() };
        let of_form =
            |(form, network): (&Form, &NetworkId)| record.networks.get(network).map(|times| times.measurements(*form));
        let with_networks = plan.runs.iter().filter(|run| !run.networks.is_empty());
        let of_run = |run: &PlannedRunRecord| (run.run, run.networks.iter().filter_map(of_form).flatten().collect());
        Self { of_runs: with_networks.map(of_run).collect() }
    }

    /// Adds the throughput of a run to its sorted values, if it succeeded. It replaces what the run itself reported, as
    /// runs of older versions did.
    pub fn give(&self, run: RunId, status: Status, values: &mut Vec<Measurement>) {
        let Some(shared) = self.of_runs.get(&run).filter(|_| status == Status::Succeeded) else { return };
        values.retain(|value| !matches!(value.metric, Metric::Throughput | Metric::ThroughputSpread));
        values.extend(shared);
        values.sort_by_key(|value| (value.metric, value.split, value.form, value.epoch));
    }
}
