//! Reads the journals of open attempts again and again. It writes nothing, and a journal that cannot be read is tried
//! again later.

use std::collections::BTreeMap;

use sweep_protocol::{Event, JournalReader, ResultsLayout, RunId, Status, SupervisorEvent, attempt_numbers};

use crate::SweepState;

/// The journals of the latest attempt of each run.
pub struct Follower {
    layout: ResultsLayout,
    journals: BTreeMap<RunId, Journals>,
}

struct Journals {
    attempt: u32,
    own: JournalReader<Event>,
    supervisor: JournalReader<SupervisorEvent>,
}

impl Follower {
    /// Starts to follow the attempts in a results folder.
    pub fn new(layout: &ResultsLayout) -> Self {
        Self { layout: layout.clone(), journals: BTreeMap::new() }
    }

    /// Reads new lines of the runs that are not finished, and those of `shown`. A finished run is read only if it is
    /// shown: there may be thousands.
    pub fn refresh(&mut self, state: &mut SweepState, shown: Option<RunId>) {
        let is_open = |status| !matches!(status, Status::Succeeded | Status::Failed(_) | Status::TimedOut);
        let open = state.runs.iter().filter(|run| is_open(run.status) || Some(run.run) == shown);
        let open: Vec<RunId> = open.map(|run| run.run).collect();
        for run in open {
            self.read(state, run);
        }
    }

    fn read(&mut self, state: &mut SweepState, run: RunId) {
        let layout = self.layout.run(run);
        let Some(attempt) = attempt_numbers(&layout).ok().and_then(|numbers| numbers.last().copied()) else { return };
        let folder = layout.attempt(attempt);
        let fresh = || Journals {
            attempt,
            own: JournalReader::new(&folder.journal()),
            supervisor: JournalReader::new(&folder.supervisor()),
        };
        let journals = self.journals.entry(run).or_insert_with(fresh);
        if journals.attempt != attempt {
            *journals = fresh();
        }
        if let Ok(part) = journals.own.read_new() {
            part.lines.iter().for_each(|line| state.reported(run, attempt, line));
        }
        if let Ok(part) = journals.supervisor.read_new() {
            part.lines.iter().for_each(|line| state.supervised(run, attempt, line));
        }
    }
}
