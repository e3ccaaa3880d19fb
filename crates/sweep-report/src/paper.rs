//! Printed numbers of the paper, from `reports/paper/*.toml`: the only place where such a number may be written.
//!
//! Knows files and rows, not which of our rows they belong to.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use sweep_protocol::Form;

use crate::{Declaration, ReportError, read_toml};

/// The tables of the paper that a report refers to, by file as declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PaperNumbers {
    /// File, as the declaration names it, to table.
    pub tables: BTreeMap<String, PaperTable>,
}

/// A table as it is printed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperTable {
    /// As this file is cited.
    pub id: String,
    /// Its caption, shortened.
    pub title: String,
    /// Which version of the paper was read.
    pub source: String,
    /// Page of the PDF.
    pub page: u32,
    /// What its numbers mean, where the paper says so elsewhere.
    #[serde(default)]
    pub note: Option<String>,
    /// Names of its columns, with the printed unit.
    pub columns: Vec<String>,
    /// Its rows, as printed.
    #[serde(rename = "row")]
    pub rows: Vec<PaperRow>,
}

/// A row as it is printed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperRow {
    /// As a declaration refers to it.
    pub id: String,
    /// As the paper calls it.
    pub name: String,
    /// Catalogue name of the network that the row is about; nothing here knows what it stands for.
    #[serde(default)]
    pub model: Option<String>,
    /// The form that the row counts, where it is not the deployed one.
    #[serde(default)]
    pub form: Option<Form>,
    /// Column to number, in the printed unit.
    pub values: BTreeMap<String, f64>,
}

impl PaperNumbers {
    /// Reads the tables that a declaration refers to; its file names are seen from `reports`.
    ///
    /// # Errors
    /// When one of them cannot be read or has another form.
    pub fn load(reports: &Path, declaration: &Declaration) -> Result<Self, ReportError> {
        let mut tables = BTreeMap::new();
        for link in declaration.tables.iter().filter_map(|table| table.paper.as_ref()) {
            tables.insert(link.file.clone(), read_toml::read(&reports.join(&link.file))?);
        }
        Ok(Self { tables })
    }
}

impl PaperTable {
    /// The number in the row `id`, column `column`, if one is printed there.
    pub fn value(&self, id: &str, column: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.id == id)?.values.get(column).copied()
    }
}
