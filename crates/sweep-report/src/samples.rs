//! The values of a group of runs in one quantity. Every table, plot and claim that compares groups asks this module.

use std::collections::BTreeMap;

use sweep_protocol::{Metric, PlannedRunRecord};
use sweep_statistics::{Estimate, Resampling, Summary};

use crate::declaration::Quantity;
use crate::group::Group;
use crate::measured::Measured;
use crate::unit::Unit;

/// The values of a group of runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// The values of the runs that succeeded, by seed.
    pub(crate) values: BTreeMap<u64, f64>,
    /// Number of planned runs.
    pub(crate) planned: usize,
    /// For throughput: seconds per image in each round, if all runs of the group have the same network. Networks that
    /// were timed together have the same rounds.
    pub(crate) rounds: Option<Vec<f64>>,
}

/// Values over epochs, in the order of the epochs.
pub(crate) type Curve = Vec<(u32, f64)>;

/// The values of a group of runs over epochs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curves {
    /// The curve of each run with values, whatever its status, in plan order.
    pub(crate) seeds: Vec<Curve>,
    /// The mean over the runs that succeeded, at the epochs for which all of them have a value: with fewer, the mean
    /// would jump.
    pub(crate) mean: Curve,
    /// Number of runs that succeeded.
    pub(crate) succeeded: usize,
    /// Number of planned runs.
    pub(crate) planned: usize,
}

impl Sample {
    /// Collects the values of a group.
    pub(crate) fn of(measured: &Measured<'_>, group: &Group<'_>, quantity: &Quantity) -> Self {
        let value = |run: &&PlannedRunRecord| Some((run.seed, measured.result(run.run, quantity)?));
        let rounds = || {
            let form = quantity.form.filter(|_| quantity.metric == Metric::Throughput)?;
            let networks: Vec<_> = group.runs.iter().map(|run| run.networks.get(&form)).collect();
            let first = networks.first().copied().flatten()?;
            networks.iter().all(|network| *network == Some(first)).then(|| measured.rounds(first))?
        };
        let values: BTreeMap<u64, f64> = group.runs.iter().filter_map(value).collect();
        // A network whose runs all failed may have been timed, but there is nothing to compare it for.
        let rounds = if values.is_empty() { None } else { rounds() };
        Self { values, planned: group.runs.len(), rounds }
    }

    /// Summarises the values; `None` without values. Plots need no interval.
    pub(crate) fn summary(&self) -> Option<Summary> {
        Summary::of(&self.values.values().copied().collect::<Vec<_>>())
    }

    /// Summarises the values, with an interval of their mean; `None` without values.
    pub(crate) fn estimate(&self) -> Option<Estimate> {
        Estimate::of(&self.values.values().copied().collect::<Vec<_>>(), Resampling::default())
    }

    /// Whether every planned run has a value.
    pub(crate) fn is_complete(&self) -> bool {
        !self.values.is_empty() && self.values.len() == self.planned
    }
}

impl Curves {
    /// Collects the curves of a group; `None` if no run has a value.
    pub(crate) fn of(measured: &Measured<'_>, group: &Group<'_>, quantity: &Quantity) -> Option<Self> {
        let curves: Vec<(bool, Curve)> = group
            .runs
            .iter()
            .map(|run| (measured.result(run.run, quantity).is_some(), measured.curve(run.run, quantity)))
            .filter(|(_, curve)| !curve.is_empty())
            .collect();
        let succeeded: Vec<&Curve> =
            curves.iter().filter(|(succeeded, _)| *succeeded).map(|(_, curve)| curve).collect();
        let mut at_epoch: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for (epoch, value) in succeeded.iter().copied().flatten() {
            at_epoch.entry(*epoch).or_default().push(*value);
        }
        let mean = at_epoch.iter().filter(|(_, values)| values.len() == succeeded.len());
        let mean = mean.filter_map(|(epoch, values)| Some((*epoch, Summary::of(values)?.mean))).collect();
        let (succeeded, planned) = (succeeded.len(), group.runs.len());
        let seeds: Vec<Curve> = curves.into_iter().map(|(_, curve)| curve).collect();
        (!seeds.is_empty()).then_some(Self { seeds, mean, succeeded, planned })
    }

    /// Converts all values to the shown unit.
    pub(crate) fn scaled(mut self, unit: Unit) -> Self {
        let values = self.seeds.iter_mut().chain([&mut self.mean]).flatten();
        values.for_each(|(_, value)| *value = unit.scaled(*value));
        self
    }
}

#[cfg(test)]
impl Sample {
    /// A complete sample of these values, for the seeds from 0 on.
    pub(crate) fn of_values(values: &[f64]) -> Self {
        Self { values: (0..).zip(values.iter().copied()).collect(), planned: values.len(), rounds: None }
    }
}
