//! A report as data: everything that its readers see, computed once. Every output format only writes it out.
//!
//! This module knows no format and writes nothing. Numbers are unrounded and in base units.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sweep_protocol::{ExperimentRows, PlanRecord};

use crate::analysis::{self, Analysis};
use crate::claims::{self, Judged};
use crate::declaration::{Declaration, Quantity};
use crate::measured::Measured;
use crate::overview::Overview;
use crate::plots::{self, Plot};
use crate::table::{self, Table};
use crate::{PaperNumbers, ReportError, fit};

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
    /// Tables, analyses and claims.
    pub answers: Answers,
    /// The plots, in declared order.
    pub(crate) plots: Vec<Plot>,
}

/// What a report answers, apart from its plots: everything that a terminal shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// The tables, in declared order.
    pub tables: Vec<Table>,
    /// Effects and fronts, in declared order.
    #[serde(default)]
    pub analyses: Vec<Analysis>,
    /// The claims with their verdicts, in declared order.
    pub claims: Vec<Judged>,
    /// Claims that were registered before the runs and are no longer declared.
    #[serde(default)]
    pub withdrawn: Vec<String>,
}

impl Answers {
    /// Computes the answers of a report.
    ///
    /// # Errors
    /// When the declaration does not fit the experiment or the paper.
    pub fn of(rows: &ExperimentRows, declaration: &Declaration, paper: &PaperNumbers) -> Result<Self, ReportError> {
        fit::check_rows(declaration, rows, paper)?;
        Ok(Self::of_measured(rows, &Measured::new(rows), declaration, paper))
    }

    /// Gives declared metrics the unit and the direction that the plan declares. Stored answers have only their names.
    #[must_use]
    pub fn with_metrics_of(mut self, plan: &PlanRecord) -> Self {
        let columns = self.tables.iter_mut().flat_map(|table| &mut table.columns).map(|column| &mut column.quantity);
        let analysed = self.analyses.iter_mut().flat_map(Analysis::quantities_mut);
        for Quantity { metric, .. } in columns.chain(analysed) {
            *metric = plan.metric(*metric).unwrap_or(*metric);
        }
        self
    }

    /// Computes the answers of a declaration that fits, from rows that are indexed already.
    fn of_measured(
        rows: &ExperimentRows,
        measured: &Measured<'_>,
        declaration: &Declaration,
        paper: &PaperNumbers,
    ) -> Self {
        Self {
            tables: table::of_measured(rows, measured, declaration, paper),
            analyses: analysis::of(&rows.plan, measured, declaration),
            claims: claims::of_measured(rows, measured, declaration, paper),
            withdrawn: claims::withdrawn(&rows.plan, declaration),
        }
    }
}

impl Document {
    /// Computes a report.
    ///
    /// # Errors
    /// When the declaration does not fit the experiment or the paper.
    pub fn of(rows: &ExperimentRows, declaration: &Declaration, paper: &PaperNumbers) -> Result<Self, ReportError> {
        fit::check_rows(declaration, rows, paper)?;
        let measured = Measured::new(rows);
        let (answers, plots) = rayon::join(
            || Answers::of_measured(rows, &measured, declaration, paper),
            || plots::of(rows, &measured, declaration),
        );
        // A confusion matrix shows the same numbers as the analysis that it belongs to.
        let matrices = answers.analyses.iter().filter_map(|analysis| match analysis {
            Analysis::Classes(classes) => plots::confusion::plot(classes),
            Analysis::Effects(_) | Analysis::Front(_) => None,
        });
        let plots = matrices.chain(plots).collect();
        Ok(Self {
            title: declaration.title.clone(),
            note: declaration.note.clone(),
            overview: Overview::of(rows, &measured),
            answers,
            plots,
        })
    }

    /// Returns the characters of its plots that PNG and PDF pictures show as boxes, because the embedded font lacks
    /// them. SVG pictures use fonts of the reader's system.
    pub fn missing_glyphs(&self) -> BTreeSet<char> {
        self.plots.iter().filter_map(|plot| plot.picture.as_ref()).flat_map(plots::Picture::missing_glyphs).collect()
    }
}
