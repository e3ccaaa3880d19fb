//! Printed numbers of the paper, from `reports/paper/*.toml`. Numbers of the paper are written nowhere else.
//!
//! This module knows files and rows. It does not know which rows of a report they belong to.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sweep_protocol::Form;

use crate::{Declaration, ReportError, read_toml};

/// The tables of the paper that a report refers to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PaperNumbers {
    /// Maps the file name in the declaration to its table.
    pub tables: BTreeMap<String, PaperTable>,
    /// Counts of the networks in the tables' rows, by row id. The program fills them in, since this crate knows no
    /// networks.
    pub counts: BTreeMap<String, Counts>,
}

/// What the network of a row counts, in the form of the row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// Number of parameters.
    pub params: f64,
    /// Multiply-adds for one image, in the paper's convention.
    pub flops: f64,
}

/// A table as printed in the paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperTable {
    /// Id that cites this table, such as `T1`.
    pub id: String,
    /// Its caption, shortened.
    pub title: String,
    /// The version of the paper that the numbers come from.
    pub source: String,
    /// Page in the PDF.
    pub page: u32,
    /// What its numbers mean, if the paper explains it in another place.
    #[serde(default)]
    pub note: Option<String>,
    /// Names of its columns, with the printed units.
    pub columns: Vec<String>,
    /// Its rows, as printed.
    #[serde(rename = "row")]
    pub rows: Vec<PaperRow>,
}

/// A row as printed in the paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperRow {
    /// Id that declarations refer to.
    pub id: String,
    /// Name of the row in the paper.
    pub name: String,
    /// Catalogue name of the network in this row. This crate does not interpret it.
    #[serde(default)]
    pub model: Option<String>,
    /// Form of the network that the row counts, if it is not the deployed form.
    #[serde(default)]
    pub form: Option<Form>,
    /// Maps a column to its number, in the printed unit.
    pub values: BTreeMap<String, f64>,
}

impl PaperNumbers {
    /// Reads the tables that a declaration refers to. Its file names are relative to `reports`. A file that does not
    /// exist there is taken from `carried`: pairs of file name and text.
    ///
    /// # Errors
    /// When one of the tables cannot be read or has another form.
    pub fn load(reports: &Path, declaration: &Declaration, carried: &[(&str, &str)]) -> Result<Self, ReportError> {
        let mut tables = BTreeMap::new();
        for link in declaration.tables.iter().filter_map(|table| table.paper.as_ref()) {
            let path = reports.join(&link.file);
            let table = match (read_toml::read(&path), carried.iter().find(|(file, _)| *file == link.file)) {
                (Err(fault), Some((_, text))) if is_missing(&path, &fault) => read_toml::parse(&path, text)?,
                (Err(fault), None) if is_missing(&path, &fault) => {
                    let known = carried.iter().map(|(file, _)| *file).collect::<Vec<&str>>().join(", ");
                    return Err(ReportError::NoPaperTable { path, known });
                }
                (read, _) => read?,
            };
            tables.insert(link.file.clone(), table);
        }
        Ok(Self { tables, counts: BTreeMap::new() })
    }
}

/// Whether nothing has this path. A link that leads nowhere is something.
pub(crate) fn is_missing(path: &Path, fault: &ReportError) -> bool {
    let is_not_found = matches!(fault, ReportError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
    is_not_found && path.symlink_metadata().is_err()
}

impl PaperTable {
    /// Returns the number in row `id` and column `column`, if one is printed there.
    pub fn value(&self, id: &str, column: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.id == id)?.values.get(column).copied()
    }

    /// Returns the number of decimals of a column: that of its longest number, since TOML drops trailing zeros.
    pub(crate) fn decimals(&self, column: &str) -> i32 {
        let of_value = |value: &f64| {
            let text = value.to_string();
            text.split_once('.').map_or(0, |(_, decimals)| i32::try_from(decimals.len()).unwrap_or(0))
        };
        self.rows.iter().filter_map(|row| row.values.get(column)).map(of_value).max().unwrap_or(0)
    }
}
