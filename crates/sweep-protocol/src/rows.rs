//! Everything known about an experiment: its plan, the status of its runs, and the measurements.
//!
//! The store fills these rows from SQLite and the report reads them. They are in this crate so that store and report do
//! not depend on each other.

use serde::{Deserialize, Serialize};

use crate::{Arithmetic, Measurement, PlanRecord, RunId, Status};

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
}
