//! What the runner is told: the work, the slots, the program, and when to stop.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use sweep_protocol::RunId;

/// A run that is to be brought to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkItem {
    /// Who it is: the digest of the next two.
    pub run: RunId,
    /// Its canonical configuration.
    pub config_json: String,
    /// Its seed.
    pub seed: u64,
}

/// What one attempt may use at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// `cpu`, `cuda:0`, …; handed on as it is.
    pub device: String,
    /// Threads for tensor operations.
    pub threads: usize,
}

/// What the first failure of a run means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing.
    Continue,
    /// Start nothing more; stop what runs, to be continued another time.
    Stop,
}

/// What the person at the terminal asks for; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// Go on.
    Run,
    /// Start nothing more; let every attempt write a checkpoint and stop.
    Finish,
    /// Kill every attempt.
    Kill,
}

/// How to run, whatever the work is.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program of every attempt.
    pub program: PathBuf,
    /// What it is called in lists of processes, where that is not its path.
    pub name: Option<OsString>,
    /// Its arguments; the attempt's folder is added as the last one.
    pub arguments: Vec<OsString>,
    /// At least one. With several, throughput is measured after everything else, one run at a time.
    pub slots: Vec<Slot>,
    /// Threads of an attempt that has the machine for itself to measure throughput, where there are several slots.
    pub quiet_threads: usize,
    /// Added to the orders of every attempt (where the data lies, …); the runner's own keys win.
    pub orders: serde_json::Map<String, serde_json::Value>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// How long an attempt may take to stop once its time is up.
    pub grace: Duration,
    /// How often a run that crashed is tried again.
    pub crash_retries: u32,
    /// What the first failure means for the others.
    pub on_failure: OnFailure,
}
