//! Reads the TOML files of a report: declarations and the paper's tables.
//!
//! Reports show all texts in these files. So any text that cannot be shown is refused, whatever its key is.

use std::path::Path;

use serde::de::DeserializeOwned;
use sweep_protocol::{TextError, check_line, check_prose};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::ReportError;

/// The key whose text may have several lines.
const PROSE: &str = "note";

/// Reads a file and checks its texts.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ReportError> {
    let fault = |source| ReportError::Io { path: path.to_owned(), doing: "reading", source };
    parse(path, &sweep_protocol::read_text_file(path).map_err(fault)?)
}

/// Parses a text and checks the texts in it. Errors name `path` as its file.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ReportError> {
    let fault = |source| ReportError::Toml { path: path.to_owned(), source: Box::new(source) };
    let content = toml::from_str(text).map_err(fault)?;
    let tree = DeTable::parse(text).map_err(fault)?;
    match in_table(tree.get_ref()) {
        None => Ok(content),
        Some((start, source)) => {
            let before = text.get(..start).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            let (line, column) = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
            Err(ReportError::Text { path: path.to_owned(), line, column, source })
        }
    }
}

/// Finds the first text that cannot be shown, with the byte offset at which it starts.
fn in_table(table: &DeTable<'_>) -> Option<(usize, TextError)> {
    let found = table.iter().filter_map(|(key, value)| {
        let of_key = check_line(key.get_ref()).err().map(|fault| (key.span().start, fault));
        of_key.or_else(|| in_value(key.get_ref(), value))
    });
    found.min_by_key(|(start, _)| *start)
}

fn in_value(key: &str, value: &Spanned<DeValue<'_>>) -> Option<(usize, TextError)> {
    let start = value.span().start;
    match value.get_ref() {
        DeValue::String(text) if key == PROSE => check_prose(text).err().map(|fault| (start, fault)),
        DeValue::String(text) => check_line(text).err().map(|fault| (start, fault)),
        DeValue::Array(items) => items.iter().find_map(|item| in_value(key, item)),
        DeValue::Table(table) => in_table(table),
        _ => None,
    }
}
