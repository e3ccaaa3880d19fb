//! Plans and journals become a `SQLite` index, and both answer questions.
//!
//! The journals are the truth: the index can be thrown away and made again from them. [`Store`] writes it, one process at a time, the
//! one that holds the results folder's lock. [`Reader`] asks: it takes from the index what is proven to be what the journals say,
//! and the rest from the journals. Nothing here knows who runs, draws or reports, and only `index.rs` and `schema.sql` know SQL.
//!
//! ```text
//! run folders -> folder (lines) -> fold (RunState) -> Store -> metrics.sqlite -> Reader -> rows
//!                                        '---------------------------------------^
//! ```

mod error;
mod fold;
mod index;
mod packed;
mod reader;
mod results_folder;
mod rows;
mod store;

pub use error::StoreError;
pub use reader::Reader;
pub use results_folder::Damage;
pub use rows::{AttemptRow, ExperimentCounts};
pub use store::Store;
