//! A table in LaTeX, with the rules of `booktabs`, the numbers of `siunitx`, and never wider than the page's lines. It
//! needs `\usepackage{booktabs,graphicx,siunitx}`.
//!
//! A column of plain numbers is aligned at the decimal point. Elsewhere each number is a `\num`, so that a document
//! decides how numbers look: `\sisetup{output-decimal-marker={,}}`.
//!
//! This module formats a computed table; it computes nothing.

use sweep_protocol::printable_line;

use super::analysis::Section;
use super::sheet::{Mark, Sheet, Text};
use crate::notes::about_marks;
use crate::overview::Overview;
use crate::table::Table;

/// Formats a floating table with caption, label and notes.
pub(super) fn table(table: &Table, overview: &Overview) -> String {
    let table = &narrowed(table);
    let notes = about_marks(table, "Bold", "underlined").into_iter().chain(table.notes.iter().cloned());
    float(&Sheet::of(table), (&table.title, &table.id), &notes.collect::<Vec<_>>(), overview)
}

/// Formats a floating table for each sheet of an analysis. The notes are below the last one.
pub(super) fn analysis(part: &Section, overview: &Overview) -> String {
    let last = part.sheets.len().saturating_sub(1);
    let float = |(i, sheet): (usize, &Sheet)| {
        let id = if i == 0 { part.id.clone() } else { format!("{}-{}", part.id, i + 1) };
        float(sheet, (&part.title, &id), if i == last { &part.notes } else { &[] }, overview)
    };
    match part.sheets.is_empty() {
        true => part.notes.iter().map(|note| format!("{}\n", escaped(note))).collect(),
        false => part.sheets.iter().enumerate().map(float).collect::<Vec<_>>().join("\n"),
    }
}

fn float(sheet: &Sheet, (title, id): (&str, &str), notes: &[String], overview: &Overview) -> String {
    let kinds: Vec<Kind> = (0..sheet.header.len()).map(|i| Kind::of(sheet, i)).collect();
    let columns: String = kinds.iter().map(Kind::letter).collect();
    let header = line(sheet.header.iter().zip(&kinds).map(|(text, kind)| kind.heading(text)));
    let rows: String =
        sheet.rows.iter().map(|row| line(row.iter().zip(&kinds).map(|(text, kind)| kind.cell(text)))).collect();
    let row_notes =
        sheet.row_notes.iter().map(|(letter, note)| format!("\\textsuperscript{{{letter}}} {}", escaped(note)));
    let notes: Vec<String> = row_notes
        .chain(std::iter::once(escaped(&overview.scale())))
        .chain(notes.iter().map(|note| protected(escaped(note))))
        .collect();
    let caption = escaped(title);
    let label = format!("tab:{}", [&overview.experiment, &overview.profile, id].map(label).join("/"));
    let spelled_notes = format!(
        "\\par\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\\footnotesize\\raggedright\n{}\n\\end{{minipage}}\n",
        notes.join("\\par\n")
    );
    format!(
        "% Needs \\usepackage{{booktabs,graphicx,siunitx}}.\n\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\
         \\label{{{label}}}\n\
         % Natural width, but at most the width of a line. Numbers have the font of their cell.\n\
         \\small\\sisetup{{mode=text,detect-weight,detect-family,retain-explicit-plus}}\n\
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

/// How the cells of a column are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Words,
    /// Plain numbers, aligned at the decimal point: the most digits before and after it.
    Aligned {
        before: usize,
        after: usize,
    },
    /// Numbers with words or signs.
    Mixed,
}

impl Kind {
    fn of(sheet: &Sheet, i: usize) -> Self {
        if i < sheet.words {
            return Self::Words;
        }
        let cells = || sheet.rows.iter().map(|row| &row[i]);
        let digits: Vec<(usize, usize)> = cells().filter_map(|cell| plain_digits(&cell.text)).collect();
        let is_plain = |cell: &Text| plain_digits(&cell.text).is_some() || cell.text == NOTHING;
        // An underlined number cannot be aligned, nor can one with a note.
        let is_aligned = cells().all(|cell| is_plain(cell) && cell.mark != Mark::Tied && cell.note.is_none());
        match (is_aligned, digits.iter().map(|of| of.0).max(), digits.iter().map(|of| of.1).max()) {
            (true, Some(before), Some(after)) => Self::Aligned { before, after },
            _ => Self::Mixed,
        }
    }

    fn letter(&self) -> String {
        match self {
            Self::Words => "l".to_owned(),
            Self::Aligned { before, after } => format!("S[table-format={before}.{after}]"),
            Self::Mixed => "r".to_owned(),
        }
    }

    fn heading(&self, text: &str) -> String {
        match self {
            Self::Words => stacked(text, "l"),
            // Braces: this is no number.
            Self::Aligned { .. } => format!("{{{}}}", stacked(text, "r")),
            Self::Mixed => stacked(text, "r"),
        }
    }

    fn cell(&self, text: &Text) -> String {
        match self {
            Self::Words => marked(escaped(&text.text), text),
            Self::Aligned { .. } if text.text == NOTHING => format!("{{{}}}", escaped(NOTHING)),
            Self::Aligned { .. } if text.mark == Mark::Best => format!("\\bfseries {}", text.text),
            Self::Aligned { .. } => text.text.clone(),
            Self::Mixed => marked(with_numbers(&text.text), text),
        }
    }
}

/// A cell without value.
const NOTHING: &str = "—";

/// Number of digits before and after the decimal point; `None` if the text is no plain number.
fn plain_digits(text: &str) -> Option<(usize, usize)> {
    let (before, after) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    (!before.is_empty() && is_number(before) && is_number(after)).then_some((before.len(), after.len()))
}

/// Escapes a text and sets each of its numbers with `\num`.
fn with_numbers(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let before = &rest[..start];
        // A digit inside a word belongs to the word.
        let is_in_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let sign = ['−', '+'].into_iter().find(|sign| before.ends_with(*sign)).filter(|_| !is_in_word);
        let before = sign.map_or(before, |sign| &before[..before.len() - sign.len_utf8()]);
        let digits = rest[start..].find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len() - start);
        // A full stop ends a sentence.
        let digits = rest[start..start + digits].trim_end_matches('.').len();
        let exponent = exponent(&rest[start + digits..]);
        let end = start + digits + exponent;
        let number = rest[start..end].replace('−', "-");
        out += &escaped(before);
        let sign = sign.map_or("", |sign| if sign == '+' { "+" } else { "-" });
        out += &if is_in_word { escaped(&rest[start..end]) } else { format!("\\num{{{sign}{number}}}") };
        rest = &rest[end..];
    }
    out + &escaped(rest)
}

/// Length of an exponent at the beginning of a text: `e-6`, `e−6`; 0 without one.
fn exponent(text: &str) -> usize {
    let Some(after) = text.strip_prefix('e') else { return 0 };
    let digits = after.trim_start_matches(['-', '−']);
    let sign = after.len() - digits.len();
    let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    if length == 0 { 0 } else { 1 + sign + length }
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

/// Makes a part of a label from a name, using only characters that every LaTeX accepts. Each other character becomes
/// its code point between full stops, so different names have different labels.
fn label(name: &str) -> String {
    let spelled = |c: char| match c {
        c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') => c.to_string(),
        c => format!(".{:x}.", u32::from(c)),
    };
    name.chars().map(spelled).collect()
}

/// Adds the mark and the letter of a cell.
fn marked(words: String, text: &Text) -> String {
    let words = match text.mark {
        Mark::Best => format!("\\textbf{{{words}}}"),
        Mark::Tied => format!("\\underline{{{words}}}"),
        Mark::Plain => words,
    };
    match &text.note {
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
        assert_eq!(label("a_b-größe 2%}"), "a_b-gr.f6..df.e.20.2.25..7d.");
    }

    #[test]
    fn numbers_are_set_by_siunitx_and_words_are_not() {
        for (text, set) in [
            ("82.60 ± 0.44", "\\num{82.60} $\\pm$ \\num{0.44}"),
            ("+1.00 [−11.71, +13.71], p = 1.000", "\\num{+1.00} [\\num{-11.71}, \\num{+13.71}], p = \\num{1.000}"),
            ("1.2e−6", "\\num{1.2e-6}"),
            ("2/3", "\\num{2}/\\num{3}"),
            ("3x3 conv1 a_2", "\\num{3}x3 conv1 a\\_2"),
            ("p < 0.001.", "p $<$ \\num{0.001}."),
            ("5e", "\\num{5}e"),
            ("—", "---"),
        ] {
            assert_eq!(with_numbers(text), set, "{text}");
        }
    }

    #[test]
    fn only_plain_numbers_are_aligned() {
        assert_eq!(plain_digits("11.25"), Some((2, 2)));
        assert_eq!(plain_digits("640"), Some((3, 0)));
        for other in ["", "—", "−1.0", "1.2e−6", "3 ± 1", "1.2.3", "½"] {
            assert_eq!(plain_digits(other), None, "{other}");
        }
    }

    #[test]
    fn characters_special_to_latex_are_escaped() {
        assert_eq!(escaped("50% of a_b & {c} ± −1"), "50\\% of a\\_b \\& \\{c\\} $\\pm$ $-$1");
        assert_eq!(escaped("`a--b` two\nlines\u{1b}"), "\\`{}a-{}-b\\`{} two lines\u{fffd}");
        assert_eq!(escaped("\\x^2~"), "\\textbackslash{}x\\textasciicircum{}2\\textasciitilde{}");
    }
}
