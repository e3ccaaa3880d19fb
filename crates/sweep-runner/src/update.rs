//! Output of the runner: new journal lines as they appear, and a summary at the end.

use std::collections::BTreeMap;

use sweep_protocol::{Event, JournalLine, RunId, Status, SupervisorEvent};

/// New lines of an attempt. Updates of one attempt arrive in the order of its journals. All its own events arrive
/// before its closing line.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The attempt's run.
    pub run: RunId,
    /// The attempt's number, counted from 1.
    pub attempt: u32,
    /// The new lines.
    pub kind: UpdateKind,
}

/// The new lines of one of the two journals; never empty.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateKind {
    /// Lines of the attempt.
    Events(Vec<JournalLine<Event>>),
    /// Lines of its supervisor.
    Supervisor(Vec<JournalLine<SupervisorEvent>>),
}

/// State of the work when the runner returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Number of runs in each status that occurs. Runs that were not reached count as queued.
    pub counts: BTreeMap<Status, usize>,
    /// Whether the user asked to stop.
    pub interrupted: bool,
}
