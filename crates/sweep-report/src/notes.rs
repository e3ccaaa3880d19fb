//! What a reader must be told to read a table: what ± is, what a delta is compared with, which form was measured.
//!
//! Each note is there only when the table shows what it explains.

use sweep_protocol::{Form, PlanRecord};

use crate::declaration::{Quantity, TableDeclaration};
use crate::paper::PaperTable;
use crate::statistics::smallest_sign_flip_p;
use crate::table::{Cell, CellValue, Column, Delta, Table};
use crate::unit::{words, words_without_form};

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
    let best = "The best complete value of a column is marked.";
    let citation = paper.filter(|_| table.columns.iter().any(|column| column.paper)).map(|paper| {
        format!("Numbers of the paper are printed in {} ({}), page {}.", paper.id, paper.source, paper.page)
    });
    let mut notes: Vec<String> = form.into_iter().collect();
    notes.extend(cells(table).any(|(_, cell)| has_spread(cell)).then(|| spread.to_owned()));
    notes.extend(cells(table).any(|(_, cell)| cell.best).then(|| best.to_owned()));
    notes.extend(about_deltas(table, plan));
    notes.extend(citation);
    notes
}

fn about_deltas(table: &Table, plan: &PlanRecord) -> Vec<String> {
    if !table.columns.iter().any(|column| column.delta) {
        return Vec::new();
    }
    let pairs: Vec<usize> = cells(table)
        .filter_map(|(_, cell)| match &cell.delta {
            Some(Delta::Difference(difference)) => Some(difference.summary.n),
            _ => None,
        })
        .collect();
    let most = pairs.into_iter().max().unwrap_or(0);
    let baseline = format!("Δ is the difference to the row with {}, paired by seed", plan.baseline);
    if most < 2 {
        let chance = "With one seed a difference may be chance: no interval and no p can be given.";
        return vec![format!("{baseline}. {chance}")];
    }
    let mut notes = vec![format!(
        "{baseline}: mean, 95% t-interval, and p of an exact sign-flip test, Holm-adjusted within the column."
    )];
    if most < 6 {
        let smallest = smallest_sign_flip_p(most);
        notes.push(format!("With {most} paired seeds that test cannot reach p < 0.05: its smallest p is {smallest}."));
    }
    notes
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
