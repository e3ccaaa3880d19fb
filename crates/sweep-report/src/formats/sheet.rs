//! A table as text in columns, before it is formatted as Markdown, LaTeX or for a terminal.
//!
//! This module scales and rounds; it knows no markup. CSV and JSON do not use it: they keep unrounded base units.

use sweep_protocol::printable_line;
use sweep_statistics::{Estimate, Ratio};

use crate::notes::has_spread;
use crate::table::{Cell, CellValue, Column, Delta, Row, Table};
use crate::unit::{Rounding, typeset, with_unit};

/// Text in rows and columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sheet {
    /// Headings, one per column.
    pub(super) header: Vec<String>,
    /// Number of columns, from the left, that hold words. The others hold numbers.
    pub(super) words: usize,
    /// The rows, with one text per column.
    pub(super) rows: Vec<Vec<Text>>,
    /// Reasons why rows are incomplete, each with the letter that refers to it.
    pub(super) row_notes: Vec<(String, String)>,
}

/// One text of a sheet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Text {
    pub(super) text: String,
    /// How it is marked in its column.
    pub(super) mark: Mark,
    /// Letter of a row note.
    pub(super) note: Option<String>,
    /// The number that it shows, for sorting.
    pub(super) number: Option<f64>,
}

/// How a text is marked in its column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
    /// Not marked.
    #[default]
    Plain,
    /// It has the best mean.
    Best,
    /// Its difference to the best mean is not significant.
    Tied,
}

impl From<&Cell> for Mark {
    fn from(cell: &Cell) -> Self {
        match (cell.best, cell.tied) {
            (true, _) => Self::Best,
            (false, true) => Self::Tied,
            (false, false) => Self::Plain,
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl Sheet {
    /// Converts a table to text.
    pub(super) fn of(table: &Table) -> Self {
        let looks: Vec<Look> = (0..table.columns.len()).map(|i| Look::of(table, i)).collect();
        let mut header = table.axes.clone();
        header.push("n".to_owned());
        header.extend(table.columns.iter().zip(&looks).flat_map(|(column, look)| look.header(column)));
        let mut row_notes: Vec<(String, String)> = Vec::new();
        let rows = table.rows.iter().map(|row| {
            let note = row.note.as_ref().map(|note| {
                // Rows with the same reason share a letter.
                let place = row_notes.iter().position(|(_, known)| known == note).unwrap_or_else(|| {
                    row_notes.push((letters(row_notes.len()), note.clone()));
                    row_notes.len() - 1
                });
                row_notes[place].0.clone()
            });
            let mut texts: Vec<Text> = row.labels.iter().cloned().map(Text::from).collect();
            let number = Some(row.n as f64);
            texts.push(Text { text: count(row.n, row.planned), mark: Mark::Plain, note, number });
            texts.extend(
                table.columns.iter().zip(&looks).enumerate().flat_map(|(i, (column, look))| look.texts(column, row, i)),
            );
            texts
        });
        let rows = rows.collect();
        Self { header, words: table.axes.len(), rows, row_notes }
    }

    /// Replaces characters that would control a terminal. Markdown and LaTeX replace them while they escape.
    pub(super) fn printable(mut self) -> Self {
        let texts = self.rows.iter_mut().flatten().map(|text| &mut text.text);
        for text in self.header.iter_mut().chain(texts) {
            *text = printable_line(text).into_owned();
        }
        self
    }
}

/// Returns `a` to `z`, then `aa`, `ab` and so on.
fn letters(place: usize) -> String {
    let last = char::from(b'a' + (place % 26) as u8);
    let first = place.checked_div(26).filter(|rest| *rest > 0).map(|rest| letters(rest - 1));
    first.unwrap_or_default() + &last.to_string()
}

/// Formats the number of runs: `3`, or `2/3` if not all planned runs succeeded.
pub(super) fn count(n: usize, planned: usize) -> String {
    match (n, planned) {
        (_, 0) => "—".to_owned(),
        (n, planned) if n == planned => n.to_string(),
        (n, planned) => format!("{n}/{planned}"),
    }
}

/// How one declared column looks.
#[derive(Clone, Copy, Debug)]
struct Look {
    rounding: Rounding,
    spread: bool,
    intervals: bool,
    /// Whether the differences are ratios.
    ratios: bool,
}

impl Look {
    fn of(table: &Table, i: usize) -> Self {
        let cells = || table.rows.iter().map(|row| &row.cells[i]);
        let means = cells().filter_map(|cell| match &cell.value {
            CellValue::Measured(summary) => Some(summary.mean),
            CellValue::Missing(_) => None,
        });
        let deltas = || cells().filter_map(|cell| cell.delta.as_ref());
        let has_interval = |delta: &Delta| match delta {
            Delta::Difference(comparison) => comparison.difference.p.is_some(),
            Delta::Ratio(ratio) => ratio.interval.is_some(),
            Delta::Baseline => false,
        };
        Self {
            rounding: Rounding::of(table.columns[i].quantity.metric, means),
            spread: cells().any(has_spread),
            intervals: deltas().any(has_interval),
            ratios: deltas().any(|delta| matches!(delta, Delta::Ratio(_))),
        }
    }

    fn header(self, column: &Column) -> Vec<String> {
        let unit = self.rounding.unit;
        let symbol = if self.spread { format!("{} ± SD", unit.symbol) } else { unit.symbol.to_string() };
        let mut header = vec![with_unit(&column.label, symbol.trim_start())];
        if column.paper {
            header.push(with_unit("paper", &unit.symbol));
        }
        if column.delta && self.ratios {
            let interval = if self.intervals { " [95%]" } else { "" };
            header.push(format!("{} ÷ baseline{interval}", column.label));
        } else if column.delta {
            let interval = if self.intervals { " [95%], p" } else { "" };
            header.push(with_unit(&format!("Δ {}", column.label), &unit.difference) + interval);
        }
        header
    }

    fn texts(self, column: &Column, row: &Row, i: usize) -> Vec<Text> {
        let cell = &row.cells[i];
        let (value, number) = match &cell.value {
            CellValue::Measured(summary) => (self.value(summary, row.n), Some(summary.mean)),
            CellValue::Missing(reason) => (reason.clone(), None),
        };
        let mut texts = vec![Text { text: value, mark: Mark::from(cell), note: None, number }];
        if column.paper {
            let printed = cell.paper.map(|printed| typeset(&printed.to_string()));
            texts.push(Text { number: cell.paper, ..Text::from(printed.unwrap_or_default()) });
        }
        if column.delta {
            let text = cell.delta.as_ref().map_or_else(|| "—".to_owned(), |delta| self.delta(delta, row.n));
            texts.push(Text { number: cell.delta.as_ref().map(|delta| self.size(delta)), ..Text::from(text) });
        }
        texts
    }

    /// Formats `91.02 ± 0.12`, with its own n if it differs from the row's n.
    fn value(self, summary: &Estimate, row_n: usize) -> String {
        let text = |value| self.rounding.text(value);
        let spread = summary.sd.filter(|sd| *sd > 0.0).map(|sd| format!(" ± {}", text(sd)));
        format!("{}{}{}", text(summary.mean), spread.unwrap_or_default(), own_n(summary.n, row_n))
    }

    /// Returns what a comparison with the baseline is sorted by: the difference, or the ratio.
    fn size(self, delta: &Delta) -> f64 {
        match delta {
            Delta::Baseline if self.ratios => 1.0,
            Delta::Baseline => 0.0,
            Delta::Ratio(ratio) => ratio.median,
            Delta::Difference(comparison) => comparison.difference.summary.mean,
        }
    }

    /// Formats `−0.31 [−0.62, 0.00], p = 0.75`, or a ratio as `1.31 [1.28, 1.35]`.
    fn delta(self, delta: &Delta, row_n: usize) -> String {
        let difference = match delta {
            Delta::Baseline => return "baseline".to_owned(),
            Delta::Ratio(Ratio { median, interval, .. }) => {
                let interval = interval.map(|ends| match ends.low < ends.high {
                    true => format!(" [{:.2}, {:.2}]", ends.low, ends.high),
                    // Every round gave the same ratio.
                    false => " (same network)".to_owned(),
                });
                return format!("{median:.2}{}", interval.unwrap_or_default());
            }
            Delta::Difference(comparison) => &comparison.difference,
        };
        let summary = &difference.summary;
        let interval = summary.interval.filter(|ends| ends.low < ends.high);
        let value = self.rounding.signed_with_interval(summary.mean, interval);
        let p = difference.p_adjusted.map(|p| format!(", {}", p_text(p)));
        format!("{value}{}{}", p.unwrap_or_default(), own_n(summary.n, row_n))
    }
}

/// Formats `p = 0.021`, or `p < 0.001`.
pub(super) fn p_text(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {}", p_number(p)) }
}

/// Formats `0.021`, or `< 0.001`.
pub fn p_number(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

fn own_n(n: usize, row_n: usize) -> String {
    if n == row_n { String::new() } else { format!(" (n = {n})") }
}

#[cfg(test)]
mod tests {
    use super::letters;

    #[test]
    fn letters_go_on_after_z() {
        let at = |place| letters(place);
        assert_eq!([at(0), at(25), at(26), at(27), at(701), at(702)], ["a", "z", "aa", "ab", "zz", "aaa"]);
    }
}
