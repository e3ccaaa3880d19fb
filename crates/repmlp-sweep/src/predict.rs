//! Predicts times from finished runs, and formats counts.

use std::collections::{BTreeMap, BTreeSet};

use sweep_protocol::{Metric, RunId, RunRow, Status};
use sweep_store::Reader;

/// Maximum number of finished runs that the speed is measured from.
const SAMPLE: usize = 256;

/// Training speed of this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speed {
    /// Multiply-adds per second.
    pub(crate) flops_per_s: f64,
    /// Whether the speed was measured from runs in this results folder.
    pub(crate) measured: bool,
}

impl Speed {
    /// The speed that is assumed until a run is finished: 15e9, as measured with this code on two cores of 2020. It
    /// gives first predictions the right order of magnitude.
    const ASSUMED: Self = Self { flops_per_s: 15e9, measured: false };

    /// Measures the speed from at most [`SAMPLE`] finished runs of a plan. `costs` has the multiply-adds of each run's
    /// training.
    pub(crate) async fn measured(
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
        Ok(if time > 0.0 { Self { flops_per_s: work / time, measured: true } } else { Self::ASSUMED })
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
