//! What ends a sweep. A failed attempt does not: it is closed with a status and the next one follows.

use std::io;
use std::path::{Path, PathBuf};

use sweep_protocol::JournalError;

/// The runner cannot go on. What was measured is in the journals, and the same command continues from there.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Another scheduler works in this results folder.
    #[error("{path}: in use by another scheduler{}", pid.map_or(String::new(), |pid| format!(", process {pid}")))]
    InUse {
        /// The results folder.
        path: PathBuf,
        /// Process id of the other one, if it could be read.
        pid: Option<u32>,
    },
    /// A file or folder of the results cannot be made or written.
    #[error("{path}: cannot be written")]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder of the results cannot be read.
    #[error("{path}: cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A supervisor's journal cannot be kept.
    #[error("an attempt cannot be supervised")]
    Journal(#[from] JournalError),
    /// A path that cannot be written into orders.
    #[error("{}: the path is not UTF-8 text; rename the folder, or give another one", path.display())]
    NotText {
        /// Which.
        path: PathBuf,
    },
    /// Orders cannot be put into JSON.
    #[error("{path}: orders cannot be expressed as JSON")]
    Orders {
        /// The file they were meant for.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An attempt's process cannot be started, stopped or waited for.
    #[error("{program}: {doing} failed")]
    Process {
        /// The program.
        program: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A process of a dead scheduler does not go away.
    #[error("process {pid} of a dead scheduler still works on {path} and does not end when killed")]
    Survivor {
        /// Its process id.
        pid: u32,
        /// Its attempt's folder.
        path: PathBuf,
    },
    /// Nobody listens to what happens any more.
    #[error("the receiver of updates has gone away")]
    Unheard,
}

pub(crate) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> RunnerError {
    let path = path.to_owned();
    move |source| RunnerError::Unwritable { path, source }
}

pub(crate) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> RunnerError {
    let path = path.to_owned();
    move |source| RunnerError::Unreadable { path, source }
}
