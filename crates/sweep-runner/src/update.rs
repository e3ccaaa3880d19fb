//! Output of the runner: new journal lines as they appear, runs that it gives up, and a summary at the end.

use std::collections::BTreeMap;

use sweep_protocol::{Event, JournalLine, RunId, Status, SupervisorEvent};

/// News of an attempt. Updates of one attempt arrive in the order of its journals. All its own events arrive
/// before its closing line.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The attempt's run.
    pub run: RunId,
    /// The attempt's number, counted from 1; 0 if none could be made.
    pub attempt: u32,
    /// What is new.
    pub kind: UpdateKind,
}

/// The new lines of one of the two journals, which are never empty, or the end of a run that cannot be attempted.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateKind {
    /// Lines of the attempt.
    Events(Vec<JournalLine<Event>>),
    /// Lines of its supervisor.
    Supervisor(Vec<JournalLine<SupervisorEvent>>),
    /// The run is given up, since its folder cannot be used. The text says why.
    Unusable(String),
    /// The run is given up, since its folder was removed while it was under way.
    Removed,
}

/// State of the work when the runner returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Number of runs in each status that occurs. Runs that were not reached count as queued.
    pub counts: BTreeMap<Status, usize>,
    /// Whether the user asked to stop.
    pub interrupted: bool,
}

impl Summary {
    /// Whether a run has finally failed in this call.
    pub fn has_failed(&self) -> bool {
        self.counts.keys().any(|status| matches!(status, Status::Failed(_) | Status::TimedOut))
    }
}
