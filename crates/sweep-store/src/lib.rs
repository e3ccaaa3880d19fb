//! Builds a `SQLite` index from plans and journals, and answers questions about runs.
//!
//! The journals are the source of truth: the index can be deleted and made again from them. [`Store`] writes the index.
//! Only the process that holds the results folder's lock may do so. [`Reader`] answers questions. It uses the rows of
//! the index that are proven to match the journals, and reads the journals for all others. This crate does not know how
//! runs are started, shown or reported. Only `index.rs` and `schema.sql` know SQL.
//!
//! ```text
//! run folders -> folder (lines) -> fold (RunState) -> Store -> metrics.sqlite -> Reader -> rows
//!                                        '---------------------------------------^
//! ```
//!
//! # Example
//!
//! ```
//! use sweep_protocol::ResultsLayout;
//! use sweep_store::Reader;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! // A reader needs no index: it reads the journals. This folder holds no experiment yet.
//! let mut reader = Reader::open(&ResultsLayout::new(folder.path())).await?;
//! assert!(reader.plans().is_empty());
//! # Ok(())
//! # }
//! ```

mod changed_runs;
mod error;
mod fold;
mod index;
mod origin;
mod packed;
mod reader;
mod results_folder;
mod rows;
mod stamps;
mod store;
mod texts;

pub use error::StoreError;
pub use origin::Origin;
pub use reader::Reader;
pub use results_folder::Damage;
pub use rows::{AttemptRow, ExperimentCounts, RunHistory};
pub use store::Store;
