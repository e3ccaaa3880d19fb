//! What a reader must be told to read a table: what ± is, what a delta is compared with, which form was measured.
//!
//! Each note is there only when the table shows what it explains.

use sweep_protocol::{Form, PlanRecord};

use crate::declaration::{Quantity, TableDeclaration};
use crate::paper::PaperTable;
use crate::sign_flip::fewest_pairs;
use crate::statistics::PairedDifference;
use crate::table::{Cell, CellValue, Column, Delta, Table};
use crate::unit::{Unit, is_count, words, words_without_form};

/// Seeds beyond which it is not said how many a difference would take.
const MOST_SAID: usize = 1000;

/// The heading of an undeclared label. The form is in it only where columns differ in form; else a note says it.
pub(crate) fn heading(table: &TableDeclaration, quantity: &Quantity) -> String {
    let forms = table.columns.iter().map(|column| column.form);
    if common_form(forms).is_some() { words_without_form(quantity) } else { words(quantity) }
}

/// The notes of a table.
pub(crate) fn of(table: &Table, plan: &PlanRecord, paper: Option<&PaperTable>) -> Vec<String> {
    let form = common_form(table.columns.iter().map(|column| column.quantity.form));
    let form = form.map(|form| format!("All values are those of the {} form.", form.name()));
    let spread = "Values are means over n seeds, ± their sample standard deviation (SD); \
                  values without ± are of one seed or do not vary.";
    let citation = paper.filter(|_| table.columns.iter().any(|column| column.paper)).map(|paper| {
        format!("Numbers of the paper are printed in {} ({}), page {}.", paper.id, paper.source, paper.page)
    });
    let mut notes: Vec<String> = form.into_iter().collect();
    notes.extend(cells(table).any(|(_, cell)| has_spread(cell)).then(|| spread.to_owned()));
    notes.extend(about_deltas(table, plan));
    notes.extend(citation);
    notes
}

/// What the marks of a table say, spelled `best` and `tied`; nothing where there are none.
pub(crate) fn about_marks(table: &Table, best: &str, tied: &str) -> Option<String> {
    if !cells(table).any(|(_, cell)| cell.best) {
        return None;
    }
    let rest = if cells(table).any(|(_, cell)| cell.tied) {
        format!(
            "; {tied}: cannot be told from it, since the 95% interval of the paired difference (t, for all rows of the column \
             together) contains 0, or there is none: one seed, or a difference that does not vary"
        )
    } else if cells(table).any(|(column, cell)| cell.best && !is_count(column.quantity.metric)) {
        "; all others are told from it (95%, paired t, for all rows of the column together)".to_owned()
    } else {
        "; counts are compared as they are".to_owned()
    };
    Some(format!("{best}: the best mean of a column among complete rows{rest}."))
}

fn about_deltas(table: &Table, plan: &PlanRecord) -> Vec<String> {
    if !table.columns.iter().any(|column| column.delta) {
        return Vec::new();
    }
    let baseline = format!("Δ is the difference to the row with {}, paired by seed", plan.baseline);
    let differences = || (0..table.columns.len()).flat_map(|i| differences(table, i)).map(|(_, difference)| difference);
    let most = differences().map(|difference| difference.summary.n).max().unwrap_or(0);
    if most == 0 {
        return vec![format!("{baseline}. Nothing is measured yet that could be compared.")];
    }
    if most < 2 {
        let chance = "With one pair of seeds a difference may be chance: no interval and no p can be given.";
        return vec![format!("{baseline}. {chance}")];
    }
    let comparisons =
        differences().filter(|difference| difference.p.is_some()).map(|difference| difference.comparisons);
    let Some(comparisons) = comparisons.max() else {
        return vec![format!("{baseline}. No difference varies between seeds, so there is no interval and no p.")];
    };
    let family = match comparisons {
        1 => String::new(),
        several => format!(", both for the {several} comparisons of the column together (Bonferroni)"),
    };
    let mut notes = vec![format!(
        "{baseline}: mean, 95% interval and p of the paired t-test{family}. p is below 0.05 just where the interval excludes 0."
    )];
    let fewest = fewest_pairs(comparisons);
    if most < fewest {
        let plural = if comparisons == 1 { "comparison" } else { "comparisons" };
        notes.push(format!(
            "With {most} pairs this rests on differences that are about normally distributed, which so few cannot show; a sign-flip \
             test, which needs no such thing, could reach p < 0.05 from {fewest} pairs on for {comparisons} {plural}."
        ));
    }
    notes.extend((0..table.columns.len()).filter_map(|i| about_pairs(table, i)));
    notes
}

/// Which differences the seeds of a column can show, and how many seeds those would need that they do not show.
fn about_pairs(table: &Table, i: usize) -> Option<String> {
    let column = &table.columns[i];
    let unit = Unit::of(column.quantity.metric);
    let untold: Vec<(String, &PairedDifference)> =
        differences(table, i).filter(|(_, difference)| difference.p.is_some() && !difference.is_told()).collect();
    let least: Vec<f64> = untold.iter().filter_map(|(_, difference)| difference.least_told()).collect();
    let decimals = unit.decimals(least.iter().copied());
    let text = |value: f64| unit.text(value, decimals);
    let smallest = least.iter().copied().reduce(f64::min)?;
    let largest = least.iter().copied().reduce(f64::max)?;
    let range = match (text(smallest), text(largest)) {
        (low, high) if low == high => low,
        (low, high) => format!("{low} to {high}"),
    };
    let needed = |difference: &PairedDifference| difference.pairs_needed().filter(|pairs| *pairs <= MOST_SAID);
    let said = |pairs: Option<usize>| pairs.map_or(format!("more than {MOST_SAID}"), |pairs| pairs.to_string());
    let order = |(_, difference): &&(String, &PairedDifference)| needed(difference).unwrap_or(usize::MAX);
    let (few, many) = (untold.iter().min_by_key(order)?, untold.iter().max_by_key(order)?);
    let seeds = match (needed(few.1), needed(many.1)) {
        (few, many) if few == many => said(few),
        (least, most) => format!("{} (row {}) to {} (row {})", said(least), few.0, said(most), many.0),
    };
    Some(format!(
        "{}: where the interval contains 0, a difference would have to be larger than {range}{} to be told from 0 at \
         this deviation; with the mean and deviation shown it would take {seeds} seeds.",
        column.label,
        if unit.difference.is_empty() { String::new() } else { format!(" {}", unit.difference) },
    ))
}

/// The differences of a column, with the labels of their rows.
fn differences(table: &Table, i: usize) -> impl Iterator<Item = (String, &PairedDifference)> {
    table.rows.iter().filter_map(move |row| match &row.cells[i].delta {
        Some(Delta::Difference(difference)) => Some((row.labels.join("/"), difference)),
        _ => None,
    })
}

fn cells(table: &Table) -> impl Iterator<Item = (&Column, &Cell)> {
    table.rows.iter().flat_map(|row| table.columns.iter().zip(&row.cells))
}

/// Whether a cell shows a deviation.
pub(crate) fn has_spread(cell: &Cell) -> bool {
    matches!(&cell.value, CellValue::Measured(summary) if summary.sd.is_some_and(|sd| sd > 0.0))
}

/// The one form of all columns that have a form.
fn common_form(forms: impl Iterator<Item = Option<Form>>) -> Option<Form> {
    let mut forms = forms.flatten();
    let first = forms.next()?;
    forms.all(|form| form == first).then_some(first)
}
