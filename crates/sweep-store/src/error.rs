//! What can go wrong with an index. Damaged journals are no errors: they are reported beside the result.

use std::io;
use std::path::PathBuf;

use sweep_protocol::{JournalError, RunId};

/// An index could not be opened, asked, written or made again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
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
    /// The file was written by a newer version of this program.
    #[error(
        "{path}: index of schema version {found}, this program reads up to {expected}; use the newer program that wrote it, or make \
         the index again from the journals with `rebuild`"
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
    #[error("{path}: {doing} failed{}", remedy(source))]
    Sql {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// A run that no plan has.
    #[error("{path}: run {run} is not in any plan")]
    UnknownRun {
        /// The index.
        path: PathBuf,
        /// Which run.
        run: RunId,
    },
    /// The index that was just made cannot be used.
    #[error("{path}: the index that was made cannot be used: {why}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A journal of a newer version of this program.
    #[error("the results folder cannot be read")]
    Newer {
        /// Which journal and version.
        source: JournalError,
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

/// What a person can do about a refusal of `SQLite`, by the first byte of its code.
fn remedy(source: &sqlx::Error) -> &'static str {
    const BUSY: i32 = 5;
    const IO: i32 = 10;
    const FULL: i32 = 13;
    let code = source.as_database_error().and_then(|fault| fault.code()?.parse::<i32>().ok()).map(|code| code & 0xff);
    match code {
        Some(BUSY) => "; another program holds it: close that one's transaction and run the same command again",
        Some(IO | FULL) => {
            "; the disk may be full: free some space and run the same command again, nothing measured is lost"
        }
        _ => "",
    }
}
