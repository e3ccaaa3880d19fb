//! Rows, indexed so that a run's value can be asked for by quantity.
//!
//! Knows rows and quantities, no table and no plot.

use std::collections::BTreeMap;

use sweep_protocol::{ExperimentRows, Form, Metric, RunId, RunRow, Split, Status};

use crate::declaration::{EpochRule, Quantity};

/// What a run measures over epochs.
type Key = (Metric, Option<Split>, Option<Form>);
/// Values by epoch.
type Series = BTreeMap<Option<u32>, f64>;

/// Where each run stands and what it measured.
#[derive(Clone, Debug)]
pub(crate) struct Measured<'a> {
    rows: BTreeMap<RunId, &'a RunRow>,
    values: BTreeMap<RunId, BTreeMap<Key, Series>>,
}

impl<'a> Measured<'a> {
    /// The index of some rows.
    pub(crate) fn new(rows: &'a ExperimentRows) -> Self {
        let mut values: BTreeMap<RunId, BTreeMap<Key, Series>> = BTreeMap::new();
        for of_run in rows.measurements.chunk_by(|a, b| a.run == b.run) {
            let values = values.entry(of_run[0].run).or_default();
            for m in of_run.iter().map(|row| &row.measurement) {
                values.entry((m.metric, m.split, m.form)).or_default().insert(m.epoch, m.value);
            }
        }
        Self { rows: rows.runs.iter().map(|row| (row.run, row)).collect(), values }
    }

    /// Where a run stands; a run that nothing is known of is queued.
    pub(crate) fn status(&self, run: RunId) -> Status {
        self.rows.get(&run).map_or(Status::Queued, |row| row.status)
    }

    /// Its row, if anything is known of it.
    pub(crate) fn row(&self, run: RunId) -> Option<&'a RunRow> {
        self.rows.get(&run).copied()
    }

    /// The value of a run that succeeded: what others left behind is no result.
    pub(crate) fn result(&self, run: RunId, quantity: &Quantity) -> Option<f64> {
        let values = self.series(run, quantity).filter(|_| self.status(run) == Status::Succeeded)?;
        match quantity.epoch {
            EpochRule::Last => values.last_key_value().map(|(_, &value)| value),
            EpochRule::Sum => Some(values.values().sum()),
        }
    }

    /// The values of a run over epochs, however it ended.
    pub(crate) fn curve(&self, run: RunId, quantity: &Quantity) -> Vec<(u32, f64)> {
        let values = self.series(run, quantity).into_iter().flatten();
        values.filter_map(|(&epoch, &value)| Some((epoch?, value))).collect()
    }

    fn series(&self, run: RunId, quantity: &Quantity) -> Option<&Series> {
        self.values.get(&run)?.get(&(quantity.metric, quantity.split, quantity.form))
    }
}
