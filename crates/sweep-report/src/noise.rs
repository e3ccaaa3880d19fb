//! How much of the deviation between seeds is rounding: the same runs, computed with two arithmetics.
//!
//! Training enlarges differences in the last digits, so the same seed gives another accuracy on another instruction
//! set. This module reads two sets of rows of one plan.

use serde::Serialize;
use sweep_protocol::{ExperimentRows, PlannedRunRecord, RunRow};
use sweep_statistics::{Interval, Pairs, RoundingNoise};

use crate::declaration::{Declaration, Quantity, TableDeclaration};
use crate::group::{Group, Grouping};
use crate::measured::Measured;
use crate::overview::Overview;
use crate::samples::Sample;
use crate::trace::unknown;
use crate::unit::{Unit, words};
use crate::{PaperNumbers, ReportError, fit};

/// What rounding contributes to a quantity. Numbers have the unit that tables show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Noise {
    /// Id of the table whose rows these are.
    pub table: String,
    /// The quantity in words.
    pub quantity: String,
    /// Unit of the numbers.
    pub unit: String,
    /// Arithmetics of the first and of the second set of runs.
    pub arithmetics: [String; 2],
    /// Number of decimals of a value that tables show.
    pub decimals: usize,
    /// One for each row with values in both sets.
    pub rows: Vec<NoiseRow>,
}

/// What rounding contributes to one row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoiseRow {
    /// Labels of the row, joined by `/`.
    pub row: String,
    /// Number of seeds that both sets have.
    pub seeds: usize,
    /// The components; absent for fewer than two seeds, and if all values are equal.
    pub noise: Option<NoiseComponents>,
}

/// What the deviation of one row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NoiseComponents {
    /// Mean of the first set minus the second, with its 95% interval.
    pub shift: Estimated,
    /// Standard deviation that comes from seeds.
    pub seed_sd: f64,
    /// Standard deviation that comes from rounding, with its 95% interval.
    pub rounding_sd: Estimated,
    /// Share of rounding in the variance, with its 95% interval.
    pub share: Estimated,
}

/// A value with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimated {
    /// The estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// Compares the same runs in two sets of rows, in the first column of a table that training changes. Without the id of
/// a table, in the first table that has such a column.
///
/// # Errors
/// When the declaration does not fit the experiment, when there is no such table, or when no run was computed with
/// another arithmetic in the second set, by the same version of its trainer and on the same data.
pub fn noise(
    (rows, other): (&ExperimentRows, &ExperimentRows),
    declaration: &Declaration,
    paper: &PaperNumbers,
    table: Option<&str>,
) -> Result<Noise, ReportError> {
    fit::check_rows(declaration, rows, paper)?;
    let has_varying = |table: &&TableDeclaration| quantity_of(table).is_some();
    let names = || declaration.tables.iter().map(|table| table.id.clone());
    let declared = match table {
        Some(id) => {
            let found = declaration.tables.iter().find(|table| table.id == id);
            Some(found.ok_or_else(|| unknown("table", id, names()))?)
        }
        None => declaration.tables.iter().find(has_varying),
    };
    let named = declared.and_then(|table| Some((table, quantity_of(table)?)));
    let Some((table, quantity)) = named else {
        return Err(ReportError::NoNoise { why: "no table has a column of a loss, an accuracy or mIoU".to_owned() });
    };
    let sets = [Measured::new(rows), Measured::new(other)];
    let arithmetics = [0, 1].map(|i| Overview::of([rows, other][i], &sets[i]).arithmetics.join(", "));
    let unit = Unit::of(quantity.metric);
    let row = |group: &Group<'_>| {
        let differs = |run: &&PlannedRunRecord| differ_in_rounding(sets[0].row(run.run), sets[1].row(run.run));
        let group = &Group { runs: group.runs.iter().copied().filter(differs).collect(), ..group.clone() };
        let values = [0, 1].map(|i| Sample::of(&sets[i], group, &quantity).values);
        let seeds = values[0].keys().filter(|seed| values[1].contains_key(*seed)).count();
        let noise = Pairs::by_seed(&values[0], &values[1]).and_then(|pairs| RoundingNoise::of(&pairs));
        NoiseRow { row: group.name(), seeds, noise: noise.map(|noise| NoiseComponents::of(&noise, unit)) }
    };
    let groups = Grouping { axes: &table.rows, only: &table.only }.groups(&rows.plan);
    let rows: Vec<NoiseRow> = groups.iter().map(row).filter(|row| row.seeds > 0).collect();
    if rows.is_empty() {
        let [first, second] = arithmetics;
        let why = match first == second && !first.is_empty() {
            true => format!("both were computed with {first}"),
            false => "no run succeeded in both, with the same trainer and data".to_owned(),
        };
        return Err(ReportError::NoNoise { why });
    }
    let decimals = unit.decimals(rows.iter().filter_map(|row| Some(unit.stored(row.noise?.rounding_sd.value))));
    let unit = unit.difference.to_string();
    Ok(Noise { decimals, table: table.id.clone(), quantity: words(&quantity), unit, arithmetics, rows })
}

/// Whether two rows of a run differ in their arithmetic, and in nothing else that changes results.
fn differ_in_rounding(row: Option<&RunRow>, other: Option<&RunRow>) -> bool {
    let (Some(row), Some(other)) = (row, other) else { return false };
    let of = |row: &RunRow| (row.trainer_version, row.data_fingerprint.clone());
    row.arithmetic != other.arithmetic && of(row) == of(other)
}

/// Returns the first quantity of a table that rounding can change.
fn quantity_of(table: &TableDeclaration) -> Option<Quantity> {
    let quantities = table.columns.iter().map(crate::ColumnDeclaration::quantity);
    quantities.into_iter().find(|quantity| quantity.metric.is_of_images() == Some(true))
}

impl NoiseComponents {
    fn of(noise: &RoundingNoise, unit: Unit) -> Self {
        let with = |value: f64, ends: Interval| Estimated { value, low: ends.low, high: ends.high };
        let scaled = |Estimated { value, low, high }: Estimated| Estimated {
            value: unit.scaled(value),
            low: unit.scaled(low),
            high: unit.scaled(high),
        };
        let shift = noise.shift.summary;
        let ends = shift.interval.unwrap_or(Interval { low: shift.mean, high: shift.mean });
        Self {
            shift: scaled(with(shift.mean, ends)),
            seed_sd: unit.scaled(noise.seed_sd),
            rounding_sd: scaled(with(noise.rounding_sd, noise.rounding_interval)),
            share: with(noise.share, noise.share_interval),
        }
    }
}
