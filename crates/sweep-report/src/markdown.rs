//! A table in Markdown, as GitHub reads it.
//!
//! Spells a computed table; computes nothing.

use crate::sheet::{Sheet, Text};
use crate::table::Table;

/// The table, its row notes and its notes.
pub(crate) fn table(table: &Table) -> String {
    let sheet = Sheet::of(table);
    let mut out = line(sheet.header.iter().map(|text| escaped(text)));
    out += &line((0..sheet.header.len()).map(|i| if i < sheet.words { ":--" } else { "--:" }.to_owned()));
    for row in &sheet.rows {
        out += &line(row.iter().map(cell));
    }
    out.push('\n');
    for (letter, note) in &sheet.row_notes {
        out += &format!("<sup>{letter}</sup> {}  \n", escaped(note));
    }
    for note in &table.notes {
        out += &format!("{}  \n", escaped(note));
    }
    out
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn cell(text: &Text) -> String {
    let words = escaped(&text.text);
    let words = if text.best { format!("**{words}**") } else { words };
    match text.note {
        Some(letter) => format!("{words} <sup>{letter}</sup>"),
        None => words,
    }
}

/// Text that Markdown shows as it is.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '|' | '*' | '_' | '`' | '<' | '\\' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}
