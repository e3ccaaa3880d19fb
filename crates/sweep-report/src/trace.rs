//! Where a number of a table or a front comes from: the runs behind one cell, with the value that each of them gave.
//!
//! This module knows rows and tables. A front counts as a table with the columns cost and value, and effects as a table
//! of the combinations that they are means of. It does not know folders: the program finds the lines of the journals.

use serde::Serialize;
use sweep_protocol::{Coordinates, ExperimentRows, Measurement, NetworkId, RunId, Status};

use crate::declaration::{Declaration, EffectsDeclaration, EpochRule, FrontDeclaration, Quantity};
use crate::group::Grouping;
use crate::measured::Measured;
use crate::table::{self, Cell, Table};
use crate::{PaperNumbers, ReportError, fit, validation};

/// One cell of a table and the runs behind it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// Id of the table, front or effects.
    pub table: String,
    /// Labels of the row, joined by `/`.
    pub row: String,
    /// Heading of the column.
    pub column: String,
    /// The quantity that the column shows.
    pub quantity: Quantity,
    /// The cell, as every format shows it.
    pub cell: Cell,
    /// The planned runs of the row, in plan order.
    pub runs: Vec<TracedRun>,
}

/// A run behind a cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TracedRun {
    /// Identity of the run.
    pub run: RunId,
    /// Its seed.
    pub seed: u64,
    /// Its coordinates.
    pub coordinates: Coordinates,
    /// Its status. Only values of runs that succeeded count.
    pub status: Status,
    /// The value that counts, in base units; absent if there is none.
    pub value: Option<f64>,
    /// The measurements that the value was made from: one, or one for each epoch of a sum.
    pub measurements: Vec<Measurement>,
    /// For throughput: the network that was timed.
    pub network: Option<NetworkId>,
}

/// Finds a cell by the id of its table, front or effects, the labels of its row joined by `/`, and its column: the
/// beginning of its heading, or the name of its metric.
///
/// # Errors
/// When there is no such table, row or column, or several columns have this name. The error lists what there is.
pub fn trace(
    rows: &ExperimentRows,
    declaration: &Declaration,
    paper: &PaperNumbers,
    (table_id, row_name, column_name): (&str, &str, &str),
) -> Result<Trace, ReportError> {
    fit::check_rows(declaration, rows, paper)?;
    let measured = Measured::new(rows);
    let mut fitted = validation::fitted(declaration, rows).into_owned();
    fitted.tables.extend(fitted.fronts.iter().map(FrontDeclaration::as_table));
    fitted.tables.extend(fitted.effects.iter().map(EffectsDeclaration::as_table));
    let tables = table::of_measured(rows, &measured, &fitted, paper);
    let found = fitted.tables.iter().zip(&tables).find(|(_, table)| table.id == table_id);
    let (declared, table) = found
        .ok_or_else(|| unknown("table, front or effects", table_id, tables.iter().map(|table| table.id.clone())))?;
    let names = || table.rows.iter().map(|row| row.labels.join("/"));
    let row = names().position(|name| name == row_name).ok_or_else(|| unknown("row", row_name, names()))?;
    let column = column_of(table, column_name)?;
    let quantity = table.columns[column].quantity;
    let groups = Grouping { axes: &declared.rows, only: &declared.only }.groups(&rows.plan);
    let planned = groups.get(row).map(|group| group.runs.as_slice()).unwrap_or_default();
    let runs = planned.iter().map(|run| TracedRun {
        run: run.run,
        seed: run.seed,
        coordinates: run.coordinates.clone(),
        status: measured.status(run.run),
        value: measured.result(run.run, &quantity),
        measurements: counted(&measured, run.run, &quantity),
        network: quantity.form.and_then(|form| run.networks.get(&form)).cloned(),
    });
    Ok(Trace {
        table: table.id.clone(),
        row: row_name.to_owned(),
        column: table.columns[column].label.clone(),
        quantity,
        cell: table.rows[row].cells[column].clone(),
        runs: runs.collect(),
    })
}

/// Finds a column by the beginning of its heading, or the name of its metric.
pub(crate) fn column_of(table: &Table, name: &str) -> Result<usize, ReportError> {
    let is_it = |i: &usize| {
        let column = &table.columns[*i];
        column.label.starts_with(name) || column.quantity.metric.name() == name
    };
    let columns: Vec<usize> = (0..table.columns.len()).filter(is_it).collect();
    let exact = columns.iter().copied().find(|i| table.columns[*i].label == name);
    match (exact, columns.as_slice()) {
        (Some(column), _) => Ok(column),
        (None, [column]) => Ok(*column),
        (None, []) => Err(unknown("column", name, table.columns.iter().map(|column| column.label.clone()))),
        (None, several) => {
            let known = quoted(several.iter().map(|i| table.columns[*i].label.clone()));
            Err(ReportError::Ambiguous { what: "column", name: name.to_owned(), known })
        }
    }
}

/// Returns the measurements that make the value of a run.
fn counted(measured: &Measured<'_>, run: RunId, quantity: &Quantity) -> Vec<Measurement> {
    let all = measured.measurements(run, quantity);
    match quantity.epoch {
        EpochRule::Sum => all,
        EpochRule::Last => all.last().copied().into_iter().collect(),
    }
}

pub(crate) fn unknown(what: &'static str, name: &str, known: impl Iterator<Item = String>) -> ReportError {
    ReportError::Unknown { what, name: name.to_owned(), known: quoted(known) }
}

fn quoted(names: impl Iterator<Item = String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
