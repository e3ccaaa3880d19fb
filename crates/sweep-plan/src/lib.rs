//! An experiment file becomes a plan: every run once, in order, named by its content.
//!
//! ```text
//! experiment.toml -> document (tree with places) -> shape (keys) -> grids, profiles, rows -> resolver -> Plan
//! ```
//!
//! Everything here is a table without types. What a configuration means is known to the resolver alone, which the caller
//! hands to [`plan`]; a fault that it finds is led back to the line of the file that caused it.

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
