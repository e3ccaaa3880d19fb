//! Predicts times from finished runs, and formats counts.

use std::collections::BTreeMap;

use sweep_plan::PlannedRun;
use sweep_protocol::{Epochs, Metric, RunId, RunRow, SeriesKey, Status};
use sweep_store::Reader;
use sweep_trainer::Cost;

use crate::costed_plan::CostedPlan;

/// Maximum number of finished runs that the speed is measured from.
const SAMPLE: usize = 64;

/// Training speed of this machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Speed {
    /// Multiply-adds of a training per second.
    flops_per_s: f64,
    /// What it was measured from.
    pub(crate) source: SpeedSource,
    /// Mean training time of the finished runs of each configuration, in seconds.
    of_configurations: BTreeMap<usize, f64>,
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
    const ASSUMED: f64 = 15e9;

    /// Returns the speed of the plan's finished runs. Without any, times one training step of an open run.
    pub(crate) async fn of(
        costed: &CostedPlan<'_>,
        results: &mut Reader,
        known: &BTreeMap<RunId, RunRow>,
    ) -> anyhow::Result<Self> {
        let measured = Self::measured(costed, results, known).await?;
        if measured.source == SpeedSource::Runs || !costed.has_work(known) {
            return Ok(measured);
        }
        let is_known = |cost: &Cost| cost.training.is_some();
        let first = costed.plan.configurations.iter().zip(&costed.costs).find(|(_, cost)| is_known(cost));
        // A step that fails says nothing about the plan: the run itself reports why.
        let timed = first.and_then(|(config, _)| costed.trainers.of(config).flops_per_s(config).ok().flatten());
        Ok(match timed {
            Some(flops_per_s) => Self { flops_per_s, source: SpeedSource::Step, ..measured },
            None => measured,
        })
    }

    /// Measures the speed from at most [`SAMPLE`] finished runs of a plan.
    async fn measured(
        costed: &CostedPlan<'_>,
        results: &mut Reader,
        known: &BTreeMap<RunId, RunRow>,
    ) -> anyhow::Result<Self> {
        let is_finished = |run: &&PlannedRun| known.get(&run.id).is_some_and(|row| row.status == Status::Succeeded);
        let mut finished: Vec<&PlannedRun> = costed.plan.runs.iter().filter(is_finished).collect();
        // Ids are digests, so every n-th id gives a fair sample.
        finished.sort_by_key(|run| run.id);
        let sample: Vec<&PlannedRun> =
            finished.iter().copied().step_by(finished.len().div_ceil(SAMPLE).max(1)).collect();
        let ids: Vec<RunId> = sample.iter().map(|run| run.id).collect();
        let times_only = |(metric, ..): SeriesKey| if metric == Metric::TrainTime { Epochs::All } else { Epochs::None };
        let (_, measurements) = results.rows_of(&ids, times_only).await?;
        let mut times: BTreeMap<RunId, f64> = BTreeMap::new();
        measurements.iter().for_each(|row| *times.entry(row.run).or_default() += row.measurement.value);
        let timed = || sample.iter().filter_map(|run| Some((run.configuration, *times.get(&run.id)?)));
        let with_work = timed().filter_map(|(at, time)| Some((time, costed.costs[at].training?)));
        let (time, work) = with_work.fold((0.0, 0.0), |sums, (time, work)| (sums.0 + time, sums.1 + work));
        let per_s = (time > 0.0 && work > 0.0).then_some(work / time);
        let mut of_configurations: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        timed().for_each(|(at, time)| of_configurations.entry(at).or_default().push(time));
        let mean = |(at, times): (usize, Vec<f64>)| (at, times.iter().sum::<f64>() / times.len() as f64);
        let has_times = !of_configurations.is_empty();
        Ok(Self {
            flops_per_s: per_s.unwrap_or(Self::ASSUMED),
            source: if has_times { SpeedSource::Runs } else { SpeedSource::Assumed },
            of_configurations: of_configurations.into_iter().map(mean).collect(),
        })
    }

    /// Returns the training time of a configuration in seconds: that of its finished runs, else by its work. `None` if
    /// its work is not known.
    pub(crate) fn seconds(&self, configuration: usize, cost: &Cost) -> Option<f64> {
        let measured = self.of_configurations.get(&configuration).copied();
        measured.or_else(|| cost.training.map(|flops| flops / self.flops_per_s))
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
