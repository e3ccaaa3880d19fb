//! Runs work items as attempts, on this machine or by another [`Launcher`]. Each attempt is one process, and can be
//! stopped and resumed. Afterwards one more process measures throughput.
//!
//! The runner knows folders, processes and journals. It does not know what an attempt computes. It never opens the
//! index and never prints. It sends every update over a bounded channel to the caller, which stores and shows it.
//!
//! ```text
//! SchedulerLock -> recover -> run: WorkItem -> Prepared -> Process -> Record -> Update
//!                                            prepare    launch    follow    close
//! ```
//!
//! # Example
//!
//! ```
//! use sweep_protocol::ResultsLayout;
//! use sweep_runner::SchedulerLock;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One scheduler for each results folder.
//! let folder = tempfile::tempdir()?;
//! let layout = ResultsLayout::new(folder.path().join("results"));
//! let lock = SchedulerLock::acquire(&layout)?;
//! assert!(SchedulerLock::acquire(&layout).is_err());
//! drop(lock);
//! assert!(SchedulerLock::acquire(&layout).is_ok());
//! # Ok(())
//! # }
//! ```

mod attempt_folder;
mod closing;
mod error;
mod launcher;
mod local;
mod lock;
mod options;
mod own_thread;
mod presence;
mod prune;

mod record;
mod recover;
mod run;
mod schedule;
mod update;

pub use error::RunnerError;
pub use launcher::{Ended, EndedBy, Followed, Launcher, Prepared, Process};
pub use local::memory::available as available_memory;
pub use local::worker::worker_environment;
pub use local::{LocalMachine, LocalProcess, TimingEnd, device_of_process, time};
pub use lock::{Holder, SchedulerLock};
pub use options::{Forecast, OnFailure, Options, Request, Requests, Slot, WorkItem};
pub use presence::{Presence, presence};
pub use prune::{Pruned, Pruner, Pruning, PruningRule};
pub use record::Record;
pub use recover::{Recovered, Submitted, recover, submitted};
pub use run::{Adopted, run};
pub use update::{Summary, Update, UpdateKind};
