//! Decides how an ended attempt is closed, from the outcome that it reported and from how its process ended. Pure
//! functions.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use sweep_protocol::{EXIT_UNWRITABLE_JOURNAL, FailureKind, Outcome, Status, SupervisorEvent, Tally};

use crate::oom;

/// Why the runner ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The user asked for it, another run failed, or the runner cannot go on.
    Request,
    /// The attempt reached its time limit.
    Timeout,
}

/// Everything known about an attempt that has ended.
pub(crate) struct Evidence {
    pub(crate) outcome: Option<Outcome>,
    pub(crate) exit: ExitStatus,
    pub(crate) stopped: Option<Cause>,
    /// Whether memory ran out, according to the kernel's count of such kills or to the memory that the process held.
    pub(crate) killed_for_memory: bool,
    pub(crate) log_tail: String,
}

/// The final status of an attempt, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) status: Status,
    pub(crate) message: Option<String>,
}

impl Closing {
    fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()) }
    }

    /// Converts it into the supervisor's last line. `journal_lines` is the number of journal lines that count, and
    /// `measured` is the tally of their values.
    pub(crate) fn into_event(self, journal_lines: u64, measured: Tally) -> SupervisorEvent {
        let (status, message) = (self.status, self.message);
        SupervisorEvent::Closed { status, message, journal_lines: Some(journal_lines), measured: Some(measured) }
    }
}

/// Decides about an attempt that ended under this runner.
pub(crate) fn of_ended(evidence: &Evidence) -> Closing {
    match &evidence.outcome {
        Some(Outcome::Stopped) if evidence.stopped == Some(Cause::Timeout) => timed_out(),
        Some(outcome) => of_outcome(outcome),
        None => of_silence(evidence),
    }
}

/// Decides about an attempt that was left open by a dead scheduler: by the outcome that it reported, if there is one.
pub(crate) fn of_orphan(outcome: Option<&Outcome>) -> Closing {
    outcome.map_or_else(|| Closing::new(Status::Cancelled, "scheduler died"), of_outcome)
}

fn of_outcome(outcome: &Outcome) -> Closing {
    match outcome {
        Outcome::Succeeded => Closing { status: Status::Succeeded, message: None },
        Outcome::AwaitsQuiet => Closing::new(Status::Queued, "waited for its throughput measurement"),
        Outcome::Stopped => Closing::new(Status::Cancelled, "stopped on request"),
        Outcome::Failed { failure, message } => Closing::new(Status::Failed(*failure), message),
    }
}

fn of_silence(evidence: &Evidence) -> Closing {
    match evidence.stopped {
        Some(Cause::Timeout) => return timed_out(),
        Some(Cause::Request) => return Closing::new(Status::Cancelled, "ended on request before it reported a result"),
        None => {}
    }
    let kind = if evidence.exit.code() == Some(EXIT_UNWRITABLE_JOURNAL.into()) {
        FailureKind::Io
    } else if was_out_of_memory(evidence) {
        FailureKind::Oom
    } else {
        FailureKind::Crash
    };
    let mut message = format!("died before it reported a result, {}", evidence.exit);
    if !evidence.log_tail.is_empty() {
        message.push_str("; its log ends with:\n");
        message.push_str(&evidence.log_tail);
    }
    Closing::new(Status::Failed(kind), message)
}

fn was_out_of_memory(evidence: &Evidence) -> bool {
    const SIGKILL: i32 = 9;
    let by_kernel = evidence.exit.signal() == Some(SIGKILL) && evidence.killed_for_memory;
    by_kernel || oom::is_told_by(&evidence.log_tail)
}

fn timed_out() -> Closing {
    Closing::new(Status::TimedOut, "ran past its time limit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(exit: ExitStatus) -> Evidence {
        Evidence { outcome: None, exit, stopped: None, killed_for_memory: false, log_tail: String::new() }
    }

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn a_process_that_reported_nothing_is_classified_by_signal_exit_code_and_log() {
        let killed = ExitStatus::from_raw(9);
        let failed = |evidence: &Evidence| match of_ended(evidence).status {
            Status::Failed(kind) => kind,
            other => panic!("{other}"),
        };
        assert_eq!(failed(&silent(exited(0))), FailureKind::Crash);
        assert_eq!(failed(&silent(exited(101))), FailureKind::Crash);
        assert_eq!(failed(&silent(killed)), FailureKind::Crash);
        assert_eq!(failed(&silent(exited(74))), FailureKind::Io);
        assert_eq!(failed(&Evidence { killed_for_memory: true, ..silent(killed) }), FailureKind::Oom);
        assert_eq!(failed(&Evidence { killed_for_memory: true, ..silent(exited(1)) }), FailureKind::Crash);
        let log_tail = "memory allocation of 9 bytes failed".to_owned();
        assert_eq!(failed(&Evidence { log_tail, ..silent(ExitStatus::from_raw(6)) }), FailureKind::Oom);
    }

    #[test]
    fn a_reported_outcome_counts_more_than_the_exit_status() {
        let said = |outcome| Evidence { outcome: Some(outcome), ..silent(ExitStatus::from_raw(11)) };
        assert_eq!(of_ended(&said(Outcome::Succeeded)), Closing { status: Status::Succeeded, message: None });
        let stopped = Evidence { stopped: Some(Cause::Timeout), ..said(Outcome::Stopped) };
        assert_eq!(of_ended(&stopped).status, Status::TimedOut);
        assert_eq!(of_ended(&said(Outcome::Stopped)).status, Status::Cancelled);
    }
}
