//! Work items become attempts on this machine: one process each, in slots, stopped and resumed.
//!
//! The runner knows folders, processes and journals. It does not know what an attempt computes, it never opens the
//! index and never prints: what happens goes over a bounded channel to the caller, which stores and draws it.
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
