//! All measurements of an experiment and the paper's numbers as one tidy data frame, with one value per row.
//!
//! The frame is for notebooks and other programs. The report itself is computed from the rows.

use std::collections::BTreeMap;
use std::io::Write;

use polars::prelude::{Column, CsvWriter, DataFrame, ParquetWriter, SerWriter};
use sweep_protocol::{ExperimentRows, Form, MeasurementRow, PlannedRunRecord, RunId, Split, Status, axis_column};

use crate::declaration::{Declaration, Quantity};
use crate::group::{Group, Grouping};
use crate::measured::Measured;
use crate::unit::Unit;
use crate::{PaperNumbers, ReportError, fit};

/// One row of the frame.
struct Line<'a> {
    labels: Vec<Option<&'a str>>,
    run: Option<&'a PlannedRunRecord>,
    status: Option<Status>,
    quantity: Quantity,
    epoch: Option<u32>,
    value: f64,
}

/// Builds the frame. It has a column for each axis, then run, seed, status, metric, split, form, epoch, value and
/// source (`measured` or `paper`). Measured rows come first, in plan order. All values are in base units.
///
/// # Errors
/// When the declaration does not fit the experiment, or the frame cannot be built.
pub fn frame(rows: &ExperimentRows, declaration: &Declaration, paper: &PaperNumbers) -> Result<DataFrame, ReportError> {
    fit::check(declaration, &rows.plan, paper)?;
    let mut lines = measured_lines(rows);
    lines.extend(paper_lines(rows, declaration, paper));
    let mut columns = Vec::new();
    for (i, axis) in rows.plan.axes.iter().enumerate() {
        columns.push(column(&axis_column(&axis.name), &lines, |line| line.labels[i]));
    }
    let run_of = |line: &Line<'_>| line.run.map(|run| run.run.to_string());
    columns.push(Column::new("run".into(), lines.iter().map(run_of).collect::<Vec<_>>()));
    columns.push(Column::new("seed".into(), lines.iter().map(|line| Some(line.run?.seed)).collect::<Vec<_>>()));
    let status_of = |line: &Line<'_>| line.status.map(|status| status.to_string());
    columns.push(Column::new("status".into(), lines.iter().map(status_of).collect::<Vec<_>>()));
    let metric_of = |line: &Line<'_>| line.quantity.metric.name().to_owned();
    columns.push(Column::new("metric".into(), lines.iter().map(metric_of).collect::<Vec<_>>()));
    columns.push(column("split", &lines, |line| line.quantity.split.map(Split::name)));
    columns.push(column("form", &lines, |line| line.quantity.form.map(Form::name)));
    columns.push(Column::new("epoch".into(), lines.iter().map(|line| line.epoch).collect::<Vec<_>>()));
    columns.push(Column::new("value".into(), lines.iter().map(|line| line.value).collect::<Vec<_>>()));
    columns.push(column("source", &lines, |line| Some(if line.run.is_some() { "measured" } else { "paper" })));
    Ok(DataFrame::new(lines.len(), columns)?)
}

/// Writes a frame as CSV with a header.
///
/// # Errors
/// When writing to `out` fails.
pub fn write_csv(frame: &mut DataFrame, out: impl Write) -> Result<(), ReportError> {
    Ok(CsvWriter::new(out).finish(frame)?)
}

/// Writes a frame as Parquet.
///
/// # Errors
/// When writing to `out` fails.
pub fn write_parquet(frame: &mut DataFrame, out: impl Write) -> Result<(), ReportError> {
    ParquetWriter::new(out).finish(frame)?;
    Ok(())
}

fn column<'a>(name: &str, lines: &[Line<'a>], word: impl Fn(&Line<'a>) -> Option<&'a str>) -> Column {
    Column::new(name.into(), lines.iter().map(word).collect::<Vec<_>>())
}

fn measured_lines(rows: &ExperimentRows) -> Vec<Line<'_>> {
    let measured = Measured::new(rows);
    let mut of_run: BTreeMap<RunId, Vec<&MeasurementRow>> = BTreeMap::new();
    for row in &rows.measurements {
        of_run.entry(row.run).or_default().push(row);
    }
    let mut lines = Vec::with_capacity(rows.measurements.len());
    for run in &rows.plan.runs {
        let key = |row: &&MeasurementRow| {
            let m = &row.measurement;
            (m.metric, m.split, m.form, m.epoch)
        };
        let mut own = of_run.remove(&run.run).unwrap_or_default();
        own.sort_by_key(key);
        let labels: Vec<Option<&str>> = rows.plan.axes.iter().map(|axis| run.coordinates.get(&axis.name)).collect();
        lines.extend(own.into_iter().map(|row| Line {
            labels: labels.clone(),
            run: Some(run),
            status: Some(measured.status(run.run)),
            quantity: Quantity {
                metric: row.measurement.metric,
                split: row.measurement.split,
                form: row.measurement.form,
                epoch: Default::default(),
            },
            epoch: row.measurement.epoch,
            value: row.measurement.value,
        }));
    }
    lines
}

fn paper_lines<'a>(rows: &'a ExperimentRows, declaration: &Declaration, paper: &PaperNumbers) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for table in &declaration.tables {
        let Some((link, printed)) = table.paper.as_ref().and_then(|link| Some((link, paper.tables.get(&link.file)?)))
        else {
            continue;
        };
        let groups = Grouping { axes: &table.rows, only: &table.only }.groups(&rows.plan);
        for (group, row) in groups.iter().filter_map(|group| Some((group, link.rows.get(&group.name())?))) {
            for column in &table.columns {
                let value = column.reference.as_ref().and_then(|reference| printed.value(row, reference));
                lines.extend(value.map(|value| Line {
                    labels: axis_labels(rows, table.rows.as_slice(), group),
                    run: None,
                    status: None,
                    quantity: column.quantity(),
                    epoch: None,
                    value: Unit::of(column.metric).stored(value),
                }));
            }
        }
    }
    lines
}

fn axis_labels<'a>(rows: &'a ExperimentRows, axes: &[String], group: &Group<'a>) -> Vec<Option<&'a str>> {
    let label = |axis: &str| axes.iter().position(|name| name == axis).and_then(|i| group.labels[i]);
    rows.plan.axes.iter().map(|axis| label(&axis.name)).collect()
}
