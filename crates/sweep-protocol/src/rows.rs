//! What is known of an experiment: its plan, where its runs stand, and what was measured.
//!
//! The store fills these rows from SQLite, the report reads them; they live here so that neither needs the other.

use serde::{Deserialize, Serialize};

use crate::{Arithmetic, Measurement, PlanRecord, RunId, Status};

/// Where one run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRow {
    /// Who it is.
    pub run: RunId,
    /// Where it stands.
    pub status: Status,
    /// Why, when it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Trainer version of the latest attempt that began.
    pub trainer_version: Option<u32>,
    /// How the latest attempt that began computes; absent for runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arithmetic: Option<Arithmetic>,
    /// Model of its processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Names and digests of the data that the latest attempt saw, and of the weights that it started from.
    pub data_fingerprint: Option<String>,
    /// Steps in the latest checkpoint; 0 when there is none.
    pub checkpoint_step: u64,
}

/// One measured value of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurementRow {
    /// Whose.
    pub run: RunId,
    /// What.
    pub measurement: Measurement,
}

/// Everything that a report of an experiment and profile is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentRows {
    /// The plan.
    pub plan: PlanRecord,
    /// One row for each run of the plan that anything is known of, in plan order.
    pub runs: Vec<RunRow>,
    /// All measurements of these runs, in plan order, then metric, split, form, epoch.
    pub measurements: Vec<MeasurementRow>,
}
