//! Errors of journals, and damage to their lines.

use std::io;
use std::path::PathBuf;

use super::line::FORMAT;

/// A journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system reported an error.
    #[error("journal {path}: {doing} failed")]
    Io {
        /// The journal file.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// Cause of the failure.
        source: io::Error,
    },
    /// An event cannot be serialised, for example because a value is not finite.
    #[error("journal {path}: an event cannot be written")]
    Event {
        /// The journal file.
        path: PathBuf,
        /// Cause of the failure.
        source: serde_json::Error,
    },
    /// An intact line has a later format than this program knows.
    #[error(
        "journal {path}: written by a newer version of this program (format {found}, this version reads {FORMAT}); \
         use that version"
    )]
    Newer {
        /// The journal file.
        path: PathBuf,
        /// Format of the line.
        found: u32,
    },
}

/// A lost line of a journal. The lines around it are still intact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}, line {line}: {what}")]
pub struct LineDamage {
    /// The journal file.
    pub path: PathBuf,
    /// Line number, counted from 1.
    pub line: u64,
    /// What is wrong, as a sentence without a full stop.
    pub what: String,
}
