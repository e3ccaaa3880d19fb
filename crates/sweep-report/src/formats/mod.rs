//! The output formats. Each writes out a computed [`Document`] and computes nothing. Which files there are is decided
//! here.

pub(super) mod analysis;
pub(crate) mod claims;
mod classes;
mod csv;
mod json;
mod latex;
mod markdown;
pub(crate) mod page;
pub(crate) mod page_runs;
pub(crate) mod sheet;
mod statistics;
pub(crate) mod terminal;

use std::path::PathBuf;

use sweep_protocol::ExperimentRows;

use crate::declaration::Declaration;
use crate::document::Document;
use crate::{PaperNumbers, ReportError};

/// One file of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendering {
    /// File name, relative to the report's folder.
    pub path: PathBuf,
    /// Content of the file.
    pub bytes: Vec<u8>,
}

impl Rendering {
    fn new(name: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: name.into(), bytes: content.into() }
    }
}

/// Computes a report and returns its files.
///
/// # Errors
/// As [`Document::of`] and [`Document::files`].
pub fn render(
    rows: &ExperimentRows,
    declaration: &Declaration,
    paper: &PaperNumbers,
) -> Result<Vec<Rendering>, ReportError> {
    Document::of(rows, declaration, paper)?.files()
}

impl Document {
    /// Returns all files: `report.md`, `report.json`, each table and analysis as CSV and LaTeX, and each plot as SVG,
    /// PNG and PDF.
    ///
    /// # Errors
    /// When a plot cannot be drawn.
    pub fn files(&self) -> Result<Vec<Rendering>, ReportError> {
        let mut files =
            vec![Rendering::new("report.md", markdown::report(self)), Rendering::new("report.json", self.json()?)];
        for table in &self.answers.tables {
            files.push(Rendering::new(format!("{}.csv", table.id), csv::table(table)));
            files.push(Rendering::new(format!("{}.tex", table.id), latex::table(table, &self.overview)));
        }
        for analysis in &self.answers.analyses {
            files.push(Rendering::new(format!("{}.csv", analysis.id()), csv::analysis(analysis)));
            let part = analysis::Section::of(analysis);
            files.push(Rendering::new(format!("{}.tex", analysis.id()), latex::analysis(&part, &self.overview)));
        }
        for plot in &self.plots {
            let Some(picture) = &plot.picture else { continue };
            let fault = |source| ReportError::Drawing { plot: plot.id.clone(), source };
            files.extend(picture.image().map_err(fault)?.renderings(&plot.id));
        }
        Ok(files)
    }

    /// Returns the document as JSON, the content of `report.json`.
    ///
    /// # Errors
    /// When a number has no JSON form.
    pub fn json(&self) -> Result<String, ReportError> {
        json::report(self)
    }
}
