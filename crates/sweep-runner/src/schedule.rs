//! Decides what is launched next. Pure. Runs start in plan order, and a crashed run is tried again before later runs.
//! Throughput is measured last, one run at a time with nothing else running.

use std::collections::{BTreeMap, VecDeque};

use sweep_protocol::{FailureKind, Status, ThroughputTiming};

use crate::WorkItem;

/// A run to be attempted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) item: WorkItem,
    pub(crate) throughput: ThroughputTiming,
    crashes: u32,
}

/// The work that is left, and the statuses of finished runs.
pub(crate) struct Schedule {
    training: VecDeque<Launch>,
    quiet: VecDeque<Launch>,
    throughput: ThroughputTiming,
    crash_retries: u32,
    counts: BTreeMap<Status, usize>,
}

impl Schedule {
    /// With [`ThroughputTiming::Later`], every run that asks for it gets a second attempt for its throughput.
    pub(crate) fn new(items: Vec<WorkItem>, throughput: ThroughputTiming, crash_retries: u32) -> Self {
        let training = items.into_iter().map(|item| Launch { item, throughput, crashes: 0 }).collect();
        Self { training, quiet: VecDeque::new(), throughput, crash_retries, counts: BTreeMap::new() }
    }

    /// Returns the next attempt that may start while `running` others run.
    pub(crate) fn next(&mut self, running: usize) -> Option<Launch> {
        if let Some(launch) = self.training.pop_front() {
            return Some(launch);
        }
        if running == 0 { self.quiet.pop_front() } else { None }
    }

    /// Records the status in which a launched attempt ended. Returns whether the run has finally failed.
    pub(crate) fn take_back(&mut self, launch: Launch, status: Status) -> bool {
        match status {
            Status::Queued => {
                self.quiet.push_back(Launch { throughput: ThroughputTiming::Now, ..launch });
                false
            }
            Status::Failed(FailureKind::Crash) if launch.crashes < self.crash_retries => {
                let again = Launch { crashes: launch.crashes + 1, ..launch };
                let queue = if again.throughput == self.throughput { &mut self.training } else { &mut self.quiet };
                queue.push_front(again);
                false
            }
            _ => {
                *self.counts.entry(status).or_default() += 1;
                matches!(status, Status::Failed(_) | Status::TimedOut)
            }
        }
    }

    /// Number of runs that ended in each status. Runs that are left count as queued.
    pub(crate) fn into_counts(self) -> BTreeMap<Status, usize> {
        let mut counts = self.counts;
        let left = self.training.len() + self.quiet.len();
        if left > 0 {
            counts.insert(Status::Queued, left);
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

    fn next_seed(schedule: &mut Schedule, running: usize) -> Option<u64> {
        schedule.next(running).map(|launch| launch.item.file.seed)
    }

    #[test]
    fn throughput_is_measured_after_all_training_one_run_at_a_time() {
        let mut schedule = Schedule::new(items(), ThroughputTiming::Later, 0);
        let (first, second) = (schedule.next(0).unwrap(), schedule.next(1).unwrap());
        assert!(!schedule.take_back(first, Status::Queued));
        assert_eq!(schedule.next(1), None, "the second run still trains");
        assert!(!schedule.take_back(second, Status::Queued));
        let first = schedule.next(0).unwrap();
        assert_eq!((first.item.file.seed, first.throughput), (0, ThroughputTiming::Now));
        assert_eq!(schedule.next(1), None, "one at a time");
        schedule.take_back(first, Status::Succeeded);
        assert_eq!(next_seed(&mut schedule, 0), Some(1));
    }

    #[test]
    fn a_crash_is_tried_again_before_later_runs_a_limited_number_of_times() {
        let mut schedule = Schedule::new(items(), ThroughputTiming::Now, 1);
        let crash = Status::Failed(FailureKind::Crash);
        let first = schedule.next(0).unwrap();
        assert!(!schedule.take_back(first, crash));
        let first = schedule.next(0).unwrap();
        assert_eq!(first.item.file.seed, 0);
        assert!(schedule.take_back(first, crash));
        assert_eq!(schedule.into_counts(), BTreeMap::from([(crash, 1), (Status::Queued, 1)]));
    }

    #[test]
    fn a_crash_while_measuring_throughput_is_tried_again_first() {
        let mut schedule = Schedule::new(items(), ThroughputTiming::Later, 1);
        let (first, second) = (schedule.next(0).unwrap(), schedule.next(1).unwrap());
        schedule.take_back(first, Status::Queued);
        schedule.take_back(second, Status::Queued);
        let first = schedule.next(0).unwrap();
        schedule.take_back(first, Status::Failed(FailureKind::Crash));
        assert_eq!(next_seed(&mut schedule, 0), Some(0));
    }

    #[test]
    fn other_failures_are_final() {
        let mut schedule = Schedule::new(items(), ThroughputTiming::Now, 1);
        for status in [Status::Failed(FailureKind::Diverged), Status::TimedOut] {
            let launch = schedule.next(0).unwrap();
            assert!(schedule.take_back(launch, status));
        }
        assert_eq!(schedule.next(0), None);
    }
}
