//! Plans and journals become a `SQLite` index, and the index answers questions.
//!
//! The journals are the truth: the index can be thrown away and made again from them, and a line that is applied twice
//! changes nothing. There is one writer at a time, the process that holds the results folder's lock; readers are as
//! many as like. Nothing here knows who runs, draws or reports, and only `index.rs` and `schema.sql` know SQL.
//!
//! ```text
//! plan.json, run.json, journals -> Store (catch_up, apply_*) -> metrics.sqlite -> rows
//! ```

mod error;
mod folder;
mod index;
mod rows;
mod store;

pub use error::StoreError;
pub use folder::Damage;
pub use rows::{AttemptRow, ExperimentCounts};
pub use store::Store;
