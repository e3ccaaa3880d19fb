//! A report as data: everything that its readers see, computed once. Every output format only writes it out.
//!
//! This module knows no format and writes nothing. Numbers are unrounded and in base units.

use std::collections::BTreeSet;

use sweep_protocol::ExperimentRows;

use crate::claims::{self, Judged};
use crate::declaration::Declaration;
use crate::measured::Measured;
use crate::overview::Overview;
use crate::plots::{self, Plot};
use crate::table::{self, Table};
use crate::{PaperNumbers, ReportError};

/// A computed report. The same rows, declaration and paper give the same document, and the same document gives the same
/// bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Heading.
    pub title: String,
    /// Text under the heading: Markdown, as its author wrote it.
    pub note: Option<String>,
    /// Question, scale, and how the runs went.
    pub overview: Overview,
    /// The tables, in declared order.
    pub tables: Vec<Table>,
    /// The claims with their verdicts, in declared order.
    pub claims: Vec<Judged>,
    /// The plots, in declared order.
    pub(crate) plots: Vec<Plot>,
}

impl Document {
    /// Computes a report.
    ///
    /// # Errors
    /// When the declaration does not fit the experiment or the paper.
    pub fn of(rows: &ExperimentRows, declaration: &Declaration, paper: &PaperNumbers) -> Result<Self, ReportError> {
        let measured = Measured::new(rows);
        Ok(Self {
            title: declaration.title.clone(),
            note: declaration.note.clone(),
            overview: Overview::of(rows, &measured),
            tables: table::of_measured(rows, &measured, declaration, paper)?,
            claims: claims::of_measured(rows, &measured, declaration, paper)?,
            plots: plots::of(rows, &measured, declaration),
        })
    }

    /// Returns the characters of its plots that PNG and PDF pictures show as boxes, because the embedded font lacks
    /// them. SVG pictures use fonts of the reader's system.
    pub fn missing_glyphs(&self) -> BTreeSet<char> {
        self.plots.iter().filter_map(|plot| plot.picture.as_ref()).flat_map(plots::Picture::missing_glyphs).collect()
    }
}
