//! How fast attempts work: seconds per unit of predicted work, measured from the times of journal lines.

use std::collections::BTreeMap;

use sweep_protocol::{RunId, median};

use crate::attempt::{Attempt, Place};
use crate::state::Run;

/// Number of finished runs of a configuration from which a median is taken.
const LEAST_OF_CONFIGURATION: usize = 2;
/// Number of finished runs of any configuration from which a median is taken.
const LEAST_OF_ALL: usize = 3;

/// What an attempt has trained itself, without the steps of the checkpoint that it began with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Trained {
    pub(crate) seconds: f64,
    /// In the unit of the run's weight.
    pub(crate) work: f64,
}

impl Trained {
    /// What an attempt of a run of this weight has trained until its latest step. `None` if nothing can be measured
    /// yet.
    pub(crate) fn of(attempt: &Attempt, weight: f64) -> Option<Self> {
        let begun = attempt.begun.as_ref()?;
        let by_steps = attempt.share().zip(attempt.stepped_ms);
        // A command that names no epochs is measured as a whole.
        let as_a_whole = || Some(1.0).zip(attempt.closed_ms.filter(|_| attempt.has_succeeded));
        let (share, end_ms) = by_steps.or_else(as_a_whole)?;
        let seconds = seconds_between(begun.at_ms, end_ms);
        let work = weight * (share - attempt.resumed_share());
        (seconds > 0.0 && work > 0.0).then_some(Self { seconds, work })
    }

    /// Seconds per unit of work.
    pub(crate) fn pace(self) -> f64 {
        self.seconds / self.work
    }

    fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.work += other.work;
    }
}

/// Returns the seconds from one time to another; 0 if the clock was set back.
pub(crate) fn seconds_between(from_ms: u64, to_ms: u64) -> f64 {
    to_ms.saturating_sub(from_ms) as f64 / 1000.0
}

/// A mean of times.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn value(self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }
}

/// Times of attempts, by place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paces {
    by_place: BTreeMap<Place, Trained>,
    all: Trained,
    /// Seconds from the launch to the first step: loading.
    start: Mean,
    /// Seconds from the last step to the end: final measurements.
    end: Mean,
}

impl Paces {
    /// Adds the times of an attempt.
    pub(crate) fn add(&mut self, attempt: &Attempt, weight: f64) {
        let Some(begun) = &attempt.begun else { return };
        if let Some(launched_ms) = attempt.launched_ms {
            self.start.add(seconds_between(launched_ms, begun.at_ms));
        }
        if attempt.has_succeeded
            && attempt.share().is_some()
            && let Some((last, closed)) = attempt.stepped_ms.zip(attempt.closed_ms)
        {
            self.end.add(seconds_between(last, closed));
        }
        let Some(trained) = Trained::of(attempt, weight) else { return };
        self.by_place.entry(begun.place.clone()).or_default().add(trained);
        self.all.add(trained);
    }

    /// Seconds per unit of work in a place, or in all places if nothing was measured there. `None` if nothing was
    /// measured.
    pub(crate) fn pace(&self, place: Option<&Place>) -> Option<f64> {
        let there = place.and_then(|place| self.by_place.get(place)).copied().filter(|trained| trained.work > 0.0);
        let trained = there.unwrap_or(self.all);
        (trained.work > 0.0).then(|| trained.pace())
    }

    /// Mean seconds that an attempt takes before its first step.
    pub(crate) fn start_s(&self) -> f64 {
        self.start.value()
    }

    /// Mean seconds that an attempt takes after its last step.
    pub(crate) fn end_s(&self) -> f64 {
        self.end.value()
    }
}

/// Paces of the runs that have succeeded, by place, with their configurations.
#[derive(Clone, Debug, Default)]
pub(crate) struct FinishedPaces {
    by_place: BTreeMap<Place, BTreeMap<RunId, (usize, f64)>>,
}

impl FinishedPaces {
    /// Adds the pace of an attempt, if it has succeeded.
    pub(crate) fn add(&mut self, attempt: &Attempt, run: &Run) {
        let Some(begun) = attempt.begun.as_ref().filter(|_| attempt.has_succeeded) else { return };
        if let Some(trained) = Trained::of(attempt, run.weight) {
            let pace = (run.configuration, trained.pace());
            self.by_place.entry(begun.place.clone()).or_default().insert(run.id, pace);
        }
    }

    /// Median pace of a configuration in a place; `None` if too few of its runs are finished there.
    pub(crate) fn median(&self, place: &Place, configuration: usize) -> Option<f64> {
        self.median_of(place, LEAST_OF_CONFIGURATION, |of| of == configuration)
    }

    /// Median pace of all configurations in a place; `None` if too few runs are finished there.
    pub(crate) fn median_of_all(&self, place: &Place) -> Option<f64> {
        self.median_of(place, LEAST_OF_ALL, |_| true)
    }

    fn median_of(&self, place: &Place, least: usize, counts: impl Fn(usize) -> bool) -> Option<f64> {
        let paces = self.by_place.get(place)?.values().filter(|(configuration, _)| counts(*configuration));
        let paces: Vec<f64> = paces.map(|(_, pace)| *pace).collect();
        if paces.len() >= least { median(paces) } else { None }
    }
}
