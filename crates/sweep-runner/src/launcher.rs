//! What the scheduler needs of a place where attempts run: this machine, or a cluster.
//!
//! An attempt goes through four stages. The scheduler prepares its folder; the launcher launches its process; the
//! process is followed until it ends; the scheduler closes the attempt. Only launching and following depend on the
//! launcher.

use sweep_protocol::AttemptLayout;
use tokio::sync::watch;

use crate::record::Record;
use crate::{Request, RunnerError, Slot};

/// An attempt whose folder and orders are written.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Place that the attempt takes, counted from 0.
    pub place: usize,
    /// Its folder.
    pub folder: AttemptLayout,
}

/// Where attempts run.
pub trait Launcher {
    /// A launched attempt.
    type Process: Process;

    /// Number of attempts that may be under way at the same time.
    fn places(&self) -> usize;

    /// Whether attempts under way take their memory from one machine. If so, a run whose memory ran out is tried again
    /// alone.
    fn shares_memory(&self) -> bool;

    /// Whether a run that reached its time limit is tried again, as after a failure of the machine.
    fn retries_time_limits(&self) -> bool;

    /// Returns the device and threads of the attempt in a place.
    fn slot(&self, place: usize) -> Slot;

    /// Launches attempts, all of them or none. Returns their processes in the same order.
    fn launch(&self, attempts: Vec<Prepared>) -> impl Future<Output = Result<Vec<Self::Process>, RunnerError>> + Send;
}

/// The process of an attempt, wherever it runs.
pub trait Process: Send + 'static {
    /// Follows the process until it has ended and everything that it reported is passed on to `record`. Passes on the
    /// requests of the user.
    fn follow(
        self,
        record: &mut Record,
        requests: watch::Receiver<Request>,
    ) -> impl Future<Output = Result<Followed, RunnerError>> + Send;
}

/// Why a process is no longer followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// It has ended. `memory` is the largest memory in bytes that it was seen to hold, if known.
    Ended {
        /// How it ended.
        end: Ended,
        /// Memory in bytes.
        memory: Option<u64>,
    },
    /// It goes on without this scheduler, and the attempt stays open. The next scheduler follows it.
    Left,
}

/// How a process ended, in words that fit every launcher. What the attempt itself reported counts more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What ended it.
    pub by: EndedBy,
    /// The launcher's own words, such as `exit status: 1`.
    pub how: String,
}

/// What ended a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// Itself, or something unknown.
    Itself,
    /// Itself, since it could not write its journal.
    UnwritableJournal,
    /// The kernel or the cluster, because memory ran out.
    Memory,
    /// Its time limit.
    TimeLimit,
    /// The cluster, for a reason of its own: preemption, the loss of a node, or a controller that lost the task.
    Cluster,
    /// The user asked for it, another run failed, or the scheduler cannot go on.
    Request,
    /// The run was pruned.
    Pruning,
    /// The cluster put it back into its queue, and starts it again later as another attempt.
    Requeued,
}
