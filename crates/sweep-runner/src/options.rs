//! Input of the scheduler: the work, the orders, and when to stop.

use std::collections::BTreeSet;

use sweep_protocol::{RunFile, RunId, SharedOrders};
use tokio::sync::watch;

/// A run that the runner brings to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkItem {
    /// The run's identity.
    pub run: RunId,
    /// What the identity is the digest of.
    pub file: RunFile,
    /// What the run is expected to need.
    pub forecast: Forecast,
}

/// What a run is expected to need. It decides when the run starts, not what it computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Amount of work, such as the multiply-adds of the whole training; 0 if not known.
    pub work: u64,
    /// Peak memory in bytes; 0 if not known.
    pub memory: u64,
}

/// The device and threads of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// `cpu`, `cuda:0`, …; passed to the program unchanged.
    pub device: String,
    /// Number of threads for tensor operations.
    pub threads: usize,
}

/// What the runner does with the other runs after a first failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// They go on.
    Continue,
    /// It starts nothing more. Running attempts stop and can be continued later.
    Stop,
}

/// A request to attempts. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// Go on.
    Run,
    /// The run is pruned: its attempt writes a checkpoint and stops. Other runs go on.
    Prune,
    /// Start nothing more. Every attempt writes a checkpoint and stops.
    Finish,
    /// Kill every attempt.
    Kill,
}

/// What may be asked of a scheduler while it works.
#[derive(Clone, Debug)]
pub struct Requests {
    /// Requests to all attempts.
    pub to_all: watch::Receiver<Request>,
    /// The runs that are pruned so far.
    pub pruned: watch::Receiver<BTreeSet<RunId>>,
}

impl From<watch::Receiver<Request>> for Requests {
    /// Nothing is pruned.
    fn from(to_all: watch::Receiver<Request>) -> Self {
        Self { to_all, pruned: watch::channel(BTreeSet::new()).1 }
    }
}

/// How the scheduler works, whatever the work items and the launcher.
#[derive(Clone, Debug)]
pub struct Options {
    /// Orders that all attempts have in common, such as the data folder.
    pub orders: SharedOrders,
    /// Number of times that a run is tried again after a failure of the machine (`crash`, `io`, `oom`). After `oom` it
    /// runs alone.
    pub retries: u32,
    /// Memory in bytes that the runs may take together, by their forecasts; `None` if they do not share the machine's
    /// memory.
    pub memory: Option<u64>,
    /// What happens after the first failure.
    pub on_failure: OnFailure,
}
