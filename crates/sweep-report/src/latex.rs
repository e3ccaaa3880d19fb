//! A table in LaTeX, with the rules of `booktabs`: needs `\usepackage{booktabs}` and nothing else.
//!
//! Spells a computed table; computes nothing.

use sweep_protocol::printable_line;

use crate::notes::about_marks;
use crate::overview::Overview;
use crate::sheet::{Mark, Sheet, Text};
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
    let marks = about_marks(table, "Bold", "underlined");
    let notes: Vec<String> =
        row_notes.chain(marks.iter().chain(&table.notes).map(|note| protected(escaped(note)))).collect();
    let caption = format!("{}. {}", escaped(&table.title), escaped(&overview.scale()));
    let label = format!("tab:{}", label(&format!("{}-{}-{}", overview.experiment, overview.profile, table.id)));
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
    protected(format!("{} \\\\\n", cells.collect::<Vec<_>>().join(" & ")))
}

/// What follows a line break or a rule, not to be taken for its argument (`[1]`) or its star.
fn protected(line: String) -> String {
    if line.starts_with(['[', '*']) { format!("{{}}{line}") } else { line }
}

/// Names as part of a label: what is neither letter nor digit is joined by hyphens.
fn label(names: &str) -> String {
    names.chars().map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | ' ') { c } else { '-' }).collect()
}

fn cell(text: &Text) -> String {
    let words = escaped(&text.text);
    let words = match text.mark {
        Mark::Best => format!("\\textbf{{{words}}}"),
        Mark::Tied => format!("\\underline{{{words}}}"),
        Mark::Plain => words,
    };
    match text.note {
        Some(letter) => format!("{words}\\textsuperscript{{{letter}}}"),
        None => words,
    }
}

/// Text that LaTeX prints as it is, signs in math.
fn escaped(text: &str) -> String {
    let text = printable_line(text);
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            // Two of them would become one longer sign.
            '-' | '\'' | ',' if text[..at].ends_with(c) => out.extend(['{', '}', c]),
            '`' => out.push_str("\\`{}"),
            '|' => out.push_str("$|$"),
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
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_starts_with_a_bracket_or_a_star_is_no_argument() {
        let row = |first: &str| line([escaped(first), "2".to_owned()].into_iter());
        assert_eq!(row("[1,3]"), "{}[1,3] & 2 \\\\\n");
        assert_eq!(row("*ours"), "{}*ours & 2 \\\\\n");
        assert_eq!(row("none"), "none & 2 \\\\\n");
        assert_eq!(label("a_b-größe 2-c%}"), "a-b-größe 2-c--");
    }

    #[test]
    fn what_latex_would_act_on_is_printed() {
        assert_eq!(escaped("50% of a_b & {c} ± −1"), "50\\% of a\\_b \\& \\{c\\} $\\pm$ $-$1");
        assert_eq!(escaped("`a--b` two\nlines\u{1b}"), "\\`{}a-{}-b\\`{} two lines\u{fffd}");
        assert_eq!(escaped("\\x^2~"), "\\textbackslash{}x\\textasciicircum{}2\\textasciitilde{}");
    }
}
