//! A declared table, computed once. Every output format shows these cells.
//!
//! Values are unrounded and in base units. `sheet.rs` and the output formats decide how they look.

use std::collections::BTreeMap;

use rayon::prelude::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use serde::{Deserialize, Serialize};
use sweep_protocol::{Better, Coordinates, ExperimentRows, Metric, PlanRecord};
use sweep_statistics::{Comparison, Equivalence, Estimate, Pairs, Ratio, compare_with_baseline};

use crate::compare::{Verdict, compare};
use crate::declaration::{ColumnDeclaration, Declaration, Quantity, TableDeclaration};
use crate::group::{Group, Grouping, at_baseline};
use crate::measured::Measured;
use crate::missing::{incomplete, standing, why_missing};
use crate::paper::PaperTable;
use crate::samples::Sample;
use crate::test_images::{self, ImageNoise};
use crate::{PaperNumbers, ReportError, fit, notes, overview, validation};

/// A computed table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Name of its files, without extension.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Axes whose labels begin each row.
    pub axes: Vec<String>,
    /// The columns after these labels.
    pub columns: Vec<Column>,
    /// The rows, in the order of the axes' labels.
    pub rows: Vec<Row>,
    /// Notes that readers need, one or two sentences each.
    pub notes: Vec<String>,
}

/// A column of a computed table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Heading without unit.
    pub label: String,
    /// Shorter heading for narrow pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short: Option<String>,
    /// Whether it is left out on narrow pages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_wide_only: bool,
    /// The quantity that it shows.
    pub quantity: Quantity,
    /// Whether cells have a difference to the baseline row.
    pub delta: bool,
    /// Differences to the baseline that are smaller than this count as none, in base units.
    pub margin: Option<f64>,
    /// Whether cells have the paper's number.
    pub paper: bool,
}

/// A row of a computed table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Labels, one per axis.
    pub labels: Vec<String>,
    /// Number of runs that succeeded.
    pub n: usize,
    /// Number of planned runs.
    pub planned: usize,
    /// The reason, if the row is incomplete or excluded.
    pub note: Option<String>,
    /// Cells, one per column.
    pub cells: Vec<Cell>,
}

/// A cell of a computed table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The measured value, or the reason why there is none.
    pub value: CellValue,
    /// Whether no complete cell of the column has a better mean.
    pub best: bool,
    /// Whether the cell is complete and its difference to the best cell may be chance.
    pub tied: bool,
    /// Difference to the baseline row, if the column shows it and both rows share seeds.
    pub delta: Option<Delta>,
    /// Whether the difference to the baseline row is within the margin of the column, if it has one.
    pub equivalence: Option<Equivalence>,
    /// What the test images contribute to this difference, if its runs stored their predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImageNoise>,
    /// The paper's number, as printed.
    pub paper: Option<f64>,
}

/// The measured value, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellValue {
    /// Mean over seeds.
    Measured(Estimate),
    /// The reason.
    Missing(String),
}

/// A difference to the baseline row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delta {
    /// This row is the baseline.
    Baseline,
    /// The difference, paired by seed, and what else compares the two rows.
    Difference(Box<Comparison>),
    /// The ratio of throughputs, if the networks of both rows were timed in the same rounds.
    Ratio(Ratio),
}

/// Note below the tables of a sweep with pruned runs.
const PRUNED: &str = "Some runs were pruned: they were stopped early, since they were poor beside others. The means of \
                      the others are too good, so nothing is compared. A call of `run` without --prune completes the \
                      sweep.";

/// Computes every declared table.
///
/// # Errors
/// When the declaration names something that the experiment or the paper does not have.
pub fn tables(
    rows: &ExperimentRows,
    declaration: &Declaration,
    paper: &PaperNumbers,
) -> Result<Vec<Table>, ReportError> {
    fit::check_rows(declaration, rows, paper)?;
    Ok(of_measured(rows, &Measured::new(rows), declaration, paper))
}

/// Computes every table of a declaration that fits, from rows that are indexed already.
pub(crate) fn of_measured(
    rows: &ExperimentRows,
    measured: &Measured<'_>,
    declaration: &Declaration,
    paper: &PaperNumbers,
) -> Vec<Table> {
    let declared = declaration;
    let declaration = &*validation::fitted(declared, rows);
    let source = |table: &TableDeclaration| paper.tables.get(&table.paper.as_ref()?.file);
    let compute = |table| Source { plan: &rows.plan, measured, paper: source(table) }.table(table);
    let mut tables: Vec<Table> = declaration.tables.iter().map(compute).collect();
    for (table, declared) in tables.iter_mut().zip(&declared.tables) {
        table.notes.extend((table.columns.len() < declared.columns.len()).then(|| validation::LEFT_OUT.to_owned()));
    }
    let about_all = overview::mixtures(rows).into_iter().chain((!measured.is_comparable()).then(|| PRUNED.to_owned()));
    for note in about_all {
        tables.iter_mut().for_each(|table| table.notes.push(note.clone()));
    }
    tables
}

/// The inputs of a table.
struct Source<'a> {
    plan: &'a PlanRecord,
    measured: &'a Measured<'a>,
    paper: Option<&'a PaperTable>,
}

impl Source<'_> {
    fn table(&self, declared: &TableDeclaration) -> Table {
        let groups = Grouping { axes: &declared.rows, only: &declared.only }.groups(self.plan);
        let mut rows: Vec<Row> = groups.iter().map(|group| self.row(group)).collect();
        for column in &declared.columns {
            for (row, cell) in rows.iter_mut().zip(self.cells(declared, column, &groups)) {
                row.cells.push(cell);
            }
        }
        let columns: Vec<Column> = declared.columns.iter().map(|column| self.column(declared, column)).collect();
        let title = declared.title.clone().unwrap_or_else(|| declared.id.replace('_', " "));
        let (id, axes) = (declared.id.clone(), declared.rows.clone());
        let table = Table { id, title, axes, columns, rows, notes: Vec::new() };
        let mut notes = notes::of(&table, &declared.only, self.plan, self.paper);
        notes.extend(
            self.measured.throughput().map(|record| notes::about_throughput(&table, record)).into_iter().flatten(),
        );
        notes.extend(test_images::notes(&table));
        let chosen = |run, metric| self.measured.result(run, &Quantity::of_training(metric));
        notes.extend(notes::about_chosen_epochs(&groups, chosen));
        let is_chosen = |run| notes::CHOSEN.iter().any(|(metric, _)| chosen(run, *metric).is_some());
        notes.extend(declared.columns.iter().zip(&table.columns).filter_map(|(declared, column)| {
            let last = |run| self.measured.last_epoch(run, &declared.quantity()).filter(|_| !is_chosen(run));
            notes::about_epochs(&column.label, &groups, last)
        }));
        Table { notes, ..table }
    }

    fn column(&self, table: &TableDeclaration, declared: &ColumnDeclaration) -> Column {
        let quantity = declared.quantity();
        Column {
            label: declared.label.clone().unwrap_or_else(|| notes::heading(table, &quantity)),
            short: declared.short.clone(),
            is_wide_only: !declared.latex,
            quantity,
            delta: self.has_delta(declared),
            margin: declared.margin.filter(|_| self.has_delta(declared)),
            paper: declared.reference.is_some(),
        }
    }

    fn has_delta(&self, column: &ColumnDeclaration) -> bool {
        column.delta && !self.plan.baseline.0.is_empty() && self.measured.is_comparable()
    }

    fn row(&self, group: &Group<'_>) -> Row {
        let note = match group.excluded {
            Some(reason) => Some(format!("excluded: {reason}")),
            None => incomplete(group, self.measured),
        };
        Row {
            labels: group.shown_labels(),
            n: standing(group, self.measured).succeeded,
            planned: group.runs.len(),
            note,
            cells: Vec::new(),
        }
    }

    /// Returns the cells of one column, from top to bottom.
    fn cells(&self, table: &TableDeclaration, column: &ColumnDeclaration, groups: &[Group<'_>]) -> Vec<Cell> {
        let quantity = column.quantity();
        let samples: Vec<Sample> = groups.iter().map(|group| Sample::of(self.measured, group, &quantity)).collect();
        // Intervals are resampled, each with the same random numbers whatever the order.
        let mut cells: Vec<Cell> = (groups.par_iter().zip(&samples))
            .map(|(group, sample)| Cell {
                value: self.value(group, sample, &quantity),
                best: false,
                tied: false,
                delta: None,
                equivalence: None,
                images: None,
                paper: self.printed(table, column, group),
            })
            .collect();
        if self.measured.is_comparable() {
            mark_best(&mut cells, &samples, quantity.metric);
        }
        if self.has_delta(column) {
            let baselines = self.baselines(groups);
            for (cell, delta) in cells.iter_mut().zip(deltas(&samples, &baselines)) {
                cell.delta = delta;
            }
            for (i, cell) in cells.iter_mut().enumerate() {
                let Some(base) = baselines[i].filter(|base| *base != i) else { continue };
                let margin = column.margin.filter(|_| matches!(cell.delta, Some(Delta::Difference(_))));
                cell.equivalence = margin.and_then(|margin| {
                    let pairs = Pairs::by_seed(&samples[i].values, &samples[base].values)?;
                    Equivalence::of_difference(&pairs, margin)
                });
                let rows = [i, base].map(|row| (&groups[row], &samples[row]));
                cell.images = ImageNoise::between(self.measured, rows, &quantity);
            }
        }
        cells
    }

    fn value(&self, group: &Group<'_>, sample: &Sample, quantity: &Quantity) -> CellValue {
        match sample.estimate() {
            Some(estimate) => CellValue::Measured(estimate),
            None if group.excluded.is_some() => CellValue::Missing("excluded".to_owned()),
            None => CellValue::Missing(why_missing(group, self.measured, quantity)),
        }
    }

    fn printed(&self, table: &TableDeclaration, column: &ColumnDeclaration, group: &Group<'_>) -> Option<f64> {
        let row = table.paper.as_ref()?.rows.get(&group.name())?;
        self.paper?.value(row, column.reference.as_ref()?)
    }

    /// Returns the place of each row's baseline row.
    fn baselines(&self, groups: &[Group<'_>]) -> Vec<Option<usize>> {
        let mut places: BTreeMap<&Coordinates, usize> = BTreeMap::new();
        for (place, coordinates) in groups.iter().enumerate().filter_map(|(i, group)| Some((i, group.coordinates()?))) {
            places.entry(coordinates).or_insert(place);
        }
        let baseline = |group: &Group<'_>| places.get(&at_baseline(self.plan, group.coordinates()?)).copied();
        groups.iter().map(baseline).collect()
    }
}

/// Compares each row with its baseline row. The rows that are compared by seed are one family, and so are the rows that
/// are compared by rounds.
fn deltas(samples: &[Sample], baselines: &[Option<usize>]) -> Vec<Option<Delta>> {
    let is_timed = |(i, base): (usize, &Option<usize>)| {
        base.is_some_and(|base| base != i && samples[i].rounds.is_some() && samples[base].rounds.is_some())
    };
    let timed = baselines.iter().enumerate().filter(|row| is_timed(*row)).count();
    let mut deltas = vec![None; samples.len()];
    let mut by_seed = Vec::new();
    for (i, base) in baselines.iter().enumerate().filter_map(|(i, base)| Some((i, (*base)?))) {
        match (&samples[i].rounds, &samples[base].rounds) {
            _ if base == i => deltas[i] = Some(Delta::Baseline),
            (Some(own), Some(other)) => deltas[i] = Ratio::of(own, other, timed).map(Delta::Ratio),
            _ => by_seed.push((i, base)),
        }
    }
    let values = by_seed.iter().map(|&(i, base)| (&samples[i].values, &samples[base].values));
    for (&(i, _), comparison) in by_seed.iter().zip(compare_with_baseline(values)) {
        deltas[i] = comparison.map(|comparison| Delta::Difference(Box::new(comparison)));
    }
    deltas
}

/// Marks the best mean among complete cells, unless all means are equal. Also marks complete cells whose difference to
/// the best may be chance.
fn mark_best(cells: &mut [Cell], samples: &[Sample], metric: Metric) {
    let complete = |(cell, sample): (&Cell, &Sample)| match &cell.value {
        CellValue::Measured(summary) if sample.is_complete() => Some(summary.mean),
        _ => None,
    };
    let means: Vec<Option<f64>> = cells.iter().zip(samples).map(complete).collect();
    let lowest = means.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let highest = means.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let best = match metric.better() {
        Better::Higher => highest,
        Better::Lower => lowest,
        Better::Neither => return,
    };
    let is_best = |mean: &Option<f64>| lowest < highest && mean.is_some_and(|mean| mean.total_cmp(&best).is_eq());
    let Some(first) = means.iter().position(is_best) else { return };
    // The truly best row stays unmarked only if one of these comparisons is wrong. Their number is that of the other
    // rows.
    let comparisons = means.iter().flatten().count() - 1;
    for (i, cell) in cells.iter_mut().enumerate().filter(|(i, _)| means[*i].is_some()) {
        cell.best = is_best(&means[i]);
        let verdict = || compare(metric, (&samples[i], &samples[first]), comparisons);
        cell.tied = !cell.best && matches!(verdict(), Verdict::Untold | Verdict::Equal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_count_the_rows_that_are_compared_and_no_baseline() {
        let timed = |seconds: f64| Sample { rounds: Some(vec![seconds; 9]), ..Sample::of_values(&[1.0]) };
        let samples = [timed(1.0), timed(2.0), timed(1.0), timed(4.0)];
        let found = deltas(&samples, &[Some(0), Some(0), Some(2), Some(2)]);
        let comparisons = |delta: &Option<Delta>| match delta {
            Some(Delta::Ratio(ratio)) => Some(ratio.comparisons),
            _ => None,
        };
        assert_eq!(found.iter().map(comparisons).collect::<Vec<_>>(), [None, Some(2), None, Some(2)]);
    }
}
