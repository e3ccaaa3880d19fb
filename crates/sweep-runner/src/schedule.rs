//! Decides what is launched next. Pure. Runs start in plan order, and a crashed run is tried again before later runs.

use std::collections::{BTreeMap, VecDeque};

use sweep_protocol::{FailureKind, Status};

use crate::WorkItem;

/// A run to be attempted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) item: WorkItem,
    crashes: u32,
}

/// The work that is left, and the statuses of finished runs.
pub(crate) struct Schedule {
    waiting: VecDeque<Launch>,
    crash_retries: u32,
    counts: BTreeMap<Status, usize>,
}

impl Schedule {
    pub(crate) fn new(items: Vec<WorkItem>, crash_retries: u32) -> Self {
        let waiting = items.into_iter().map(|item| Launch { item, crashes: 0 }).collect();
        Self { waiting, crash_retries, counts: BTreeMap::new() }
    }

    /// Returns the next attempt.
    pub(crate) fn next(&mut self) -> Option<Launch> {
        self.waiting.pop_front()
    }

    /// Records the status in which a launched attempt ended. Returns whether the run has finally failed.
    pub(crate) fn take_back(&mut self, launch: Launch, status: Status) -> bool {
        if status == Status::Failed(FailureKind::Crash) && launch.crashes < self.crash_retries {
            self.waiting.push_front(Launch { crashes: launch.crashes + 1, ..launch });
            return false;
        }
        *self.counts.entry(status).or_default() += 1;
        matches!(status, Status::Failed(_) | Status::TimedOut)
    }

    /// Number of runs that ended in each status. Runs that are left count as queued.
    pub(crate) fn into_counts(self) -> BTreeMap<Status, usize> {
        let mut counts = self.counts;
        if !self.waiting.is_empty() {
            *counts.entry(Status::Queued).or_default() += self.waiting.len();
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use sweep_protocol::{RunFile, RunId};

    use super::*;

    fn items() -> Vec<WorkItem> {
        let item = |seed| WorkItem { run: RunId::of("{}", seed), file: RunFile { config: "{}".into(), seed } };
        vec![item(0), item(1)]
    }

    #[test]
    fn a_crash_is_tried_again_before_later_runs_a_limited_number_of_times() {
        let mut schedule = Schedule::new(items(), 1);
        let crash = Status::Failed(FailureKind::Crash);
        let first = schedule.next().unwrap();
        assert!(!schedule.take_back(first, crash));
        let first = schedule.next().unwrap();
        assert_eq!(first.item.file.seed, 0);
        assert!(schedule.take_back(first, crash));
        assert_eq!(schedule.into_counts(), BTreeMap::from([(crash, 1), (Status::Queued, 1)]));
    }

    #[test]
    fn other_failures_are_final() {
        let mut schedule = Schedule::new(items(), 1);
        for status in [Status::Failed(FailureKind::Diverged), Status::TimedOut] {
            let launch = schedule.next().unwrap();
            assert!(schedule.take_back(launch, status));
        }
        assert_eq!(schedule.next(), None);
    }
}
