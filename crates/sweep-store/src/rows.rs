//! Rows of the index as Rust types.
//!
//! These rows are only shown to the user. The rows that reports are made from are defined in `sweep-protocol`.

use std::collections::BTreeMap;

use sweep_protocol::{Arithmetic, Measurement, Predictions, RunRow, Status};

/// One execution of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptRow {
    /// The attempt's number, counted from 1.
    pub attempt: u32,
    /// Status of the attempt: running until its supervisor closes it.
    pub status: Status,
    /// Reason for the status, unless the attempt succeeded.
    pub message: Option<String>,
    /// Id of its process.
    pub pid: Option<u32>,
    /// Number of its slot, counted from 0.
    pub slot: Option<u32>,
    /// Name of the machine. This and the next seven fields are absent until the attempt has begun.
    pub host: Option<String>,
    /// The device: `cpu`, `cuda:0`, …
    pub device: Option<String>,
    /// Number of threads for tensor operations.
    pub threads: Option<u32>,
    /// Version and commit of the program.
    pub code: Option<String>,
    /// Trainer version of the program.
    pub trainer_version: Option<u32>,
    /// Arithmetic of the attempt.
    pub arithmetic: Option<Arithmetic>,
    /// Model of the processor.
    pub processor: Option<String>,
    /// Digest of the data set.
    pub data_fingerprint: Option<String>,
    /// Start time of its process, in milliseconds since 1970, UTC.
    pub started_at_ms: Option<u64>,
    /// Time at which it was closed, in milliseconds since 1970, UTC.
    pub ended_at_ms: Option<u64>,
    /// Number of steps taken over from the checkpoint of an earlier attempt.
    pub resumed_at_step: Option<u64>,
    /// Number of steps in its newest checkpoint.
    pub checkpoint_step: Option<u64>,
    /// Number of journal lines without a checksum, as in the first format.
    pub unchecked_lines: u64,
}

/// Everything known about one run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunHistory {
    /// Its row.
    pub row: RunRow,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptRow>,
    /// Its values, sorted by metric, split, form and epoch.
    pub measurements: Vec<Measurement>,
    /// What it predicted, sorted by split and form.
    pub predictions: Vec<Predictions>,
}

/// An experiment under a profile, with the number of its runs in each status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentCounts {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the profile.
    pub profile: String,
    /// Number of runs in each status that occurs.
    pub counts: BTreeMap<Status, u32>,
}
