//! The runs of an experiment as data for a page: where each one sits, how it went, and its values over epochs.
//!
//! This module knows rows. It does not know folders: configurations and logs come from the program.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sweep_protocol::{ExperimentRows, Measurement, RunId, SeriesKey, printable_line};

use crate::declaration::{Declaration, EpochRule, Quantity};
use crate::missing::status_in_words;
use crate::unit::{Rounding, Unit, with_unit, words};

/// Maximum number of values for which a page has all epochs. With more it has the last one of each series.
const MOST_VALUES: usize = 200_000;

/// The runs of an experiment as a page shows them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageRuns {
    /// Names of the axes.
    pub axes: Vec<String>,
    /// The quantities that some run has measured, with their units.
    pub series: Vec<String>,
    /// Positions of the quantities that the tables of the report show.
    pub shown: Vec<usize>,
    /// Whether each series has all its epochs.
    pub whole: bool,
    /// The runs, in plan order.
    pub runs: Vec<PageRun>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageRun {
    /// Its id.
    pub run: RunId,
    /// Its labels, one for each axis; empty where it does not have the axis.
    pub labels: Vec<String>,
    /// Its seed.
    pub seed: u64,
    /// Its status in words.
    pub status: String,
    /// Why it has this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Number of its attempts.
    pub attempts: u32,
    /// What it was computed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arithmetic: Option<String>,
    /// Its values.
    pub values: Vec<PageValues>,
}

/// The values of a run in one quantity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageValues {
    /// Position of the quantity in the list of series.
    pub series: usize,
    /// The last value, as a report formats it.
    pub last: String,
    /// The last value, in the shown unit.
    pub number: f64,
    /// Epoch and value of all points, in the shown unit; empty if the values have no epochs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<(u32, f64)>,
}

/// Returns the runs of some rows. The report says which quantities matter most.
pub fn page_runs(rows: &ExperimentRows, declaration: &Declaration) -> PageRuns {
    let axes: Vec<String> = rows.plan.axes.iter().map(|axis| axis.name.clone()).collect();
    let mut last: BTreeMap<SeriesKey, Vec<f64>> = BTreeMap::new();
    let mut values: BTreeMap<RunId, BTreeMap<SeriesKey, Vec<Measurement>>> = BTreeMap::new();
    for row in rows.measurements.iter().filter(|row| row.measurement.value.is_finite()) {
        let m = row.measurement;
        values.entry(row.run).or_default().entry(m.series()).or_default().push(m);
    }
    for (series, found) in values.values().flatten() {
        last.entry(*series).or_default().extend(found.last().map(|m| m.value));
    }
    let whole = rows.part.is_none() && rows.measurements.len() <= MOST_VALUES;
    let roundings: Vec<(SeriesKey, Rounding)> =
        last.iter().map(|(series, values)| (*series, Rounding::of(series.0, values.iter().copied()))).collect();
    let known: BTreeMap<RunId, &sweep_protocol::RunRow> = rows.runs.iter().map(|row| (row.run, row)).collect();
    let runs = rows.plan.runs.iter().map(|planned| {
        let row = known.get(&planned.run);
        let of_run = values.get(&planned.run);
        let found = roundings
            .iter()
            .enumerate()
            .filter_map(|(i, (series, rounding))| Some(PageValues::of(i, of_run?.get(series)?, *rounding)))
            .map(|found| if whole { found } else { PageValues { points: Vec::new(), ..found } });
        PageRun {
            run: planned.run,
            labels: axes.iter().map(|axis| planned.coordinates.get(axis).unwrap_or_default().to_owned()).collect(),
            seed: planned.seed,
            status: status_in_words(row.map(|row| row.status).unwrap_or_default()),
            message: row.and_then(|row| row.message.as_ref()).map(|message| printable_line(message).into_owned()),
            attempts: row.map_or(0, |row| row.attempts),
            arithmetic: row.and_then(|row| row.arithmetic.as_ref()).map(ToString::to_string),
            values: found.collect(),
        }
    });
    let runs = runs.collect();
    let columns = declaration.tables.iter().flat_map(|table| &table.columns);
    let mut shown: Vec<usize> = columns
        .filter_map(|column| roundings.iter().position(|(series, _)| *series == column.quantity().series()))
        .collect();
    let mut seen = BTreeSet::new();
    shown.retain(|series| seen.insert(*series));
    PageRuns { axes, shown, series: roundings.iter().map(|(series, _)| name(*series)).collect(), whole, runs }
}

/// Returns the heading of a series: `validation accuracy, training form (%)`.
fn name((metric, split, form): SeriesKey) -> String {
    let quantity = Quantity { metric, split, form, epoch: EpochRule::Last };
    with_unit(&words(&quantity), &Unit::of(metric).symbol)
}

impl PageValues {
    fn of(series: usize, values: &[Measurement], rounding: Rounding) -> Self {
        let last = values.last().map_or(0.0, |m| m.value);
        let points = values.iter().filter_map(|m| Some((m.epoch?, rounding.unit.scaled(m.value))));
        Self { series, last: rounding.text(last), number: rounding.unit.scaled(last), points: points.collect() }
    }
}
