//! Decides what is launched next. Pure.
//!
//! With several slots, the longest run starts first, so that no slot works alone at the end. A run starts only if its
//! memory fits beside that of the running ones. A run that failed because of the machine is tried again before later
//! runs.

use std::collections::BTreeMap;

use sweep_protocol::{FailureKind, RunId, Status};

use crate::{Forecast, WorkItem};

/// Forecasts are never reduced below this share. A short attempt may end before its memory is looked at.
const LEAST_CORRECTION: f64 = 0.5;

/// Number of times that a run waits again after the cluster stopped it.
const MOST_STOPS: u32 = 100;

/// A run to be attempted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) item: WorkItem,
    /// Number of attempts that failed because of the machine.
    failures: u32,
    /// Number of attempts that saved their work when the cluster stopped them.
    stops: u32,
    /// Whether the run must be alone, since its memory ran out beside others.
    is_alone: bool,
}

/// What a schedule obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) slots: usize,
    /// Number of times that a run which failed because of the machine is tried again.
    pub(crate) retries: u32,
    /// Whether this also holds for runs that reached their time limit.
    pub(crate) retries_time_limits: bool,
    /// Whether runs take their memory from one machine.
    pub(crate) shares_memory: bool,
    /// Memory for all runs together, in bytes. Absent if it is not known, or if runs do not use the machine's memory.
    pub(crate) memory: Option<u64>,
}

/// The work that is left, the running attempts, and the statuses of finished runs.
pub(crate) struct Schedule {
    policy: Policy,
    /// The next run first.
    waiting: Vec<Launch>,
    running: BTreeMap<RunId, Launch>,
    /// Largest share of its forecast that a run took. Later forecasts are multiplied by it.
    correction: Option<f64>,
    counts: BTreeMap<Status, usize>,
}

impl Schedule {
    pub(crate) fn new(items: Vec<WorkItem>, policy: Policy) -> Self {
        let mut waiting: Vec<Launch> =
            items.into_iter().map(|item| Launch { item, failures: 0, stops: 0, is_alone: false }).collect();
        if policy.slots > 1 {
            // The sort is stable: runs of the same work keep their order.
            waiting.sort_by_key(|launch| std::cmp::Reverse(launch.item.forecast.work));
        }
        Self { policy, waiting, running: BTreeMap::new(), correction: None, counts: BTreeMap::new() }
    }

    /// Returns the next attempt; `None` if nothing may start now.
    pub(crate) fn next(&mut self) -> Option<Launch> {
        let next = self.waiting.iter().position(|launch| self.fits(launch))?;
        let launch = self.waiting.remove(next);
        self.running.insert(launch.item.run, launch.clone());
        Some(launch)
    }

    /// Whether a run may start beside the running ones. A run that is alone may always start: waiting would not help.
    fn fits(&self, launch: &Launch) -> bool {
        if self.running.is_empty() {
            return true;
        }
        if launch.is_alone || self.running.values().any(|running| running.is_alone) {
            return false;
        }
        let expected = |launch: &Launch| launch.item.forecast.memory as f64 * self.correction.unwrap_or(1.0);
        let used: f64 = self.running.values().map(expected).sum();
        self.policy.memory.is_none_or(|memory| used + expected(launch) <= memory as f64)
    }

    /// Takes a run out of those that wait, because it is pruned.
    pub(crate) fn leave_out(&mut self, run: RunId) {
        if let Some(place) = self.waiting.iter().position(|launch| launch.item.run == run) {
            self.waiting.remove(place);
            *self.counts.entry(Status::Pruned).or_default() += 1;
        }
    }

    /// Records the status in which a running attempt ended, and the memory that it took at most, if known. Returns
    /// whether the run has finally failed.
    pub(crate) fn take_back(&mut self, run: RunId, status: Status, memory: Option<u64>) -> bool {
        let Some(launch) = self.running.remove(&run) else { return false };
        let Forecast { memory: forecast, .. } = launch.item.forecast;
        // An attempt that was stopped or failed may have ended before it took its whole memory.
        if let Some(memory) = memory.filter(|memory| *memory > 0 && forecast > 0 && status == Status::Succeeded) {
            let share = (memory as f64 / forecast as f64).max(LEAST_CORRECTION);
            self.correction = Some(self.correction.map_or(share, |known| known.max(share)));
        }
        let is_of_the_machine = match status {
            Status::Failed(kind) => kind.is_of_the_machine(),
            Status::TimedOut => self.policy.retries_time_limits,
            _ => false,
        };
        if is_of_the_machine && launch.failures < self.policy.retries {
            let ran_out = self.policy.shares_memory && status == Status::Failed(FailureKind::Oom);
            let is_alone = launch.is_alone || ran_out;
            self.waiting.insert(0, Launch { failures: launch.failures + 1, is_alone, ..launch });
            return false;
        }
        *self.counts.entry(status).or_default() += 1;
        matches!(status, Status::Failed(_) | Status::TimedOut)
    }

    /// Records that the cluster stopped a running attempt, which saved its work. The run waits again. This is no
    /// failure: an attempt that is preempted has made progress. A run that is stopped again and again is left.
    pub(crate) fn put_back(&mut self, run: RunId) {
        let Some(launch) = self.running.remove(&run) else { return };
        if launch.stops < MOST_STOPS {
            self.waiting.insert(0, Launch { stops: launch.stops + 1, ..launch });
        } else {
            *self.counts.entry(Status::Cancelled).or_default() += 1;
        }
    }

    /// Records that nothing can be done for a running run, since its folder cannot be used. It is not tried again in
    /// this call: most causes would be the same.
    pub(crate) fn give_up(&mut self, run: RunId) {
        if self.running.remove(&run).is_some() {
            *self.counts.entry(Status::Failed(FailureKind::Io)).or_default() += 1;
        }
    }

    /// Number of runs that ended in each status. Runs that are left count as queued.
    pub(crate) fn into_counts(self) -> BTreeMap<Status, usize> {
        let mut counts = self.counts;
        let left = self.waiting.len() + self.running.len();
        if left > 0 {
            *counts.entry(Status::Queued).or_default() += left;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::select;
    use sweep_protocol::RunFile;

    use super::*;

    const CRASH: Status = Status::Failed(FailureKind::Crash);
    const OOM: Status = Status::Failed(FailureKind::Oom);

    /// Makes items of these amounts of work and memory.
    fn items(forecasts: &[(u64, u64)]) -> Vec<WorkItem> {
        let item = |(seed, (work, memory)): (u64, &(u64, u64))| WorkItem {
            run: RunId::of("{}", seed),
            file: RunFile { config: "{}".into(), seed },
            forecast: Forecast { work: *work, memory: *memory },
        };
        (0..).zip(forecasts).map(item).collect()
    }

    fn policy(slots: usize, memory: Option<u64>) -> Policy {
        Policy { slots, retries: 1, retries_time_limits: false, shares_memory: true, memory }
    }

    fn next_seed(schedule: &mut Schedule) -> Option<u64> {
        schedule.next().map(|launch| launch.item.file.seed)
    }

    fn run(seed: u64) -> RunId {
        RunId::of("{}", seed)
    }

    #[test]
    fn the_longest_run_starts_first_if_there_are_several_slots() {
        let order = |slots: usize| {
            let mut schedule = Schedule::new(items(&[(1, 0), (3, 0), (2, 0), (3, 0)]), policy(slots, None));
            std::iter::from_fn(|| next_seed(&mut schedule)).collect::<Vec<_>>()
        };
        assert_eq!(order(1), [0, 1, 2, 3]);
        assert_eq!(order(2), [1, 3, 2, 0]);
    }

    #[test]
    fn a_run_that_the_cluster_stops_waits_again_without_a_failure() {
        let mut schedule = Schedule::new(items(&[(0, 0)]), policy(1, None));
        for _ in 0..=MOST_STOPS {
            assert_eq!(next_seed(&mut schedule), Some(0));
            schedule.put_back(run(0));
        }
        assert_eq!(next_seed(&mut schedule), None);
        assert_eq!(schedule.into_counts(), BTreeMap::from([(Status::Cancelled, 1)]));
    }

    #[test]
    fn a_crash_is_tried_again_before_later_runs_a_limited_number_of_times() {
        let mut schedule = Schedule::new(items(&[(0, 0); 2]), policy(1, None));
        assert_eq!(next_seed(&mut schedule), Some(0));
        assert!(!schedule.take_back(run(0), CRASH, None));
        assert_eq!(next_seed(&mut schedule), Some(0));
        assert!(schedule.take_back(run(0), CRASH, None));
        assert_eq!(schedule.into_counts(), BTreeMap::from([(CRASH, 1), (Status::Queued, 1)]));
    }

    #[test]
    fn a_pruned_run_does_not_start_again() {
        let mut schedule = Schedule::new(items(&[(0, 0); 2]), policy(1, None));
        assert_eq!(next_seed(&mut schedule), Some(0));
        schedule.leave_out(run(0));
        schedule.take_back(run(0), CRASH, None);
        schedule.leave_out(run(0));
        assert_eq!(next_seed(&mut schedule), Some(1));
        schedule.take_back(run(1), Status::Succeeded, None);
        assert_eq!(next_seed(&mut schedule), None);
        assert_eq!(schedule.into_counts(), BTreeMap::from([(Status::Pruned, 1), (Status::Succeeded, 1)]));
    }

    #[test]
    fn other_failures_are_final() {
        let mut schedule = Schedule::new(items(&[(0, 0); 2]), policy(1, None));
        for (seed, status) in [(0, Status::Failed(FailureKind::Diverged)), (1, Status::TimedOut)] {
            assert_eq!(next_seed(&mut schedule), Some(seed));
            assert!(schedule.take_back(run(seed), status, None));
        }
        assert_eq!(next_seed(&mut schedule), None);
    }

    #[test]
    fn a_run_whose_memory_does_not_fit_waits_and_a_smaller_one_starts() {
        let mut schedule = Schedule::new(items(&[(3, 60), (2, 60), (1, 30)]), policy(3, Some(100)));
        assert_eq!([next_seed(&mut schedule), next_seed(&mut schedule)], [Some(0), Some(2)]);
        assert_eq!(next_seed(&mut schedule), None);
        schedule.take_back(run(0), Status::Succeeded, Some(30));
        // Half of the forecast was enough: 30 and 15 of 100 are used now.
        assert_eq!(next_seed(&mut schedule), Some(1));
        let mut huge = Schedule::new(items(&[(0, 900)]), policy(1, Some(100)));
        assert_eq!(next_seed(&mut huge), Some(0), "a run that is alone may always start");
    }

    #[test]
    fn a_run_that_ran_out_of_memory_is_tried_again_alone() {
        let mut schedule = Schedule::new(items(&[(0, 0); 3]), policy(3, None));
        assert_eq!([next_seed(&mut schedule), next_seed(&mut schedule)], [Some(0), Some(1)]);
        schedule.take_back(run(0), OOM, None);
        assert_eq!(next_seed(&mut schedule), Some(2), "it waits until nothing else runs");
        schedule.take_back(run(1), Status::Succeeded, None);
        assert_eq!(next_seed(&mut schedule), None);
        schedule.take_back(run(2), Status::Succeeded, None);
        assert_eq!(next_seed(&mut schedule), Some(0));
        assert_eq!(schedule.waiting.len(), 0);
        let policy = Policy { shares_memory: false, ..policy(3, None) };
        let mut schedule = Schedule::new(items(&[(0, 0); 2]), policy);
        assert_eq!([next_seed(&mut schedule), next_seed(&mut schedule)], [Some(0), Some(1)]);
        schedule.take_back(run(0), OOM, None);
        assert_eq!(next_seed(&mut schedule), Some(0), "beside others, if each has its own memory");
    }

    /// How an attempt ends.
    #[derive(Clone, Copy, Debug)]
    enum End {
        As(Status),
        /// The cluster stops it, and its work is saved.
        Stopped,
        /// Its folder cannot be used.
        Unusable,
    }

    fn end() -> impl Strategy<Value = End> {
        use FailureKind::{Config, Crash, Data, Diverged, Io, Oom};
        let failed = [Config, Crash, Data, Diverged, Io, Oom].map(Status::Failed);
        let others = [Status::Succeeded, Status::Succeeded, Status::Cancelled, Status::Pruned, Status::TimedOut];
        let ends = others.into_iter().chain(failed).map(End::As).chain([End::Stopped; 3]).chain([End::Unusable]);
        select(ends.collect::<Vec<_>>())
    }

    proptest! {
        /// Attempts start and end in any order, with any status, or are stopped by the cluster. The schedule loses no
        /// run, runs none twice at once, ends, and never gives out more memory than there is, except to a run that is
        /// alone.
        #[test]
        fn no_order_of_events_loses_or_repeats_a_run(
            forecasts in vec((0_u64..5, 0_u64..80), 1..12),
            slots in 1_usize..5,
            memory in proptest::option::of(50_u64..150),
            retries_time_limits in any::<bool>(),
            shares_memory in any::<bool>(),
            ends in vec((any::<proptest::sample::Index>(), end(), proptest::option::of(1_u64..200)), 40),
        ) {
            let number = forecasts.len();
            let policy = Policy { slots, retries: 2, retries_time_limits, shares_memory, memory };
            let mut schedule = Schedule::new(items(&forecasts), policy);
            let mut running: Vec<RunId> = Vec::new();
            let mut attempts: BTreeMap<RunId, u32> = BTreeMap::new();
            let mut ends = ends.into_iter();
            let (mut ended, mut stops) = (0, BTreeMap::new());
            loop {
                while running.len() < slots && let Some(launch) = schedule.next() {
                    prop_assert!(!running.contains(&launch.item.run), "it runs already");
                    running.push(launch.item.run);
                    *attempts.entry(launch.item.run).or_default() += 1;
                }
                if running.is_empty() {
                    break;
                }
                let used: f64 = running.iter().map(|run| {
                    schedule.running[run].item.forecast.memory as f64 * schedule.correction.unwrap_or(1.0)
                }).sum();
                // A correction that became larger counts for runs that start later.
                let is_corrected = schedule.correction.is_some();
                let fits = memory.is_none_or(|memory| used <= memory as f64);
                prop_assert!(running.len() == 1 || is_corrected || fits);
                let next = ends.next().map(|(index, end, took)| (index.index(running.len()), end, took));
                let (index, end, took) = next.unwrap_or((0, End::As(Status::Succeeded), None));
                let run = running.swap_remove(index);
                match end {
                    End::As(status) => {
                        schedule.take_back(run, status, took);
                        ended += 1;
                    }
                    End::Stopped => {
                        schedule.put_back(run);
                        *stops.entry(run).or_insert(0_u32) += 1;
                    }
                    End::Unusable => {
                        schedule.give_up(run);
                        ended += 1;
                    }
                }
                prop_assert!(ended <= 3 * number, "every run has at most three attempts that nothing stops");
            }
            prop_assert!(attempts.iter().all(|(run, attempts)| *attempts <= 3 + stops.get(run).unwrap_or(&0)));
            let counts = schedule.into_counts();
            prop_assert_eq!(counts.values().sum::<usize>(), number);
            prop_assert_eq!(counts.get(&Status::Queued), None);
        }
    }
}
