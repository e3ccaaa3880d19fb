//! What a scheduler tells an attempt: the orders file, the line that asks it to stop, and the exit code that stands for
//! a journal that cannot be written.
//!
//! None of this is part of a run's identity: it cannot change a result.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::MetricRecord;

/// The line on standard input that asks an attempt to write a checkpoint and end. The end of the input means the same:
/// the scheduler has died.
pub const STOP_LINE: &str = "stop";

/// Exit code of an attempt that could not write its journal, so that it could report nothing else (`EX_IOERR`).
pub const EXIT_UNWRITABLE_JOURNAL: u8 = 74;

/// File of an attempt's folder with the trained weights of a finished run.
pub const WEIGHTS_FILE: &str = "weights.safetensors";

/// Environment variable with the absolute path of an attempt's folder. Everything that an attempt starts has it, so
/// that the scheduler can end what an attempt leaves behind.
pub const ATTEMPT_DIR_VARIABLE: &str = "SWEEP_ATTEMPT_DIR";

/// Orders that all attempts of a call have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedOrders {
    /// The folder of the data sets.
    pub data: Option<PathBuf>,
    /// Instruction set of the whole sweep. Absent on other devices than a CPU.
    pub kernels: Option<String>,
    /// The project folder, in which commands run.
    pub project: Option<PathBuf>,
    /// Folder of known digests of data files.
    pub digests: Option<PathBuf>,
    /// Metrics that the base file declares.
    pub metrics: Vec<MetricRecord>,
}

/// The orders of one attempt: `orders.json` in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    /// `cpu`, `cuda:0`, …
    pub device: String,
    /// Number of threads for tensor operations.
    pub threads: usize,
    /// See [`SharedOrders::data`].
    #[serde(default)]
    pub data: Option<PathBuf>,
    /// See [`SharedOrders::kernels`].
    #[serde(default)]
    pub kernels: Option<String>,
    /// See [`SharedOrders::project`].
    #[serde(default)]
    pub project: Option<PathBuf>,
    /// See [`SharedOrders::digests`].
    #[serde(default)]
    pub digests: Option<PathBuf>,
    /// See [`SharedOrders::metrics`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricRecord>,
    /// Token of the lease, the attempt's right to write. Absent if a user starts the attempt by hand.
    #[serde(default)]
    pub lease: Option<String>,
    /// Folders of earlier attempts of the run, newest first.
    pub resume_from: Vec<PathBuf>,
}
