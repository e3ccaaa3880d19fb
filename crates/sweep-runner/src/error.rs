//! Errors that end a sweep. A failed attempt is not one of them: it is closed with a status, and the next attempt
//! follows.

use std::io;
use std::path::{Path, PathBuf};

use sweep_protocol::{JournalError, RunLayout};

use crate::Holder;

/// The runner cannot go on. All measurements are in the journals, and the same command continues from there.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Another scheduler uses this results folder.
    #[error(
        "{path}: in use by another scheduler{}; wait for it with --wait, or use another results folder",
        holder.as_ref().map_or(String::new(), |holder| format!(", {holder}"))
    )]
    InUse {
        /// The results folder.
        path: PathBuf,
        /// The other scheduler, if known.
        holder: Option<Holder>,
    },
    /// A file or folder in the results folder cannot be created or written.
    #[error("{path}: cannot be written")]
    Unwritable {
        /// The path.
        path: PathBuf,
        /// Cause of the failure.
        source: io::Error,
    },
    /// A file or folder in the results folder cannot be read.
    #[error("{path}: cannot be read")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Cause of the failure.
        source: io::Error,
    },
    /// The journal of a supervisor cannot be written or read.
    #[error("the supervisor's journal of an attempt cannot be used")]
    Journal(#[from] JournalError),
    /// The path cannot be written into orders, since it is not UTF-8.
    #[error("{}: the path is not UTF-8 text; rename the folder or use another one", path.display())]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// The orders cannot be converted to JSON.
    #[error("{path}: the orders cannot be converted to JSON")]
    Orders {
        /// The orders file.
        path: PathBuf,
        /// Cause of the failure.
        source: serde_json::Error,
    },
    /// A cluster does not take an attempt.
    #[error(transparent)]
    Cluster(Box<dyn std::error::Error + Send + Sync>),
    /// The process of an attempt cannot be started, stopped or waited for.
    #[error("{program}: {doing} the process failed")]
    Process {
        /// The program.
        program: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// Cause of the failure.
        source: io::Error,
    },
    /// A process of a dead scheduler cannot be killed.
    #[error(
        "process {pid} of a dead scheduler still works on {path} and cannot be killed; end it by hand, then run the \
         same command again"
    )]
    Survivor {
        /// Id of the process.
        pid: u32,
        /// Folder of the attempt that it works on.
        path: PathBuf,
    },
    /// The receiver of updates was dropped.
    #[error("the receiver of updates was dropped")]
    Unheard,
}

impl RunnerError {
    /// Whether the cause is a single path: something else lies in its place, or its owner does not allow it to be used.
    /// Other paths can be used then. A full disk or a device that fails concerns all of them.
    fn is_of_one_path(&self) -> bool {
        use io::ErrorKind::{
            AlreadyExists, DirectoryNotEmpty, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        };
        let Some(cause) = self.io() else { return false };
        let is_loop = cause.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
        is_loop
            || matches!(
                cause.kind(),
                AlreadyExists
                    | DirectoryNotEmpty
                    | InvalidInput
                    | IsADirectory
                    | NotADirectory
                    | NotFound
                    | PermissionDenied
            )
    }

    /// Whether this run is the only one that cannot go on. If nothing is at the path of its folder, the folder of all
    /// runs may be what cannot be used.
    pub(crate) fn is_of_run(&self, run: &RunLayout) -> bool {
        let is_there = || run.root().symlink_metadata().is_ok();
        let has_others = || run.root().parent().is_some_and(Path::is_dir);
        self.is_of_one_path() && (is_there() || self.is_of_removed() && has_others())
    }

    /// Whether the cause is a file or folder that is not there: every path of the runner was there once.
    pub(crate) fn is_of_removed(&self) -> bool {
        self.io().is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
    }

    /// The error of the operating system, if a file or folder caused this one.
    fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Unwritable { source, .. }
            | Self::Unreadable { source, .. }
            | Self::Journal(JournalError::Io { source, .. }) => Some(source),
            _ => None,
        }
    }
}

pub(crate) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> RunnerError {
    let path = path.to_owned();
    move |source| RunnerError::Unwritable { path, source }
}

pub(crate) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> RunnerError {
    let path = path.to_owned();
    move |source| RunnerError::Unreadable { path, source }
}
