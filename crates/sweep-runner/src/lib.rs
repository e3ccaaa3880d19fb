//! Runs work items as attempts on this machine. Each attempt is one process in one slot, and can be stopped and
//! resumed.
//!
//! The runner knows folders, processes and journals. It does not know what an attempt computes. It never opens the
//! index and never prints. It sends every update over a bounded channel to the caller, which stores and shows it.
//!
//! ```text
//! SchedulerLock -> recover -> run: WorkItem -> attempt folder -> process -> journal -> Update
//! ```

mod attempt;
mod attempt_folder;
mod error;
mod lock;
mod oom;
mod options;
mod process;
mod record;
mod recover;
mod run;
mod schedule;
mod update;
mod verdict;
mod worker;

pub use error::RunnerError;
pub use lock::SchedulerLock;
pub use options::{OnFailure, Options, Request, Slot, WorkItem};
pub use recover::{Recovered, recover};
pub use run::run;
pub use update::{Summary, Update, UpdateKind};
pub use worker::worker_environment;
