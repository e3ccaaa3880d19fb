//! Pruning: stops runs early that are unlikely to become good. Pure.
//!
//! A pruned sweep compares survivors, and these were chosen by the values that a table would compare. So pruning is for
//! looking around, not for tables: a pruned run stays unfinished, and a later call without pruning continues it.

use std::collections::{BTreeMap, BTreeSet};

use sweep_protocol::{RunId, median};

/// Number of finished runs from which the median rule begins.
const LEAST_FINISHED: usize = 5;
/// Reduction factor η of successive halving: one run in four goes on after each rung.
const REDUCTION: u32 = 4;

/// How it is decided which runs stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruningRule {
    /// A run stops if its best value so far is below the median of the means of the finished runs until the same epoch.
    /// At least five runs must be finished (the median stopping rule of Golovin et al., "Google Vizier", KDD 2017,
    /// section 3.2.2).
    Median,
    /// A run stops at a rung (epoch r, 4 r, 16 r, …) if it is not in the best quarter of the runs that have reached the
    /// rung so far. The best one always goes on (asynchronous successive halving, Li et al., arXiv 1810.05934).
    Asha,
}

/// What pruning obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruning {
    /// The rule.
    pub rule: PruningRule,
    /// First epoch after which a run may be pruned; for ASHA the first rung. At least 1.
    pub after: u32,
}

/// Why a run is pruned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pruned {
    /// Number of completed epochs.
    pub epoch: u32,
    /// The value that counted.
    pub value: f64,
    /// The value that it had to reach.
    pub bar: f64,
    /// Number of runs that it was compared with.
    pub others: usize,
}

/// The values of all runs so far, and the runs that are pruned.
#[derive(Clone, Debug)]
pub struct Pruner {
    pruning: Pruning,
    /// Values after each epoch. Higher is better.
    values: BTreeMap<RunId, BTreeMap<u32, f64>>,
    /// Number of epochs of each run that has begun, if known.
    epochs: BTreeMap<RunId, u32>,
    finished: BTreeSet<RunId>,
    pruned: BTreeSet<RunId>,
}

impl Pruner {
    /// Starts without values.
    pub fn new(pruning: Pruning) -> Self {
        Self {
            pruning,
            values: BTreeMap::new(),
            epochs: BTreeMap::new(),
            finished: BTreeSet::new(),
            pruned: BTreeSet::new(),
        }
    }

    /// Says how many epochs a run has. It is not pruned after the last one, since nothing is left to save.
    pub fn begin(&mut self, run: RunId, epochs: u32) {
        self.epochs.insert(run, epochs);
    }

    /// Takes a value that a run has reported earlier. It counts for others, and decides nothing about its own run.
    pub fn recall(&mut self, run: RunId, epoch: u32, value: f64) {
        if value.is_finite() {
            self.values.entry(run).or_default().insert(epoch, value);
        }
    }

    /// Says that a run was pruned earlier.
    pub fn leave_out(&mut self, run: RunId) {
        self.pruned.insert(run);
    }

    /// Takes the value of a run after an epoch, and says whether the run is pruned now. The values of all runs count
    /// for others, also those of finished and pruned runs. Values that are not finite are ignored: the trainer itself
    /// ends a run that diverges.
    pub fn observe(&mut self, run: RunId, epoch: u32, value: f64) -> Option<Pruned> {
        if !value.is_finite() {
            return None;
        }
        let values = self.values.entry(run).or_default();
        let last = values.last_key_value().map_or(0, |(epoch, _)| *epoch);
        values.insert(epoch, value);
        // A run that continues from a checkpoint reports some epochs again.
        let is_old = epoch <= last;
        let is_last = self.epochs.get(&run).is_some_and(|epochs| epoch >= *epochs);
        if is_old || is_last || self.is_pruned(run) || self.finished.contains(&run) {
            return None;
        }
        let pruned = match self.pruning.rule {
            PruningRule::Median => self.by_median(run, epoch),
            PruningRule::Asha => self.by_rung(run, last, epoch),
        }?;
        self.pruned.insert(run);
        Some(pruned)
    }

    /// Says that a run has finished. It is not pruned any more.
    pub fn finish(&mut self, run: RunId) {
        self.finished.insert(run);
        self.pruned.remove(&run);
    }

    /// Whether a run is pruned.
    pub fn is_pruned(&self, run: RunId) -> bool {
        self.pruned.contains(&run)
    }

    /// Number of pruned runs.
    pub fn count(&self) -> usize {
        self.pruned.len()
    }

    /// Whether finished runs have reported no value at all, so that nothing can be pruned.
    pub fn is_blind(&self) -> bool {
        self.values.is_empty() && !self.finished.is_empty()
    }

    fn by_median(&self, run: RunId, epoch: u32) -> Option<Pruned> {
        if epoch < self.pruning.after {
            return None;
        }
        let mean = |run: &RunId| {
            let until: Vec<f64> = self.values.get(run)?.range(..=epoch).map(|(_, value)| *value).collect();
            (!until.is_empty()).then(|| until.iter().sum::<f64>() / until.len() as f64)
        };
        let means: Vec<f64> = self.finished.iter().filter(|other| **other != run).filter_map(mean).collect();
        let others = means.len();
        let bar = median(means).filter(|_| others >= LEAST_FINISHED)?;
        let value = self.values.get(&run)?.values().copied().reduce(f64::max)?;
        (value < bar).then_some(Pruned { epoch, value, bar, others })
    }

    /// Compares at the highest rung between two epochs.
    fn by_rung(&self, run: RunId, before: u32, epoch: u32) -> Option<Pruned> {
        let first = self.pruning.after.max(1);
        let rungs = std::iter::successors(Some(first), |rung| rung.checked_mul(REDUCTION));
        let rung = rungs.take_while(|rung| *rung <= epoch).last().filter(|rung| *rung > before)?;
        // Runs that measure rarely have no value exactly at the rung. Their next one counts.
        let at_rung = |values: &BTreeMap<u32, f64>| values.range(rung..).next().map(|(_, value)| *value);
        let value = self.values.get(&run).and_then(at_rung)?;
        let mut reached: Vec<f64> = self.values.values().filter_map(at_rung).collect();
        reached.sort_by(|a, b| b.total_cmp(a));
        let go_on = (reached.len() / REDUCTION as usize).max(1);
        let bar = reached[go_on - 1];
        (value < bar).then_some(Pruned { epoch, value, bar, others: reached.len() - 1 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    fn run(number: u64) -> RunId {
        RunId::of("{}", number)
    }

    fn is(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-12
    }

    fn pruner(rule: PruningRule, after: u32) -> Pruner {
        Pruner::new(Pruning { rule, after })
    }

    #[test]
    fn the_median_rule_compares_the_best_value_with_the_means_of_finished_runs() {
        let mut state = pruner(PruningRule::Median, 2);
        for (number, values) in (0_u64..).zip([[0.1, 0.3], [0.2, 0.4], [0.3, 0.5], [0.4, 0.6], [0.5, 0.7]]) {
            for (epoch, value) in (1..).zip(values) {
                assert_eq!(state.observe(run(number), epoch, value), None, "too few are finished");
            }
            state.finish(run(number));
        }
        // The means until epoch 2 are 0.2, 0.3, 0.4, 0.5 and 0.6.
        assert_eq!(state.observe(run(7), 1, 0.0), None, "the first epoch is too early");
        let pruned = state.observe(run(7), 2, 0.39).unwrap();
        assert!(is(pruned.bar, 0.4) && pruned.others == 5 && pruned.epoch == 2);
        assert!(state.is_pruned(run(7)) && state.count() == 1);
        assert_eq!(state.observe(run(8), 2, 0.41), None);
        // One good epoch is enough, since the best value counts.
        assert_eq!(state.observe(run(9), 1, 0.9).or(state.observe(run(9), 2, 0.1)), None);
        state.finish(run(7));
        assert!(!state.is_pruned(run(7)), "it ended before the request arrived");
    }

    #[test]
    fn successive_halving_keeps_the_best_quarter_at_each_rung() {
        let mut state = pruner(PruningRule::Asha, 1);
        // The first run at a rung has nobody to lose against.
        assert_eq!(state.observe(run(0), 1, 0.5), None);
        assert_eq!(state.observe(run(1), 1, 0.6), None);
        assert!(state.observe(run(2), 1, 0.55).is_some_and(|pruned| is(pruned.bar, 0.6) && pruned.others == 2));
        assert_eq!(state.observe(run(0), 2, 0.1), None, "epoch 2 is no rung");
        assert_eq!(state.observe(run(0), 4, 0.1), None);
        assert_eq!(state.observe(run(1), 4, 0.2), None);
        // This one measured every fifth epoch, and passes two rungs at once.
        assert!(state.observe(run(3), 5, 0.15).is_some_and(|pruned| is(pruned.bar, 0.2)));
        // A continued run reports an epoch again.
        assert_eq!(state.observe(run(1), 4, 0.0), None);
    }

    #[test]
    fn finished_runs_keep_all_their_values_whatever_the_order_of_news() {
        let mut state = pruner(PruningRule::Asha, 1);
        for number in 0..8 {
            state.finish(run(number));
            for epoch in 1..=16 {
                assert_eq!(state.observe(run(number), epoch, 0.1 * number as f64), None, "it is finished");
            }
        }
        // Eight runs and this one have reached epoch 4: the best two go on.
        assert_eq!(state.observe(run(8), 4, 0.65), None);
        let pruned = state.observe(run(9), 4, 0.5).unwrap();
        assert!(is(pruned.bar, 0.65) && pruned.others == 9, "{pruned:?}");
        // A pruned run that still reports counts for others.
        assert_eq!(state.observe(run(9), 16, 0.9), None);
        let pruned = state.observe(run(8), 16, 0.65).unwrap();
        assert!(is(pruned.bar, 0.7) && pruned.others == 9, "{pruned:?}");
    }

    #[test]
    fn a_run_is_not_pruned_after_its_last_epoch() {
        let mut state = pruner(PruningRule::Asha, 4);
        state.begin(run(1), 4);
        assert_eq!(state.observe(run(0), 4, 0.9).or(state.observe(run(1), 4, 0.1)), None);
        assert!(!state.is_pruned(run(1)));
    }

    #[test]
    fn without_values_nothing_is_pruned_and_it_is_said() {
        let mut state = pruner(PruningRule::Median, 1);
        assert!(!state.is_blind());
        state.finish(run(0));
        assert!(state.is_blind());
        assert_eq!(state.observe(run(1), 1, f64::NAN), None);
        assert!(state.is_blind());
    }

    proptest! {
        /// The best of all runs at every epoch is never pruned, whatever the order, and a pruned run was below its bar.
        #[test]
        fn the_best_run_goes_on(
            values in vec((0.0..1.0_f64, any::<bool>()), 1..40),
            after in 1_u32..4,
            is_asha in any::<bool>(),
        ) {
            let rule = if is_asha { PruningRule::Asha } else { PruningRule::Median };
            let mut state = pruner(rule, after);
            let best = (0_u64..).zip(&values).max_by(|a, b| a.1.0.total_cmp(&b.1.0)).unwrap().0;
            for epoch in 1..=8 {
                for (number, (value, finishes)) in (0_u64..).zip(&values) {
                    if let Some(pruned) = state.observe(run(number), epoch, *value) {
                        prop_assert!(pruned.value < pruned.bar && number != best);
                        prop_assert!(epoch >= after);
                    }
                    if *finishes && epoch == 8 && !state.is_pruned(run(number)) {
                        state.finish(run(number));
                    }
                }
            }
            prop_assert!(!state.is_pruned(run(best)));
        }
    }

    #[test]
    fn what_was_reported_earlier_decides_nothing_about_its_own_run() {
        let mut state = pruner(PruningRule::Asha, 1);
        // The last value of a run that was killed before its final measurements.
        state.recall(run(0), 4, 0.1);
        for number in 1..=8 {
            state.observe(run(number), 4, 0.5 + 0.01 * number as f64);
        }
        assert!(!state.is_pruned(run(0)));
        assert!(state.observe(run(0), 5, 0.1).is_none(), "epoch 5 is no rung");
        state.leave_out(run(9));
        assert!(state.is_pruned(run(9)));
    }
}
