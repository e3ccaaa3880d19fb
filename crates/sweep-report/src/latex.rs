//! A table in LaTeX, with the rules of `booktabs`: needs `\usepackage{booktabs}` and nothing else.
//!
//! Spells a computed table; computes nothing.

use crate::overview::Overview;
use crate::sheet::{Sheet, Text};
use crate::table::Table;

/// A floating table with caption, label and notes.
pub(crate) fn table(table: &Table, overview: &Overview) -> String {
    let sheet = Sheet::of(table);
    let numbers = sheet.header.len() - sheet.words;
    let columns = "l".repeat(sheet.words) + &"r".repeat(numbers);
    let header = line(sheet.header.iter().map(|text| escaped(text)));
    let rows: String = sheet.rows.iter().map(|row| line(row.iter().map(cell))).collect();
    let row_notes =
        sheet.row_notes.iter().map(|(letter, note)| format!("\\textsuperscript{{{letter}}} {}", escaped(note)));
    let notes: Vec<String> = row_notes.chain(table.notes.iter().map(|note| escaped(note))).collect();
    let caption = format!("{}. {}", escaped(&table.title), escaped(&overview.scale()));
    let label = format!("tab:{}-{}-{}", overview.experiment, overview.profile, table.id).replace('_', "-");
    let spelled_notes = match notes.is_empty() {
        true => String::new(),
        false => format!("\\par\\smallskip\\footnotesize\n{}\n", notes.join("\\\\\n")),
    };
    format!(
        "% Needs \\usepackage{{booktabs}}.\n\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\\label{{{label}}}\n\
         \\begin{{tabular}}{{{columns}}}\n\\toprule\n{header}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n\
         {spelled_notes}\\end{{table}}\n"
    )
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("{} \\\\\n", cells.collect::<Vec<_>>().join(" & "))
}

fn cell(text: &Text) -> String {
    let words = escaped(&text.text);
    let words = if text.best { format!("\\textbf{{{words}}}") } else { words };
    match text.note {
        Some(letter) => format!("{words}\\textsuperscript{{{letter}}}"),
        None => words,
    }
}

/// Text that LaTeX prints as it is, signs in math.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '±' => out.push_str("$\\pm$"),
            '−' => out.push_str("$-$"),
            '×' => out.push_str("$\\times$"),
            '≤' => out.push_str("$\\le$"),
            '≥' => out.push_str("$\\ge$"),
            'Δ' => out.push_str("$\\Delta$"),
            '…' => out.push_str("\\ldots{}"),
            '–' => out.push_str("--"),
            '—' => out.push_str("---"),
            '\n' | '\r' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_latex_would_act_on_is_printed() {
        assert_eq!(escaped("50% of a_b & {c} ± −1"), "50\\% of a\\_b \\& \\{c\\} $\\pm$ $-$1");
        assert_eq!(escaped("\\x^2~"), "\\textbackslash{}x\\textasciicircum{}2\\textasciitilde{}");
    }
}
