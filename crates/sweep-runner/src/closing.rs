//! Decides how an ended attempt is closed, from the outcome that it reported and from how its process ended. Pure
//! functions.

use sweep_protocol::{FailureKind, Outcome, Status, SupervisorEvent, Tally};

use crate::launcher::{Ended, EndedBy};

/// Everything known about an attempt that has ended.
pub(crate) struct Evidence<'a> {
    pub(crate) outcome: Option<Outcome>,
    pub(crate) end: &'a Ended,
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
pub(crate) fn of_ended(evidence: &Evidence<'_>) -> Closing {
    match (&evidence.outcome, evidence.end.by) {
        (Some(Outcome::Stopped), EndedBy::TimeLimit) => timed_out(&evidence.end.how),
        (Some(Outcome::Stopped), EndedBy::Requeued) => {
            Closing::new(Status::Cancelled, "wrote a checkpoint and waits in the queue again")
        }
        (Some(Outcome::Stopped), EndedBy::Pruning) => pruned(),
        (Some(Outcome::Stopped), EndedBy::Cluster) => {
            Closing::new(Status::Cancelled, format!("was stopped by the cluster, {}", evidence.end.how))
        }
        (Some(outcome), _) => of_outcome(outcome),
        (None, _) => of_silence(evidence),
    }
}

/// What a scheduler did with an attempt before it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It wrote the orders only.
    Prepared,
    /// It launched the attempt.
    Launched,
}

/// Decides about an attempt that was left open by a dead scheduler: by the outcome that it reported, if there is one.
pub(crate) fn of_orphan(outcome: Option<&Outcome>, left: Left) -> Closing {
    let message = match left {
        Left::Prepared => "was prepared, but not launched",
        Left::Launched => "scheduler died",
    };
    outcome.map_or_else(|| Closing::new(Status::Cancelled, message), of_outcome)
}

fn of_outcome(outcome: &Outcome) -> Closing {
    match outcome {
        Outcome::Succeeded => Closing { status: Status::Succeeded, message: None },
        Outcome::AwaitsQuiet => Closing::new(Status::Queued, "waited for its throughput measurement"),
        Outcome::Stopped => Closing::new(Status::Cancelled, "stopped on request"),
        Outcome::Failed { failure, message } => Closing::new(Status::Failed(*failure), message),
    }
}

fn of_silence(evidence: &Evidence<'_>) -> Closing {
    let Ended { by, how } = evidence.end;
    let kind = match by {
        EndedBy::TimeLimit => return timed_out(how),
        EndedBy::Pruning => return pruned(),
        EndedBy::Request => return Closing::new(Status::Cancelled, "ended on request before it reported a result"),
        EndedBy::Requeued => return Closing::new(Status::Cancelled, how),
        EndedBy::UnwritableJournal => FailureKind::Io,
        EndedBy::Memory => FailureKind::Oom,
        EndedBy::Itself | EndedBy::Cluster if is_out_of_memory(&evidence.log_tail) => FailureKind::Oom,
        EndedBy::Itself | EndedBy::Cluster => FailureKind::Crash,
    };
    let mut message = format!("died before it reported a result, {how}");
    if !evidence.log_tail.is_empty() {
        message.push_str("; its log ends with:\n");
        message.push_str(&evidence.log_tail);
    }
    Closing::new(Status::Failed(kind), message)
}

/// Whether the end of a log reports a failed allocation, in the words of Rust or CUDA.
fn is_out_of_memory(log: &str) -> bool {
    let log = log.to_ascii_lowercase();
    log.contains("out of memory") || log.contains("out_of_memory") || log.contains("memory allocation of ")
}

fn pruned() -> Closing {
    Closing::new(Status::Pruned, "a call without --prune continues it")
}

fn timed_out(how: &str) -> Closing {
    Closing::new(Status::TimedOut, format!("ran past its time limit, {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(outcome: Option<Outcome>, by: EndedBy, log_tail: &str) -> Closing {
        let end = Ended { by, how: "exit status: 1".to_owned() };
        of_ended(&Evidence { outcome, end: &end, log_tail: log_tail.to_owned() })
    }

    #[test]
    fn a_process_that_reported_nothing_is_classified_by_its_end_and_its_log() {
        let status = |by, log| closed(None, by, log).status;
        assert_eq!(status(EndedBy::Itself, ""), Status::Failed(FailureKind::Crash));
        assert_eq!(status(EndedBy::Itself, "memory allocation of 9 bytes failed"), Status::Failed(FailureKind::Oom));
        assert_eq!(status(EndedBy::UnwritableJournal, ""), Status::Failed(FailureKind::Io));
        assert_eq!(status(EndedBy::Memory, ""), Status::Failed(FailureKind::Oom));
        assert_eq!(status(EndedBy::TimeLimit, ""), Status::TimedOut);
        assert_eq!(status(EndedBy::Request, ""), Status::Cancelled);
        assert_eq!(status(EndedBy::Pruning, ""), Status::Pruned);
        assert_eq!(status(EndedBy::Requeued, ""), Status::Cancelled);
    }

    #[test]
    fn a_reported_outcome_counts_more_than_the_end_of_the_process() {
        let done = Closing { status: Status::Succeeded, message: None };
        assert_eq!(closed(Some(Outcome::Succeeded), EndedBy::Memory, ""), done);
        assert_eq!(closed(Some(Outcome::Stopped), EndedBy::TimeLimit, "").status, Status::TimedOut);
        assert_eq!(closed(Some(Outcome::Stopped), EndedBy::Itself, "").status, Status::Cancelled);
        assert_eq!(closed(Some(Outcome::Stopped), EndedBy::Cluster, "").status, Status::Cancelled);
        assert_eq!(closed(Some(Outcome::Stopped), EndedBy::Pruning, ""), pruned());
        assert_eq!(closed(Some(Outcome::Succeeded), EndedBy::Pruning, ""), done);
    }

    #[test]
    fn allocator_messages_are_recognised() {
        assert!(is_out_of_memory("memory allocation of 4096 bytes failed"));
        assert!(is_out_of_memory("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"));
        assert!(!is_out_of_memory("index out of bounds"));
    }
}
