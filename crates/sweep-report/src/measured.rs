//! An index of the rows: looks up the values of a run by quantity.
//!
//! This module knows rows and quantities. It does not know tables or plots.

use std::collections::{BTreeMap, BTreeSet};

use sweep_protocol::{
    ExperimentRows, Form, Measurement, NetworkId, Predictions, RunId, RunRow, SeriesKey, Split, Status,
    ThroughputRecord,
};

use crate::declaration::{EpochRule, Quantity};

/// Values by epoch.
type Series = BTreeMap<Option<u32>, f64>;

/// Status and measurements of each run.
#[derive(Clone, Debug)]
pub(crate) struct Measured<'a> {
    rows: BTreeMap<RunId, &'a RunRow>,
    values: BTreeMap<RunId, BTreeMap<SeriesKey, Series>>,
    throughput: Option<&'a ThroughputRecord>,
    predictions: BTreeMap<(RunId, Split, Option<Form>), &'a Predictions>,
}

impl<'a> Measured<'a> {
    /// Creates the index of some rows.
    pub(crate) fn new(rows: &'a ExperimentRows) -> Self {
        let mut values: BTreeMap<RunId, BTreeMap<SeriesKey, Series>> = BTreeMap::new();
        for of_run in rows.measurements.chunk_by(|a, b| a.run == b.run) {
            let values = values.entry(of_run[0].run).or_default();
            for m in of_run.iter().map(|row| &row.measurement) {
                values.entry(m.series()).or_default().insert(m.epoch, m.value);
            }
        }
        let throughput = rows.throughput.as_ref();
        let keyed = rows.predictions.iter().map(|row| {
            let predictions = &row.predictions;
            ((row.run, predictions.split(), predictions.form()), predictions)
        });
        let predictions = keyed.collect();
        Self { rows: rows.runs.iter().map(|row| (row.run, row)).collect(), values, throughput, predictions }
    }

    /// Returns the status of a run. A run without a row is queued.
    pub(crate) fn status(&self, run: RunId) -> Status {
        self.rows.get(&run).map_or(Status::Queued, |row| row.status)
    }

    /// Returns the row of a run, if there is one.
    pub(crate) fn row(&self, run: RunId) -> Option<&'a RunRow> {
        self.rows.get(&run).copied()
    }

    /// Returns the value of a run that succeeded. Values of other runs do not count as results.
    pub(crate) fn result(&self, run: RunId, quantity: &Quantity) -> Option<f64> {
        let values = self.series(run, quantity).filter(|_| self.status(run) == Status::Succeeded)?;
        match quantity.epoch {
            EpochRule::Last => values.last_key_value().map(|(_, &value)| value),
            EpochRule::Sum => Some(values.values().sum()),
        }
    }

    /// Returns what a run has measured.
    pub(crate) fn quantities(&self, run: RunId) -> impl Iterator<Item = SeriesKey> {
        self.values.get(&run).into_iter().flat_map(|values| values.keys().copied())
    }

    /// Returns the measurements of a run in a quantity, in the order of the epochs.
    pub(crate) fn measurements(&self, run: RunId, quantity: &Quantity) -> Vec<Measurement> {
        let Quantity { metric, split, form, .. } = *quantity;
        let values = self.series(run, quantity).into_iter().flatten();
        values.map(|(&epoch, &value)| Measurement { metric, split, form, epoch, value }).collect()
    }

    /// Returns the epoch of the last value of a run that succeeded; `None` if it has no value.
    pub(crate) fn last_epoch(&self, run: RunId, quantity: &Quantity) -> Option<Option<u32>> {
        let values = self.series(run, quantity).filter(|_| self.status(run) == Status::Succeeded)?;
        values.last_key_value().map(|(epoch, _)| *epoch)
    }

    /// Returns what a run that succeeded predicted, if its share of correct images is the accuracy of this quantity. A
    /// command reports both itself, and may have predicted at another epoch or rounded one of them.
    pub(crate) fn predictions(&self, run: RunId, accuracy: &Quantity) -> Option<&'a Predictions> {
        let predictions = *self.predictions.get(&(run, accuracy.split?, accuracy.form))?;
        let difference = predictions.accuracy() - self.result(run, accuracy)?;
        (difference.abs() * (predictions.images() as f64) < 0.5).then_some(predictions)
    }

    /// Returns the forms that predictions of a split are for.
    pub(crate) fn predicted_forms(&self, split: Split) -> BTreeSet<Option<Form>> {
        self.predictions.keys().filter(|(_, of, _)| *of == split).map(|(.., form)| *form).collect()
    }

    /// Whether rows may be compared. The runs that pruning left were chosen by what would be compared.
    pub(crate) fn is_comparable(&self) -> bool {
        !self.rows.values().any(|row| row.status == Status::Pruned)
    }

    /// Returns the measurement of throughput, if there is one.
    pub(crate) fn throughput(&self) -> Option<&'a ThroughputRecord> {
        self.throughput
    }

    /// Returns the seconds per image of a network in each round; `None` if it was not timed.
    pub(crate) fn rounds(&self, network: &NetworkId) -> Option<Vec<f64>> {
        let times = self.throughput?.networks.get(network)?;
        let seconds: Vec<f64> = times.seconds.iter().map(|seconds| seconds / times.batch as f64).collect();
        (!seconds.is_empty()).then_some(seconds)
    }

    /// Returns the values of a run over epochs, whatever its status.
    pub(crate) fn curve(&self, run: RunId, quantity: &Quantity) -> Vec<(u32, f64)> {
        let values = self.series(run, quantity).into_iter().flatten();
        values.filter_map(|(&epoch, &value)| Some((epoch?, value))).collect()
    }

    fn series(&self, run: RunId, quantity: &Quantity) -> Option<&Series> {
        self.values.get(&run)?.get(&quantity.series())
    }
}
