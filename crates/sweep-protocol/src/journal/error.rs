//! What can go wrong with a journal, and what is lost of one.

use std::io;
use std::path::PathBuf;

use super::line::FORMAT;

/// A journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("journal {path}: {doing} failed")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// An event cannot be written down: it has a number that is not finite.
    #[error("journal {path}: an event cannot be written")]
    Event {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An intact line of a later format.
    #[error(
        "journal {path}: written by a newer version of this program (format {found}, this version reads {FORMAT}); use that version"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// A line of a journal that is lost; those around it are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}, line {line}: {what}")]
pub struct LineDamage {
    /// Which journal.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: u64,
    /// What is wrong, as a sentence without its end.
    pub what: String,
}
