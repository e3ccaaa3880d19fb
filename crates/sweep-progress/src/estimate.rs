//! How long it still takes, and which attempts are far too slow.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use sweep_protocol::RunId;

use crate::attempt::Attempt;
use crate::news::News;
use crate::pace::{Paces, Trained, seconds_between};
use crate::state::{Progress, Run, Scheduler, Stage};

/// An attempt that takes more than this number of times as long as finished runs of its configuration is slow.
const SLOW: f64 = 2.0;
/// The same for an attempt whose configuration has too few finished runs. Small networks take several times as long for
/// each multiply-add as large ones, so only a far larger number tells that something is wrong.
const SLOW_AMONG_OTHERS: f64 = 10.0;
/// Share of its run that an attempt must have trained before its own pace counts.
const LEAST_SHARE: f64 = 0.1;
/// Seconds for which an attempt must have trained before it can be slow. The times of shorter ones are mostly noise.
const LEAST_SECONDS: f64 = 10.0;

impl Progress {
    /// Returns the seconds until all runs are finished, by the pace that attempts of this sweep were measured to have:
    /// each slot takes the next run as soon as it is free. At least 1 while a run is unfinished. `None` before anything
    /// is measured, without a scheduler, and when all runs are finished.
    pub fn seconds_left(&self, now_ms: u64) -> Option<f64> {
        if self.scheduler == Scheduler::Absent && !self.is_on_cluster() || self.is_finished() {
            return None;
        }
        let paces = self.paces();
        paces.pace(None)?;
        let mut slots = self.slots(&paces, now_ms);
        for run in self.queue() {
            let Reverse((free_ms, slot)) = slots.pop()?;
            let place = self.slot_places.get(&slot);
            let work = run.weight * (1.0 - self.share_of(run));
            let seconds = paces.start_s() + paces.pace(place)? * work + paces.end_s();
            slots.push(Reverse((free_ms.saturating_add(ms(seconds)), slot)));
        }
        let last_ms = slots.into_iter().map(|Reverse((free_ms, _))| free_ms).max()?;
        Some((last_ms as f64 / 1000.0).max(1.0))
    }

    /// Whether no run is left to do.
    pub fn is_finished(&self) -> bool {
        !self.runs.iter().any(|run| matches!(run.stage, Stage::Queued | Stage::Running))
    }

    /// The runs that wait, in the order in which a scheduler starts them: retries, then the plan's order with one slot,
    /// and the longest first with several.
    pub(crate) fn queue(&self) -> Vec<&Run> {
        let mut queue: Vec<&Run> = self.runs.iter().filter(|run| run.stage == Stage::Queued).collect();
        let by_length = self.slot_count() > 1;
        let length = |run: &Run| if by_length { Reverse(run.weight as u64) } else { Reverse(0) };
        queue.sort_by_key(|run| (run.failures == 0, length(run)));
        queue
    }

    /// Number of slots: the given number, or those that were used.
    pub(crate) fn slot_count(&self) -> u32 {
        self.setup.slots.unwrap_or(self.slots_seen)
    }

    /// Times of all attempts, also of the running ones.
    fn paces(&self) -> Paces {
        let mut paces = self.past.clone();
        for run in self.runs.iter().filter(|run| run.stage == Stage::Running) {
            run.attempt.iter().for_each(|attempt| paces.add(attempt, run.weight));
        }
        paces
    }

    /// The time from now at which each slot is free, in milliseconds.
    fn slots(&self, paces: &Paces, now_ms: u64) -> BinaryHeap<Reverse<(u64, u32)>> {
        let running = self.runs.iter().filter(|run| run.stage == Stage::Running);
        let busy: Vec<(u64, Option<u32>)> = running
            .filter_map(|run| Some((run, run.attempt.as_ref()?)))
            .map(|(run, attempt)| (ms(self.seconds_left_of(run, attempt, paces, now_ms)), attempt.slot))
            .collect();
        let used: BTreeSet<u32> = busy.iter().filter_map(|(_, slot)| *slot).collect();
        let is_free = |slot: &u32| !used.contains(slot);
        let free: Vec<u32> = (0..self.slot_count()).filter(is_free).collect();
        let busy = busy.into_iter().map(|(free_ms, slot)| Reverse((free_ms, slot.unwrap_or(u32::MAX))));
        free.into_iter().map(|slot| Reverse((0, slot))).chain(busy).collect()
    }

    fn seconds_left_of(&self, run: &Run, attempt: &Attempt, paces: &Paces, now_ms: u64) -> f64 {
        let place = attempt.begun.as_ref().map(|begun| &begun.place);
        let common = paces.pace(place).unwrap_or(0.0);
        let own = Trained::of(attempt, run.weight).filter(|trained| trained.work >= LEAST_SHARE * run.weight);
        let pace = own.map_or(common, Trained::pace);
        let to_train = pace * run.weight * (1.0 - self.share_of(run));
        let (since_ms, before) = match &attempt.begun {
            Some(begun) => (attempt.stepped_ms.unwrap_or(begun.at_ms), 0.0),
            None => (attempt.launched_ms.unwrap_or(now_ms), paces.start_s()),
        };
        (before + to_train + paces.end_s() - seconds_between(since_ms, now_ms)).max(0.0)
    }

    /// Finds attempts that have become slow: they take more than twice as long as the median of the finished runs of
    /// their configuration in the same place. Before two of them are finished, they are compared with at least three
    /// runs of other configurations, and must take ten times as long for each unit of work. Each is returned once.
    pub fn find_slow(&mut self, now_ms: u64) -> Vec<News> {
        let mut news = Vec::new();
        for run in self.runs.iter_mut().filter(|run| run.stage == Stage::Running) {
            let Some(attempt) = run.attempt.as_mut().filter(|attempt| attempt.slow.is_none()) else { continue };
            let Some(begun) = &attempt.begun else { continue };
            let own = self.finished.median(&begun.place, run.configuration).map(|median| (median, SLOW));
            let others = || self.finished.median_of_all(&begun.place).map(|median| (median, SLOW_AMONG_OTHERS));
            let Some((median, most)) = own.or_else(others) else { continue };
            if let Some(times) = times_slower(attempt, run.weight, median, now_ms).filter(|times| *times > most) {
                news.push(News::Slow { run: run.id, place: begun.place.clone(), times });
                attempt.slow = Some(times);
            }
        }
        news
    }

    /// How many times slower than finished runs an attempt is, if that was found.
    pub fn slowness(&self, run: RunId) -> Option<f64> {
        self.run(run)?.attempt.as_ref()?.slow
    }
}

/// Divides the pace of an attempt by the median of finished runs: by its latest step or, if it should have ended long
/// ago, by the time since it began.
fn times_slower(attempt: &Attempt, weight: f64, median: f64, now_ms: u64) -> Option<f64> {
    let begun = attempt.begun.as_ref()?;
    let elapsed = seconds_between(begun.at_ms, now_ms);
    let whole = median * weight * (1.0 - attempt.resumed_share());
    let by_now = (elapsed > LEAST_SECONDS && whole > 0.0 && attempt.share() != Some(1.0)).then(|| elapsed / whole);
    let trained = Trained::of(attempt, weight);
    let enough = trained.filter(|t| t.seconds > LEAST_SECONDS && t.work >= LEAST_SHARE * weight);
    let by_steps = enough.map(|trained| trained.pace() / median);
    by_steps.into_iter().chain(by_now).reduce(f64::max)
}

fn ms(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}
