//! A second sheet for a column with differences to the baseline: how sure each mean and each difference is.
//!
//! This module scales and rounds what the table holds; it computes nothing. The main sheet has the simultaneous
//! interval; this one has what a careful reader compares it with.

use sweep_statistics::{Comparison, Equivalence, EquivalenceVerdict, Estimate, FEWEST_FOR_BOOTSTRAP};

use super::sheet::{Sheet, Text, p_number, p_text};
use crate::table::{Cell, CellValue, Column, Delta, Row, Table};
use crate::unit::{Rounding, typeset, with_unit};

/// The statistics of one column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statistics {
    /// Heading of the column.
    pub(super) label: String,
    pub(super) sheet: Sheet,
    /// How to read the sheet.
    pub(super) note: String,
}

/// Returns the statistics of each column with differences that vary between seeds.
pub(super) fn of(table: &Table) -> Vec<Statistics> {
    (0..table.columns.len()).filter_map(|i| of_column(table, i)).collect()
}

fn of_column(table: &Table, i: usize) -> Option<Statistics> {
    let column = &table.columns[i];
    let comparisons = || table.rows.iter().filter_map(|row| comparison(&row.cells[i]));
    let family = comparisons().filter(|found| found.difference.p.is_some()).map(|found| found.difference.comparisons);
    let family = family.max()?;
    let estimates = || table.rows.iter().filter_map(|row| estimate(&row.cells[i]));
    let rounding = Rounding::of(column.quantity.metric, estimates().map(|estimate| estimate.mean));
    let view = View { rounding, column };
    let header = table.axes.iter().cloned().chain(view.header()).collect();
    let rows = table.rows.iter().map(|row| view.line(row, &row.cells[i])).collect();
    let sheet = Sheet { header, words: table.axes.len(), rows, row_notes: Vec::new() };
    let margin = column.margin.map(|margin| {
        format!(
            " The last column asks whether the true difference is within ±{}: two one-sided tests at 5%, for each row \
             alone. The difference is within if its 90% interval is, and not within if that interval is outside.",
            with_unit(&rounding.text(margin), &rounding.unit.difference)
        )
    });
    let note = note(family, estimates()) + &margin.unwrap_or_default();
    Some(Statistics { label: column.label.clone(), sheet, note })
}

fn note(family: usize, mut estimates: impl Iterator<Item = Estimate>) -> String {
    let intervals = match estimates.any(|estimate| estimate.n >= FEWEST_FOR_BOOTSTRAP) {
        true => format!("t-intervals, from {FEWEST_FOR_BOOTSTRAP} seeds on BCa bootstrap intervals"),
        false => "t-intervals".to_owned(),
    };
    let holm = match family {
        1 => String::new(),
        several => format!(" p (Holm) is adjusted for the {several} comparisons of the column."),
    };
    format!(
        "Intervals of the mean are {intervals}. p (one row) is that of the paired t-test for one row alone.{holm} \
         Welch's test ignores which seeds belong together: beside p (one row) it shows what the pairs gain. d_z is \
         the mean difference over the standard deviation of the differences. Superiority is the share of all pairs of \
         a run of the row and a run of the baseline in which the row has the higher value; ties count half."
    )
}

fn comparison(cell: &Cell) -> Option<&Comparison> {
    match &cell.delta {
        Some(Delta::Difference(comparison)) => Some(comparison),
        _ => None,
    }
}

fn estimate(cell: &Cell) -> Option<Estimate> {
    match cell.value {
        CellValue::Measured(estimate) => Some(estimate),
        CellValue::Missing(_) => None,
    }
}

/// How the numbers of the column look.
struct View<'a> {
    rounding: Rounding,
    column: &'a Column,
}

impl View<'_> {
    fn header(&self) -> Vec<String> {
        let unit = self.rounding.unit;
        let mut header: Vec<String> = vec![
            "n".to_owned(),
            with_unit("mean", &unit.symbol) + " [95%]",
            with_unit("SD", &unit.difference),
            with_unit("Δ", &unit.difference),
        ];
        header.extend(["p (one row)", "p (Holm)"].map(str::to_owned));
        header.push(with_unit("Welch, one row", &unit.difference) + " [95%], p");
        header.extend(["d_z", "superiority"].map(str::to_owned));
        header.extend(self.column.margin.map(|margin| {
            let margin = self.rounding.text(margin);
            with_unit(&format!("within ±{margin}"), &unit.difference)
        }));
        header
    }

    fn line(&self, row: &Row, cell: &Cell) -> Vec<Text> {
        let rounding = self.rounding;
        let comparison = comparison(cell);
        let estimate = estimate(cell);
        let mut texts: Vec<String> = row.labels.clone();
        texts.push(estimate.map_or_else(|| "0".to_owned(), |estimate| estimate.n.to_string()));
        texts.push(estimate.map_or_else(missing, |found| rounding.with_interval(found.mean, found.interval)));
        texts.push(estimate.and_then(|estimate| estimate.sd).map_or_else(missing, |sd| rounding.text(sd)));
        texts.push(match &cell.delta {
            Some(Delta::Baseline) => "baseline".to_owned(),
            _ => comparison.map_or_else(missing, |found| rounding.signed(found.difference.summary.mean)),
        });
        texts.push(comparison.and_then(|found| found.difference.p).map_or_else(missing, p_number));
        texts.push(comparison.and_then(|found| found.p_holm).map_or_else(missing, p_number));
        texts.push(comparison.and_then(|found| found.welch).map_or_else(missing, |welch| {
            let difference = rounding.signed_with_interval(welch.difference, Some(welch.interval));
            format!("{difference}, {}", p_text(welch.p))
        }));
        let effect = comparison.and_then(|found| found.effect_of_differences);
        texts.push(effect.map_or_else(missing, |effect| typeset(&format!("{:.2}", effect.d))));
        texts.push(comparison.and_then(|found| found.superiority).map_or_else(missing, |share| format!("{share:.2}")));
        if self.column.margin.is_some() {
            texts.push(cell.equivalence.as_ref().map_or_else(missing, equivalence));
        }
        texts.into_iter().map(Text::from).collect()
    }
}

fn equivalence(found: &Equivalence) -> String {
    let verdict = match found.verdict {
        EquivalenceVerdict::Equivalent => "yes",
        EquivalenceVerdict::NotEquivalent => "no",
        EquivalenceVerdict::Undecided => "undecided",
    };
    // The p of the two tests speaks for equivalence only.
    let p = found.p.filter(|_| found.verdict != EquivalenceVerdict::NotEquivalent);
    format!("{verdict}{}", p.map(|p| format!(", {}", p_text(p))).unwrap_or_default())
}

fn missing() -> String {
    "—".to_owned()
}
