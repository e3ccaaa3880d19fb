//! Decides what is left to do for a run, and why. `plan` shows the decision, and `run` acts on it.

use std::fmt;

use sweep_protocol::{RunRow, Status};

use crate::arithmetic;

/// What the next call of `run` does with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// The run is new: it starts.
    Start {
        /// What changed since the last plan, if that plan had a run at this place.
        why: Option<String>,
    },
    /// The run continues from its checkpoint.
    Continue {
        /// Number of steps in the checkpoint; 0 if the run begins again.
        step: u64,
    },
    /// The run was measured by another version of the trainer, or with another arithmetic than the experiment names. It
    /// is measured again.
    Again {
        /// The difference, as text.
        why: String,
    },
    /// The run is done.
    Reuse,
    /// The run succeeded, but some of its measurements are missing. It is trained again.
    Incomplete {
        /// The missing measurements, as text.
        why: Option<String>,
    },
    /// The run failed because of the machine or the data: it is tried again.
    Retry {
        /// The status of the failure.
        status: Status,
    },
    /// The run failed and waits for `--retry-failed`.
    Failed {
        /// The status of the failure.
        status: Status,
        /// The reason.
        message: Option<String>,
    },
    /// The run has an open attempt.
    Running,
}

/// What happens to failed runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailedRuns {
    /// They wait for `--retry-failed`.
    Wait,
    /// They are tried again.
    Retry,
}

impl Work {
    /// Decides what is left to do for a run. `row` is the run's row, if it has one. `trainer` is the version of its
    /// trainer, and `kernels` the instruction set that its experiment names.
    pub(crate) fn of(row: Option<&RunRow>, trainer: u32, kernels: Option<&str>) -> Self {
        let Some(row) = row else { return Self::Start { why: None } };
        match row.status {
            Status::Succeeded => match (row.trainer_version, arithmetic::other(kernels, row)) {
                (Some(version), _) if version != trainer => {
                    Self::Again { why: format!("measured by trainer version {version}, this is version {trainer}") }
                }
                (_, Some(other)) => Self::Again { why: format!("computed with {other}") },
                _ => Self::Reuse,
            },
            Status::Incomplete => Self::Incomplete { why: row.message.clone() },
            Status::Failed(kind) if kind.is_transient() => Self::Retry { status: row.status },
            Status::Failed(_) | Status::TimedOut => Self::Failed { status: row.status, message: row.message.clone() },
            Status::Running => Self::Running,
            Status::Queued if row.attempts == 0 => Self::Start { why: None },
            Status::Queued | Status::Cancelled | Status::Pruned => {
                // A run does not continue from a checkpoint of another instruction set.
                let is_other = arithmetic::other(kernels, row).is_some();
                Self::Continue { step: if is_other { 0 } else { row.checkpoint_step } }
            }
        }
    }

    /// Whether `run` starts an attempt.
    pub(crate) fn is_open(&self, failed: FailedRuns) -> bool {
        match self {
            Self::Start { .. }
            | Self::Continue { .. }
            | Self::Again { .. }
            | Self::Incomplete { .. }
            | Self::Retry { .. }
            | Self::Running => true,
            Self::Failed { .. } => failed == FailedRuns::Retry,
            Self::Reuse => false,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { why: None } => f.write_str("new"),
            Self::Start { why: Some(why) } => write!(f, "new: {why}"),
            Self::Continue { step: 0 } => f.write_str("interrupted, starts again"),
            Self::Continue { step } => write!(f, "continues at step {step}"),
            Self::Again { why } => write!(f, "measured again: {why}"),
            Self::Incomplete { why } => {
                let why = why.as_deref().unwrap_or("measurements are missing");
                write!(f, "incomplete ({why}), trains again")
            }
            Self::Retry { status } => write!(f, "{status}, tried again"),
            Self::Reuse => f.write_str("done, reused"),
            Self::Failed { status, .. } => write!(f, "{status}, waits for --retry-failed"),
            Self::Running => f.write_str("running"),
        }
    }
}

#[cfg(test)]
mod tests {
    use sweep_protocol::{FailureKind, RunId};

    use super::*;

    const TRAINER: u32 = 7;

    fn row(status: Status, attempts: u32, trainer_version: u32) -> RunRow {
        RunRow {
            run: RunId::of("{}", 0),
            status,
            message: None,
            attempts,
            trainer_version: Some(trainer_version),
            arithmetic: Some("cpu avx2 candle-1+kernels-1".parse().unwrap()),
            processor: None,
            data_fingerprint: None,
            checkpoint_step: 70,
        }
    }

    #[test]
    fn done_work_is_reused_unless_the_trainer_changed() {
        assert_eq!(Work::of(None, TRAINER, None), Work::Start { why: None });
        let done = row(Status::Succeeded, 1, TRAINER);
        assert_eq!(Work::of(Some(&done), TRAINER, Some("avx2")), Work::Reuse);
        assert!(Work::of(Some(&done), TRAINER, Some("plain")).is_open(FailedRuns::Wait));
        assert_eq!(Work::of(Some(&row(Status::Succeeded, 1, TRAINER)), TRAINER, None), Work::Reuse);
        assert!(Work::of(Some(&row(Status::Succeeded, 1, 0)), TRAINER, None).is_open(FailedRuns::Wait));
        assert_eq!(Work::of(Some(&row(Status::Cancelled, 1, 1)), TRAINER, None), Work::Continue { step: 70 });
        assert_eq!(Work::of(Some(&row(Status::Queued, 0, 1)), TRAINER, None), Work::Start { why: None });
    }

    #[test]
    fn failures_of_the_machine_are_tried_again_and_those_of_the_run_wait() {
        use FailureKind::{Config, Crash, Data, Diverged, Equivalence, Io, Oom};
        let waits = |status| {
            let work = Work::of(Some(&row(status, 1, 1)), TRAINER, None);
            assert!(work.is_open(FailedRuns::Retry), "{status}");
            !work.is_open(FailedRuns::Wait)
        };
        assert!([Config, Diverged, Equivalence].into_iter().all(|kind| waits(Status::Failed(kind))));
        assert!(waits(Status::TimedOut));
        assert!(![Crash, Data, Io, Oom].into_iter().any(|kind| waits(Status::Failed(kind))));
        assert!(!waits(Status::Incomplete) && !waits(Status::Cancelled) && !waits(Status::Pruned));
    }
}
