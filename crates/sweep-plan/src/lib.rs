//! Turns an experiment file into a plan: all runs in order, each once, identified by their content.
//!
//! ```text
//! experiment.toml -> document (tree with places) -> shape (keys) -> grids, profiles, rows -> resolver -> Plan
//! ```
//!
//! This crate handles tables without types. Only the resolver knows what a configuration means; the caller passes it to
//! [`plan`]. If the resolver finds a fault, this crate finds the line of the file that caused it.
//!
//! # Example
//!
//! ```
//! use sweep_plan::{ConfigFault, Resolved, load, plan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("base.toml"), "width = 16")?;
//! let path = folder.path().join("widths.toml");
//! std::fs::write(&path, r#"
//! question = "Which width?"
//! base     = "base.toml"
//! seeds    = 2
//! [[axis]]
//! name   = "width"
//! path   = "width"
//! values = [16, 32]
//! "#)?;
//! let resolve = |table: &serde_json::Value| {
//!     Ok::<_, ConfigFault>(Resolved { canonical: table.to_string(), metrics: Vec::new() })
//! };
//! let plan = plan(&load(&path, None)?, &resolve)?;
//! let rows: Vec<String> = plan.runs.iter().map(|run| format!("{} seed {}", run.coordinates, run.seed)).collect();
//! assert_eq!(rows, ["width=16 seed 0", "width=16 seed 1", "width=32 seed 0", "width=32 seed 1"]);
//! # Ok(())
//! # }
//! ```

mod adjust;
mod axis;
mod base;
mod blame;
mod document;
mod error;
mod exec;
mod expansion;
mod experiment;
mod grid;
mod keys;
mod labels;
mod link;
mod load;
mod log;
mod nearest;
mod overlay;
mod plan;
mod profile;
mod row;
mod schema;
mod selection;
mod shape;
mod unclosed;

pub use adjust::Adjustments;
pub use error::{Colors, Fault, PlanError};
pub use exec::Exec;
pub use experiment::Experiment;
pub use link::file_behind;
pub use load::{digest, files, load, load_adjusted, load_base};
pub use log::Log;
pub use plan::{Merged, Plan, PlannedRun, Resolved, plan};
pub use profile::DEFAULT_PROFILE;
pub use schema::experiment_schema;
pub use sweep_protocol::ConfigFault;
