//! The measurements of runs as event files, which TensorBoard and the trackers that import its files can read.
//!
//! Event files are derived from the journals: they may be deleted, and are written again. This crate knows
//! measurements and one folder for each run. It does not know plans, journals or schedulers.

mod record;
mod run_log;

pub use run_log::{RunLog, folder_name};
