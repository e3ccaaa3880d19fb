//! A table in LaTeX, with the rules of `booktabs` and never wider than the page's lines. It needs
//! `\usepackage{booktabs,graphicx}`.
//!
//! This module formats a computed table; it computes nothing.

use sweep_protocol::printable_line;

use super::sheet::{Mark, Sheet, Text};
use crate::notes::about_marks;
use crate::overview::Overview;
use crate::table::Table;

/// Formats a floating table with caption, label and notes.
pub(super) fn table(table: &Table, overview: &Overview) -> String {
    let table = &narrowed(table);
    let sheet = Sheet::of(table);
    let numbers = sheet.header.len() - sheet.words;
    let columns = "l".repeat(sheet.words) + &"r".repeat(numbers);
    let align = |i: usize| if i < sheet.words { "l" } else { "r" };
    let header = line(sheet.header.iter().enumerate().map(|(i, text)| stacked(text, align(i))));
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
        false => format!(
            "\\par\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\\footnotesize\\raggedright\n{}\n\\end{{minipage}}\n",
            notes.join("\\par\n")
        ),
    };
    format!(
        "% Needs \\usepackage{{booktabs,graphicx}}.\n\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\
         \\label{{{label}}}\n\
         % Natural width, but at most the width of a line.\n\\small\n\
         \\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n\
         \\begin{{tabular}}{{{columns}}}\n\\toprule\n{header}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}}}\n\
         {spelled_notes}\\end{{table}}\n"
    )
}

/// Returns the table with the columns and headings of narrow pages.
fn narrowed(table: &Table) -> Table {
    let mut narrow = table.clone();
    let is_kept: Vec<bool> = table.columns.iter().map(|column| !column.is_wide_only).collect();
    let mut kept = is_kept.iter();
    narrow.columns.retain(|_| kept.next().is_some_and(|kept| *kept));
    for row in &mut narrow.rows {
        let mut kept = is_kept.iter();
        row.cells.retain(|_| kept.next().is_some_and(|kept| *kept));
    }
    for column in &mut narrow.columns {
        if let Some(short) = column.short.take() {
            column.label = short;
        }
    }
    narrow
}

/// Splits a heading into two lines before a bracket that follows a space (a unit). This keeps columns narrow.
fn stacked(text: &str, align: &str) -> String {
    let breaks = [text.find(" ("), text.find(" [")].into_iter().flatten().min();
    match breaks {
        Some(at) => {
            let (above, below) = (escaped(&text[..at]), escaped(&text[at + 1..]));
            format!("\\shortstack[{align}]{{\\strut {above}\\\\\\strut {below}}}")
        }
        None => escaped(text),
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    protected(format!("{} \\\\\n", cells.collect::<Vec<_>>().join(" & ")))
}

/// Protects a line that follows a line break or a rule. Otherwise LaTeX would read a leading `[1]` as an argument, and
/// a leading `*` as part of the command.
fn protected(line: String) -> String {
    if line.starts_with(['[', '*']) { format!("{{}}{line}") } else { line }
}

/// Makes a label from names, using only characters that every LaTeX accepts. Other letters and digits become their code
/// point; the rest becomes hyphens.
fn label(names: &str) -> String {
    let spelled = |c: char| match c {
        c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') => c.to_string(),
        c if c.is_alphanumeric() => format!("u{:x}", u32::from(c)),
        _ => "-".to_owned(),
    };
    names.chars().map(spelled).collect()
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

/// Escapes text so that LaTeX prints it literally. Special signs use math mode.
fn escaped(text: &str) -> String {
    let text = printable_line(text);
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            // LaTeX would join two of them into one longer sign.
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
    fn a_row_that_starts_with_a_bracket_or_a_star_is_protected() {
        let row = |first: &str| line([escaped(first), "2".to_owned()].into_iter());
        assert_eq!(row("[1,3]"), "{}[1,3] & 2 \\\\\n");
        assert_eq!(row("*ours"), "{}*ours & 2 \\\\\n");
        assert_eq!(row("none"), "none & 2 \\\\\n");
        assert_eq!(label("a_b-größe 2-c%}"), "a-b-gruf6udfe-2-c--");
    }

    #[test]
    fn characters_special_to_latex_are_escaped() {
        assert_eq!(escaped("50% of a_b & {c} ± −1"), "50\\% of a\\_b \\& \\{c\\} $\\pm$ $-$1");
        assert_eq!(escaped("`a--b` two\nlines\u{1b}"), "\\`{}a-{}-b\\`{} two lines\u{fffd}");
        assert_eq!(escaped("\\x^2~"), "\\textbackslash{}x\\textasciicircum{}2\\textasciitilde{}");
    }
}
