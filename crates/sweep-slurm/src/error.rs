//! What can go wrong between this program and Slurm.

use std::io;
use std::path::PathBuf;

/// A submission, or a question to Slurm, failed.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// A command of Slurm cannot be started.
    #[error("`{command}` cannot be started; call this program on a login node of the cluster, or leave out --launcher")]
    Missing {
        /// The command.
        command: &'static str,
        /// Cause of the failure.
        source: io::Error,
    },
    /// A command of Slurm refused.
    #[error("`{command}` refused: {said}")]
    Refused {
        /// The command with its arguments.
        command: String,
        /// What it wrote on standard error.
        said: String,
    },
    /// A command of Slurm was killed before it answered.
    #[error("`{command}` was killed: {how}")]
    Killed {
        /// The command with its arguments.
        command: String,
        /// The signal.
        how: String,
    },
    /// A command of Slurm did not answer.
    #[error("`{command}` has not answered for {seconds} s")]
    Silent {
        /// The command.
        command: &'static str,
        /// Time that it was given.
        seconds: u64,
    },
    /// The answer of a command of Slurm cannot be read.
    #[error("the answer of `{command}` cannot be read")]
    Unreadable {
        /// The command.
        command: &'static str,
        /// Cause of the failure.
        source: io::Error,
    },
    /// A command of Slurm answered in a form that is not known.
    #[error("`{command}` answered {answer}, which is not of the form {expected}")]
    Answer {
        /// The command.
        command: &'static str,
        /// Its answer.
        answer: String,
        /// The expected form.
        expected: &'static str,
    },
    /// The program of the tasks is not there.
    #[error("launcher.slurm.program: {0}")]
    Program(crate::NoProgram),
    /// A setting cannot be written into a script.
    #[error("launcher.slurm.{key}: {why}")]
    Setting {
        /// The key.
        key: &'static str,
        /// What is wrong, and what is right.
        why: String,
    },
    /// A file of a submission or attempt cannot be used.
    #[error("{path}: {doing} failed")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Cause of the failure.
        source: io::Error,
    },
    /// A path cannot be written into a script or manifest, since it is not UTF-8.
    #[error(
        "{}: the path is not UTF-8 text without line breaks and backslashes; rename the folder or use another one",
        path.display()
    )]
    NotText {
        /// The path.
        path: PathBuf,
    },
}

pub(crate) fn file(path: impl Into<PathBuf>, doing: &'static str) -> impl FnOnce(io::Error) -> SlurmError {
    let path = path.into();
    move |source| SlurmError::File { path, doing, source }
}

impl From<crate::NoProgram> for SlurmError {
    fn from(fault: crate::NoProgram) -> Self {
        Self::Program(fault)
    }
}
