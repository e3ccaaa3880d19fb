//! What the runner tells: lines as they appear in journals, and the count at the end.

use std::collections::BTreeMap;

use sweep_protocol::{Event, JournalLine, RunId, Status, SupervisorEvent};

/// Something new is known of an attempt. An attempt's updates arrive in the order of its journals, and everything that
/// it said arrives before it is closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Whose.
    pub run: RunId,
    /// Which attempt of it, counted from 1.
    pub attempt: u32,
    /// What is new.
    pub kind: UpdateKind,
}

/// Whose journal grew, and by what; never by nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateKind {
    /// The attempt said something.
    Events(Vec<JournalLine<Event>>),
    /// Its supervisor said something.
    Supervisor(Vec<JournalLine<SupervisorEvent>>),
}

/// Where the work stands when the runner returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Runs in each status that occurs; those that were not reached are queued.
    pub counts: BTreeMap<Status, usize>,
    /// Whether a person asked to stop.
    pub interrupted: bool,
}
