//! A table for a terminal, in aligned columns. If the lines would be too long, each row becomes a block.
//!
//! This module formats a computed table. The caller provides the width and the choice of colour.

use sweep_protocol::printable_line;

use super::analysis::Section;
use super::sheet::{Mark, Sheet, Text};
use crate::analysis::Analysis;
use crate::notes::about_marks;
use crate::table::Table;

/// Whether the output contains colour codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Best cells are green and bold; cells that may differ from them by chance are underlined; headings are bold.
    Ansi,
    /// Best cells have a star; cells that may differ from them by chance have a tilde.
    Plain,
}

/// Replaces a space that must not be a line break.
const GLUE: char = '\u{a0}';

/// Number of spaces between columns.
const GAP: usize = 2;

/// Formats the table in lines of at most `width` characters, if its cells are short enough.
pub fn terminal(table: &Table, width: usize, color: Color) -> String {
    let sheet = Sheet::of(table).printable();
    let mut out = format!("{}\n\n", strong(&printable_line(&table.title), color));
    out += &aligned(&sheet, width, color).unwrap_or_else(|| stacked(&sheet, color));
    let row_notes = sheet.row_notes.iter().map(|(letter, note)| format!("[{letter}] {note}"));
    let marks = match color {
        Color::Ansi => about_marks(table, "Green", "underlined"),
        Color::Plain => about_marks(table, "*", "~"),
    };
    for (i, note) in row_notes.chain(marks).chain(table.notes.iter().cloned()).enumerate() {
        out += if i == 0 { "\n" } else { "" };
        out += &wrapped(&printable_line(&note), width).iter().map(|line| format!("{line}\n")).collect::<String>();
    }
    out
}

/// Formats an analysis in lines of at most `width` characters, if its cells are short enough.
pub fn analysis_lines(analysis: &Analysis, width: usize, color: Color) -> String {
    let part = Section::of(analysis);
    let sheet = |sheet: Sheet| {
        let sheet = sheet.printable();
        aligned(&sheet, width, color).unwrap_or_else(|| stacked(&sheet, color)) + "\n"
    };
    let mut out = format!("{}\n\n", strong(&printable_line(&part.title), color));
    out += &part.sheets.into_iter().map(sheet).collect::<String>();
    for note in &part.notes {
        out += &wrapped(&printable_line(note), width).iter().map(|line| format!("{line}\n")).collect::<String>();
    }
    out
}

/// Formats aligned columns with wrapped headings. Returns `None` if a line would still be longer than `width`.
fn aligned(sheet: &Sheet, width: usize, color: Color) -> Option<String> {
    let rows: Vec<Vec<Painted>> = sheet.rows.iter().map(|row| painted_row(sheet, row, color)).collect();
    let narrowest = |text: &str| folded(text, 0).iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let widest_cell = |i: usize| rows.iter().map(|row| row[i].taken).max().unwrap_or(0);
    let widths: Vec<usize> =
        sheet.header.iter().enumerate().map(|(i, text)| widest_cell(i).max(narrowest(text))).collect();
    let total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    if total > width {
        return None;
    }
    let headings: Vec<Vec<String>> =
        sheet.header.iter().zip(&widths).map(|(text, &width)| folded(text, width)).collect();
    let height = headings.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for line in 0..height {
        let heading = |lines: &Vec<String>| {
            let above = height - lines.len();
            let text = line.checked_sub(above).map_or("", |i| lines[i].as_str());
            Painted { taken: text.chars().count(), text: strong(text, color) }
        };
        out += &padded(&headings.iter().map(heading).collect::<Vec<_>>(), &widths, sheet.words);
    }
    out += &format!("{}\n", "─".repeat(total));
    out += &rows.iter().map(|row| padded(row, &widths, sheet.words)).collect::<String>();
    Some(out)
}

/// Formats a block for each row, with a line for each column.
fn stacked(sheet: &Sheet, color: Color) -> String {
    let width = sheet.header.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let block = |row: &Vec<Text>| {
        let lines = sheet.header.iter().zip(painted_row(sheet, row, color)).map(|(heading, cell)| {
            let blanks = " ".repeat(width - heading.chars().count() + GAP);
            format!("{}\n", format!("{heading}{blanks}{}", cell.text).trim_end())
        });
        lines.collect::<String>()
    };
    sheet.rows.iter().map(block).collect::<Vec<_>>().join("\n")
}

/// A text with colour codes, and its width on screen without them.
struct Painted {
    taken: usize,
    text: String,
}

fn painted_row(sheet: &Sheet, row: &[Text], color: Color) -> Vec<Painted> {
    let paint = |(i, text): (usize, &Text)| {
        let note = text.note.as_ref().map(|letter| format!(" [{letter}]")).unwrap_or_default();
        // A space instead of a sign keeps the digits of a column aligned.
        let has_sign = sheet.rows.iter().any(|row| row[i].mark != Mark::Plain);
        let sign = match (color, text.mark, has_sign) {
            (Color::Plain, Mark::Best, _) => "*",
            (Color::Plain, Mark::Tied, _) => "~",
            (Color::Plain, Mark::Plain, true) => " ",
            _ => "",
        };
        let plain = format!("{}{note}{sign}", text.text);
        let taken = plain.chars().count();
        let codes = match text.mark {
            Mark::Best => "1;32",
            Mark::Tied => "4",
            Mark::Plain => "",
        };
        let is_painted = color == Color::Ansi && !codes.is_empty();
        Painted { taken, text: if is_painted { format!("\x1b[{codes}m{plain}\x1b[0m") } else { plain } }
    };
    row.iter().enumerate().map(paint).collect()
}

/// Formats one line. The first `words` texts are left-aligned in their columns; the others are right-aligned.
fn padded(texts: &[Painted], widths: &[usize], words: usize) -> String {
    let mut line = String::new();
    for (i, (cell, width)) in texts.iter().zip(widths).enumerate() {
        let blanks = " ".repeat(width.saturating_sub(cell.taken));
        let gap = " ".repeat(if i == 0 { 0 } else { GAP });
        line += &if i < words { format!("{gap}{}{blanks}", cell.text) } else { format!("{gap}{blanks}{}", cell.text) };
    }
    format!("{}\n", line.trim_end())
}

fn strong(text: &str, color: Color) -> String {
    if color == Color::Ansi && !text.is_empty() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// Wraps a heading between its words. Its unit stays in one piece.
fn folded(heading: &str, width: usize) -> Vec<String> {
    let mut depth = 0;
    let glued: String = heading
        .chars()
        .map(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            if c == ' ' && depth > 0 { GLUE } else { c }
        })
        .collect();
    wrapped(&glued, width).iter().map(|line| line.replace(GLUE, " ")).collect()
}

/// Wraps a text into lines of at most `width` characters. A longer word gets its own line.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
