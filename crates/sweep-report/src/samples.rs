//! The values of a group of runs in one quantity. Tables and plots compare groups by them.

use std::collections::BTreeMap;

use sweep_protocol::{Metric, PlannedRunRecord};
use sweep_statistics::Summary;

use crate::declaration::Quantity;
use crate::group::Group;
use crate::measured::Measured;

/// The values of a group of runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// The values of the runs that succeeded, by seed.
    pub(crate) values: BTreeMap<u64, f64>,
    /// For throughput: seconds per image in each round, if all runs of the group have the same network. Networks that
    /// were timed together have the same rounds.
    pub(crate) rounds: Option<Vec<f64>>,
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
        Self { values: group.runs.iter().filter_map(value).collect(), rounds: rounds() }
    }

    /// Summarises the values; `None` without values.
    pub(crate) fn summary(&self) -> Option<Summary> {
        Summary::of(&self.values.values().copied().collect::<Vec<_>>())
    }
}
