//! Errors of the index. Damaged journals are not errors: they are returned as [`Damage`](crate::Damage), next to the
//! result.

use std::io;
use std::path::PathBuf;

use sweep_protocol::{JournalError, RunId};

/// An index could not be opened, read, written or made again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is a database of another program.
    #[error("{path}: a database of another program (application id {found:#x}, expected {expected:#x}); move it away")]
    Foreign {
        /// Path of the file.
        path: PathBuf,
        /// Application id of the file.
        found: i32,
        /// Application id of this program.
        expected: i32,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "{path}: index of schema version {found}, but this program reads up to {expected}; use the newer program that \
         wrote it, or delete the file and make the index again from the journals with `rebuild`"
    )]
    Version {
        /// Path of the file.
        path: PathBuf,
        /// Schema version of the file.
        found: i32,
        /// Schema version of this program.
        expected: i32,
    },
    /// `SQLite` reported an error, or the index holds an invalid value.
    #[error("{path}: {doing} failed{}", remedy(source))]
    Sql {
        /// Path of the file.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// Cause of the failure.
        source: sqlx::Error,
    },
    /// The run is in no plan.
    #[error("{path}: run {run} is not in any plan")]
    UnknownRun {
        /// The index.
        path: PathBuf,
        /// Id of the run.
        run: RunId,
    },
    /// The index was made again and still cannot be used.
    #[error("{path}: the new index cannot be used: {why}")]
    Unusable {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the failure.
        why: String,
    },
    /// A journal was written by a newer version of this program.
    #[error("the results folder cannot be read")]
    Newer {
        /// The journal and its version.
        source: JournalError,
    },
    /// A file next to the index could not be moved or removed.
    #[error("{path}: {doing} failed")]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// Cause of the failure.
        source: io::Error,
    },
}

/// Advice on an error of `SQLite`, by the lowest byte of its code.
fn remedy(source: &sqlx::Error) -> &'static str {
    const BUSY: i32 = 5;
    const IO: i32 = 10;
    const FULL: i32 = 13;
    let code = source.as_database_error().and_then(|fault| fault.code()?.parse::<i32>().ok()).map(|code| code & 0xff);
    match code {
        Some(BUSY) => "; another program has locked it: end its transaction, then run the same command again",
        Some(IO | FULL) => {
            "; the disk may be full: free some space, then run the same command again (no measurement is lost)"
        }
        _ => "",
    }
}
