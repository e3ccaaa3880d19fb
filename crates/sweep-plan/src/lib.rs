//! Turns an experiment file into a plan: all runs in order, each once, identified by their content.
//!
//! ```text
//! experiment.toml -> document (tree with places) -> shape (keys) -> grids, profiles, rows -> resolver -> Plan
//! ```
//!
//! This crate handles tables without types. Only the resolver knows what a configuration means; the caller passes it to
//! [`plan`]. If the resolver finds a fault, this crate finds the line of the file that caused it.

mod axis;
mod base;
mod blame;
mod document;
mod error;
mod expansion;
mod experiment;
mod grid;
mod keys;
mod labels;
mod link;
mod nearest;
mod overlay;
mod plan;
mod profile;
mod row;
mod schema;
mod selection;
mod shape;
mod unclosed;

pub use blame::ConfigFault;
pub use error::{Colors, Fault, PlanError};
pub use experiment::{Experiment, digest, load};
pub use link::file_behind;
pub use plan::{Merged, Plan, PlannedRun, Resolved, plan};
pub use schema::experiment_schema;
