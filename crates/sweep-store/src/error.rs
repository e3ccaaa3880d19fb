//! What can go wrong with an index. Damaged journals are no errors: they are reported beside the result.

use std::io;
use std::path::PathBuf;

/// An index could not be opened, asked, written or made again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no file to read.
    #[error("{path}: no such index; nothing has been run in this results folder")]
    Missing {
        /// Which file was looked for.
        path: PathBuf,
    },
    /// The file is some other program's database.
    #[error(
        "{path}: a database, but not of this program (application id {found:#x}, expected {expected:#x}); move it away"
    )]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Its application id.
        found: i32,
        /// This program's.
        expected: i32,
    },
    /// The file was written by another version of this program.
    #[error(
        "{path}: index of schema version {found}, expected {expected}; use the program that wrote it, or make the index \
         again from the journals with `rebuild`"
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its schema version.
        found: i32,
        /// This program's.
        expected: i32,
    },
    /// `SQLite` refused, or holds a value that is not understood.
    #[error("{path}: {doing} failed")]
    Sql {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// A file beside the index could not be moved or removed.
    #[error("{path}: {doing} failed")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}
