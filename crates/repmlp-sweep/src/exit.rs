//! Exit codes, and how errors are shown.

use std::process::ExitCode;

use repmlp::catalogue::CatalogueError;
use repmlp_interop::InteropError;
use repmlp_train::data::{DataError, DetectError};
use sweep_bundle::BundleError;
use sweep_plan::PlanError;
use sweep_protocol::{EXIT_UNWRITABLE_JOURNAL, FailureKind, JournalError, error_texts, printable};
use sweep_report::ReportError;
use sweep_runner::RunnerError;
use sweep_slurm::SlurmError;
use sweep_store::{Damage, StoreError};
use sweep_trainer::TrainerError;

use crate::bundle::Contradiction;
use crate::commands::OtherData;
use crate::screen::{Screen, say};

/// Exit codes of the program. They are documented in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was requested is done.
    Done = 0,
    /// The command line is wrong. clap uses this code too.
    Usage = 2,
    /// An experiment file, a report declaration or the description of a network is invalid.
    Invalid = 3,
    /// Data is missing or damaged.
    Data = 4,
    /// Work remains: the call was stopped or limited.
    Remains = 5,
    /// Some runs failed.
    Failed = 10,
    /// A claim is contradicted at the scale that it is about.
    Contradicted = 11,
    /// The two forms of a model disagree, a count or computed value does not match its reference, or a committed report
    /// does not match its measurements.
    Mismatch = 12,
    /// The results folder is in use, or its index is of another version.
    InUse = 20,
    /// The results folder cannot be written.
    Unwritable = 21,
    /// An internal error of the program.
    Internal = 70,
    /// The operating system cannot start a process or thread.
    System = 71,
    /// An attempt could not write its journal.
    Io = EXIT_UNWRITABLE_JOURNAL as isize,
    /// The user interrupted twice.
    Interrupted = 130,
}

impl Exit {
    /// Returns this code, or `next` if everything is done so far.
    pub(crate) fn or(self, next: Self) -> Self {
        if self == Self::Done { next } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error in the command line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Prints an error on standard error. Returns its exit code.
pub(crate) fn report(error: &anyhow::Error, screen: Screen) -> Exit {
    match error.downcast_ref::<PlanError>() {
        Some(plan) => say(&plan.render(screen.plan_colors())),
        None => say(&format!(
            "{} {}",
            screen.alarm("error:"),
            printable(&error_texts(error.as_ref()).join("\n  caused by: "))
        )),
    }
    code(error)
}

fn code(error: &anyhow::Error) -> Exit {
    error.chain().find_map(code_of).unwrap_or(Exit::Internal)
}

/// Returns the exit code of an error that a cluster caused.
fn cluster(fault: &RunnerError) -> Option<Exit> {
    let RunnerError::Cluster(fault) = fault else { return None };
    fault.downcast_ref::<SlurmError>().map(of_slurm)
}

fn of_slurm(fault: &SlurmError) -> Exit {
    match fault {
        SlurmError::Setting { .. } | SlurmError::Program(_) => Exit::Invalid,
        SlurmError::NotText { .. } => Exit::Usage,
        SlurmError::File { .. } => Exit::Unwritable,
        SlurmError::Missing { .. }
        | SlurmError::Refused { .. }
        | SlurmError::Killed { .. }
        | SlurmError::Unreadable { .. }
        | SlurmError::Silent { .. }
        | SlurmError::Answer { .. } => Exit::System,
    }
}

fn of_interop(fault: &InteropError) -> Exit {
    match fault {
        InteropError::Unnamed { .. }
        | InteropError::Merged
        | InteropError::MergedFc3
        | InteropError::NoFc3
        | InteropError::UnknownFc3 { .. }
        | InteropError::OutsideFc3 { .. }
        | InteropError::UnknownCase { .. } => Exit::Usage,
        InteropError::Io { doing, .. } if *doing == "written" => Exit::Unwritable,
        _ => Exit::Data,
    }
}

fn of_bundle(fault: &BundleError) -> Exit {
    match fault {
        BundleError::Io { doing: "written", .. } => Exit::Unwritable,
        BundleError::Place { .. } | BundleError::InTheWay { .. } => Exit::Usage,
        BundleError::Newer { .. } => Exit::InUse,
        BundleError::Io { .. } | BundleError::Damaged { .. } => Exit::Data,
    }
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if cause.is::<UsageError>() || cause.is::<repmlp_kernels::UnknownInstructionSet>() {
        return Some(Exit::Usage);
    }
    if cause.is::<PlanError>() || cause.is::<CatalogueError>() {
        return Some(Exit::Invalid);
    }
    if cause.is::<DataError>() || cause.is::<DetectError>() || cause.is::<Contradiction>() || cause.is::<OtherData>() {
        return Some(Exit::Data);
    }
    if let Some(fault) = cause.downcast_ref::<InteropError>() {
        return Some(of_interop(fault));
    }
    if let Some(fault) = cause.downcast_ref::<RunnerError>() {
        return Some(match fault {
            RunnerError::InUse { .. } => Exit::InUse,
            RunnerError::NotText { .. } => Exit::Usage,
            RunnerError::Unwritable { .. } | RunnerError::Unreadable { .. } | RunnerError::Journal(_) => {
                Exit::Unwritable
            }
            RunnerError::Process { .. } | RunnerError::Survivor { .. } => Exit::System,
            RunnerError::Orders { .. } | RunnerError::Unheard => Exit::Internal,
            // Its cause follows.
            RunnerError::Cluster(_) => return cluster(fault),
        });
    }
    if let Some(fault) = cause.downcast_ref::<BundleError>() {
        return Some(of_bundle(fault));
    }
    if let Some(fault) = cause.downcast_ref::<SlurmError>() {
        return Some(of_slurm(fault));
    }
    if let Some(fault) = cause.downcast_ref::<StoreError>() {
        return Some(match fault {
            StoreError::Version { .. } | StoreError::Foreign { .. } | StoreError::Newer { .. } => Exit::InUse,
            StoreError::Sql { .. } | StoreError::Io { .. } | StoreError::Unusable { .. } => Exit::Unwritable,
            StoreError::UnknownRun { .. } => Exit::Internal,
        });
    }
    if let Some(damage) = cause.downcast_ref::<Damage>() {
        return Some(if matches!(damage, Damage::Unreadable { .. }) { Exit::Unwritable } else { Exit::Data });
    }
    if let Some(fault) = cause.downcast_ref::<ReportError>() {
        return Some(match fault {
            ReportError::Published { .. } | ReportError::Edited { .. } => Exit::Data,
            ReportError::Io { doing: "reading", .. } => Exit::Invalid,
            ReportError::Io { .. } => Exit::Unwritable,
            _ => Exit::Invalid,
        });
    }
    if let Some(fault) = cause.downcast_ref::<TrainerError>() {
        return Some(match fault.kind {
            FailureKind::Config => Exit::Usage,
            FailureKind::Data => Exit::Data,
            FailureKind::Io => Exit::Io,
            FailureKind::Equivalence => Exit::Mismatch,
            FailureKind::Diverged | FailureKind::Oom | FailureKind::Crash => Exit::Failed,
        });
    }
    if cause.is::<JournalError>() || cause.is::<std::io::Error>() {
        return Some(Exit::Unwritable);
    }
    None
}
