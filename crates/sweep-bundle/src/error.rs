//! Errors of bundles.

use std::io;
use std::path::PathBuf;

/// A bundle cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file cannot be read or written.
    #[error("{} cannot be {doing}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// Cause of the failure.
        source: io::Error,
    },
    /// Something that is no bundle has the name of a new one.
    #[error("{} is there and is no bundle: choose another --out", .path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The archive is not a bundle, or it is damaged.
    #[error("{} is not an intact bundle: {reason}", .path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The bundle was written by a newer version of the program.
    #[error("{} has format {found}, but this program reads up to format {known}: use a newer program", .path.display())]
    Newer {
        /// The archive.
        path: PathBuf,
        /// Format of the archive.
        found: u32,
        /// Newest format that is known.
        known: u32,
    },
    /// A file cannot be in a bundle, since its place is not allowed.
    #[error("`{place}` cannot be in a bundle: it {reason}")]
    Place {
        /// The place.
        place: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
}
