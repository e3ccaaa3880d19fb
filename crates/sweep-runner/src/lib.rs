//! Runs work items as attempts on this machine. Each attempt is one process in one slot, and can be stopped and
//! resumed. Afterwards one more process measures throughput.
//!
//! The runner knows folders, processes and journals. It does not know what an attempt computes. It never opens the
//! index and never prints. It sends every update over a bounded channel to the caller, which stores and shows it.
//!
//! ```text
//! SchedulerLock -> recover -> run: WorkItem -> attempt folder -> process -> journal -> Update
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

mod attempt;
mod attempt_folder;
mod error;
mod lock;
mod oom;
mod options;
mod own_thread;
mod process;
mod record;
mod recover;
mod run;
mod schedule;
mod timing;
mod update;
mod verdict;
mod worker;

pub use error::RunnerError;
pub use lock::{Holder, SchedulerLock};
pub use oom::available as available_memory;
pub use options::{Forecast, OnFailure, Options, Request, Slot, WorkItem};
pub use recover::{Recovered, recover};
pub use run::run;
pub use timing::{TimingEnd, time};
pub use update::{Summary, Update, UpdateKind};
pub use worker::worker_environment;
