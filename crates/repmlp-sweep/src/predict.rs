//! Predicts times from finished runs, and formats counts.

use std::collections::{BTreeMap, BTreeSet};

use sweep_protocol::{Metric, RunId, RunRow, Status};
use sweep_store::Reader;
use sweep_trainer::Cost;

use crate::costed_plan::CostedPlan;

/// Maximum number of finished runs that the speed is measured from.
const SAMPLE: usize = 256;

/// Training speed of this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speed {
    /// Multiply-adds per second.
    pub(crate) flops_per_s: f64,
    /// What it was measured from.
    pub(crate) source: SpeedSource,
}

/// What a speed was measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpeedSource {
    /// Finished runs of the plan.
    Runs,
    /// One training step, just now.
    Step,
    /// Nothing.
    Assumed,
}

impl Speed {
    /// The speed that is assumed if nothing can be measured: 15e9, as measured with this code on two cores of 2020. It
    /// gives predictions the right order of magnitude.
    const ASSUMED: Self = Self { flops_per_s: 15e9, source: SpeedSource::Assumed };

    /// Returns the speed of the plan's finished runs. Without any, times one training step of an open run.
    pub(crate) async fn of(
        costed: &CostedPlan<'_>,
        results: &mut Reader,
        known: &BTreeMap<RunId, RunRow>,
    ) -> anyhow::Result<Self> {
        let measured = Self::measured(results, known, &costed.training_flops()).await?;
        if measured.source == SpeedSource::Runs || !costed.has_work(known) {
            return Ok(measured);
        }
        let is_known = |cost: &Cost| cost.training.is_some();
        let first = costed.plan.configurations.iter().zip(&costed.costs).find(|(_, cost)| is_known(cost));
        // A step that fails says nothing about the plan: the run itself reports why.
        let timed = first.and_then(|(config, _)| costed.trainers.of(config).flops_per_s(config).ok().flatten());
        Ok(timed.map_or(measured, |flops_per_s| Self { flops_per_s, source: SpeedSource::Step }))
    }

    /// Measures the speed from at most [`SAMPLE`] finished runs of a plan. `costs` has the multiply-adds of each run's
    /// training.
    async fn measured(
        results: &mut Reader,
        known: &BTreeMap<RunId, RunRow>,
        costs: &BTreeMap<RunId, f64>,
    ) -> anyhow::Result<Self> {
        let is_finished = |run: &RunId| known.get(run).is_some_and(|row| row.status == Status::Succeeded);
        let finished: Vec<RunId> = costs.keys().copied().filter(is_finished).collect();
        // Ids are digests, so every n-th id gives a fair sample.
        let sample: Vec<RunId> = finished.iter().copied().step_by(finished.len().div_ceil(SAMPLE).max(1)).collect();
        let (_, measurements) = results.rows_of(&sample, |metric| metric == Metric::TrainTime).await?;
        let time: f64 = measurements.iter().map(|row| row.measurement.value).sum();
        let timed: BTreeSet<RunId> = measurements.iter().map(|row| row.run).collect();
        let work: f64 = timed.iter().map(|run| costs[run]).sum();
        Ok(if time > 0.0 { Self { flops_per_s: work / time, source: SpeedSource::Runs } } else { Self::ASSUMED })
    }

    /// Returns the seconds needed for this number of multiply-adds.
    pub(crate) fn seconds(self, flops: f64) -> f64 {
        flops / self.flops_per_s
    }
}

/// Formats a number with three digits: `5.60 M`, `22.4 M`, `1.33 G`.
pub(crate) fn count(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v >= 1e9 => (v / 1e9, " G"),
        v if v >= 1e6 => (v / 1e6, " M"),
        v if v >= 1e3 => (v / 1e3, " k"),
        v => (v, ""),
    };
    let decimals = if unit.is_empty() || scaled >= 100.0 {
        0
    } else if scaled >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        assert_eq!(
            [count(5_600_802.0), count(22_414_410.0), count(999.0), count(1.3e9)],
            ["5.60 M", "22.4 M", "999", "1.30 G"]
        );
    }
}
