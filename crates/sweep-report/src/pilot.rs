//! How many seeds a question needs, planned from a few seeds.
//!
//! This module reads a computed table. A few seeds give an uncertain deviation, so plans take its upper bound.

use serde::Serialize;
use sweep_statistics::{Goal, PILOT_CONFIDENCE, Pilot};

use crate::ReportError;
use crate::table::{Delta, Table};
use crate::trace::{column_of, unknown};
use crate::unit::Unit;

/// What a plan of seeds is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PilotAim {
    /// Difference that must be told, in the unit that tables show; absent for the observed ones.
    pub difference: Option<f64>,
    /// Probability that it is told.
    pub power: f64,
    /// Number of seeds whose smallest difference is asked for.
    pub seeds: Option<usize>,
}

/// A plan of seeds for a column with differences to the baseline. Differences have the unit that tables show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PilotPlan {
    /// Id of the table.
    pub table: String,
    /// Heading of the column.
    pub column: String,
    /// Unit of the differences.
    pub unit: String,
    /// Number of decimals of a difference that tables show.
    pub decimals: usize,
    /// Number of comparisons that are made together.
    pub comparisons: usize,
    /// Probability with which a difference is told.
    pub power: f64,
    /// Confidence of the bound of the deviations.
    pub confidence: f64,
    /// One for each row with two or more pairs whose difference varies.
    pub rows: Vec<PilotRow>,
}

/// The plan for one row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PilotRow {
    /// Labels of the row, joined by `/`.
    pub row: String,
    /// Number of pairs of seeds.
    pub pairs: usize,
    /// Observed mean difference.
    pub observed: f64,
    /// Standard deviation of the differences.
    pub sd: f64,
    /// Upper bound of the true standard deviation.
    pub sd_upper: f64,
    /// Number of seeds that tell the asked or observed difference; absent if more than 100,000 are needed.
    pub seeds_needed: Option<usize>,
    /// Smallest difference that the asked number of seeds tells; the present number if none was asked.
    pub least_difference: Option<f64>,
}

/// Plans seeds for a column; without a name, for the first column with differences.
///
/// # Errors
/// When there is no such table or column, or when its differences do not vary between two or more seeds.
pub fn pilot(tables: &[Table], place: (Option<&str>, Option<&str>), aim: PilotAim) -> Result<PilotPlan, ReportError> {
    let has_differences = |table: &Table, i: usize| table.rows.iter().any(|row| varying(&row.cells[i].delta).is_some());
    let of_table = |table: &Table| (0..table.columns.len()).find(|i| has_differences(table, *i));
    let table = match place.0 {
        Some(id) => tables
            .iter()
            .find(|table| table.id == id)
            .ok_or_else(|| unknown("table", id, tables.iter().map(|table| table.id.clone())))?,
        None => tables.iter().find(|table| of_table(table).is_some()).ok_or(ReportError::NoPilot)?,
    };
    let column = match place.1 {
        Some(name) => column_of(table, name)?,
        None => of_table(table).ok_or(ReportError::NoPilot)?,
    };
    let unit = Unit::of(table.columns[column].quantity.metric);
    let varying_rows = || table.rows.iter().filter_map(|row| Some((row, varying(&row.cells[column].delta)?)));
    let comparisons = varying_rows().count();
    let goal = Goal { comparisons, power: aim.power };
    let rows: Vec<PilotRow> = varying_rows()
        .filter_map(|(row, found)| {
            let pilot = Pilot::of_deviation(found.n, found.sd?, PILOT_CONFIDENCE)?;
            let difference = aim.difference.map_or(found.mean, |difference| unit.stored(difference));
            Some(PilotRow {
                row: row.labels.join("/"),
                pairs: found.n,
                observed: unit.scaled(found.mean),
                sd: unit.scaled(pilot.sd),
                sd_upper: unit.scaled(pilot.sd_upper),
                seeds_needed: pilot.pairs_needed(difference, goal),
                least_difference: pilot.least_difference(aim.seeds.unwrap_or(found.n), goal).map(|d| unit.scaled(d)),
            })
        })
        .collect();
    if rows.is_empty() {
        return Err(ReportError::NoPilot);
    }
    let decimals = unit.decimals(rows.iter().map(|row| unit.stored(row.sd)));
    let (table, column) = (table.id.clone(), table.columns[column].label.clone());
    let (unit, power) = (unit.difference.to_string(), aim.power);
    Ok(PilotPlan { table, column, unit, decimals, comparisons, power, confidence: PILOT_CONFIDENCE, rows })
}

/// Returns the summary of a difference that varies between seeds.
fn varying(delta: &Option<Delta>) -> Option<sweep_statistics::Summary> {
    match delta {
        Some(Delta::Difference(comparison)) => comparison.difference.p.map(|_| comparison.difference.summary),
        _ => None,
    }
}
