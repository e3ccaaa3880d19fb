//! A report as data for a page: the texts that its readers see, with the numbers behind them for sorting.
//!
//! This module formats a computed document; it computes nothing and knows no markup.

use serde::Serialize;
use sweep_protocol::{printable, printable_line};

use super::analysis::Section;
use super::claims;
use super::sheet::{Mark, Sheet, Text};
use super::statistics::{self, Statistics};
use crate::ReportError;
use crate::document::Document;
use crate::missing::status_in_words;
use crate::notes::about_marks;
use crate::plots::{Chart, Plot};
use crate::table::Table;

/// A report as a page shows it. All texts are free of characters that control a terminal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageReport {
    /// Heading.
    pub title: String,
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the profile.
    pub profile: String,
    /// The question that the experiment asks.
    pub question: String,
    /// The scale, in one sentence.
    pub scale: String,
    /// How the runs went, in one sentence.
    pub progress: String,
    /// What the author wrote under the heading, in Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Tables and analyses.
    pub sections: Vec<PageSection>,
    /// The claims with their verdicts; absent without claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<PageSection>,
    /// The plots.
    pub plots: Vec<PagePlot>,
    /// Coordinates that the plan excludes, each with the reason.
    pub excluded: Vec<String>,
    /// Runs that failed, each with the reason.
    pub failures: Vec<String>,
}

/// A heading with sheets and notes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageSection {
    /// Id of the table or analysis.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Text in rows and columns.
    pub sheets: Vec<PageSheet>,
    /// How to read the sheets, or why there are none.
    pub notes: Vec<String>,
}

/// Text in rows and columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageSheet {
    /// Heading of the sheet, if its section has several.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Headings of the columns.
    pub header: Vec<String>,
    /// Number of columns, from the left, that hold words.
    pub words: usize,
    /// The rows, with one cell per column.
    pub rows: Vec<Vec<PageCell>>,
    /// How to read the sheet.
    pub notes: Vec<String>,
}

/// One cell of a sheet.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PageCell {
    /// What it shows.
    pub text: String,
    /// The number that it shows, for sorting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<f64>,
    /// `best` or `tied`; empty if it is not marked.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub mark: &'static str,
    /// Why the row is incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A plot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PagePlot {
    /// Id of the plot.
    pub id: String,
    /// Heading.
    pub title: String,
    /// How to read it; or why there is none.
    pub caption: String,
    /// What it shows; absent if there is nothing to show, or too much to draw anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chart: Option<Chart>,
    /// The picture as SVG, if there is one without a chart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svg: Option<String>,
}

impl Document {
    /// Returns the report as data for a page.
    ///
    /// # Errors
    /// When a plot cannot be drawn.
    pub fn page(&self) -> Result<PageReport, ReportError> {
        let overview = &self.overview;
        let tables = self.answers.tables.iter().map(of_table);
        let analyses = self.answers.analyses.iter().map(|analysis| of_analysis(Section::of(analysis)));
        let excluded = overview.exclusions.iter();
        let excluded = excluded.map(|found| printable_line(&format!("{}: {}", found.coordinates, found.reason)).into());
        let failures = overview.failures.iter().map(|failure| {
            let place = format!("{} seed={}", failure.coordinates, failure.seed);
            let why = failure.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default();
            shown(&format!("{}: {}{why}", place.trim_start(), status_in_words(failure.status)))
        });
        let plots: Result<Vec<PagePlot>, ReportError> = self.plots.iter().map(of_plot).collect();
        Ok(PageReport {
            title: shown(&self.title),
            experiment: overview.experiment.clone(),
            profile: overview.profile.clone(),
            question: shown(&overview.question),
            scale: shown(&overview.scale()),
            progress: shown(&overview.progress()),
            note: self.note.as_ref().map(|note| printable(note.trim()).into_owned()),
            sections: tables.chain(analyses).collect(),
            claims: claims::page(&self.answers.claims, &self.answers.withdrawn),
            plots: plots?,
            excluded: excluded.collect(),
            failures: failures.collect(),
        })
    }
}

/// Replaces characters that would control a terminal.
fn shown(text: &str) -> String {
    printable_line(text).into_owned()
}

fn of_table(table: &Table) -> PageSection {
    let mut notes: Vec<String> = about_marks(table, "Bold", "italic").into_iter().collect();
    notes.extend(table.notes.iter().cloned());
    let main = Sheet::of(table);
    let mut sheets = vec![PageSheet { notes, ..PageSheet::of(main, String::new()) }];
    sheets.extend(statistics::of(table).into_iter().map(|Statistics { label, sheet, note }| {
        let sheet = PageSheet::of(sheet, format!("Statistics of {label}"));
        PageSheet { notes: vec![note], ..sheet }
    }));
    PageSection { id: table.id.clone(), title: shown(&table.title), sheets, notes: Vec::new() }
}

fn of_analysis(Section { id, title, sheets, notes }: Section) -> PageSection {
    let sheets = sheets.into_iter().map(|sheet| PageSheet::of(sheet, String::new())).collect();
    PageSection { id, title: shown(&title), sheets, notes }
}

impl PageSheet {
    pub(super) fn of(sheet: Sheet, title: String) -> Self {
        let Sheet { header, words, rows, row_notes } = sheet.printable();
        let note_of =
            |letter: &String| row_notes.iter().find(|(known, _)| known == letter).map(|(_, note)| shown(note));
        let cell = |Text { text, mark, note, number }: Text| PageCell {
            text,
            number: number.filter(|number| number.is_finite()),
            mark: match mark {
                Mark::Plain => "",
                Mark::Best => "best",
                Mark::Tied => "tied",
            },
            note: note.as_ref().and_then(note_of),
        };
        let rows = rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect();
        Self { title, header, words, rows, notes: Vec::new() }
    }
}

fn of_plot(plot: &Plot) -> Result<PagePlot, ReportError> {
    let fault = |source| ReportError::Drawing { plot: plot.id.clone(), source };
    let picture = plot.picture.as_ref().filter(|_| plot.chart.is_none());
    Ok(PagePlot {
        id: plot.id.clone(),
        title: shown(&plot.title),
        caption: plot.caption.clone(),
        chart: plot.chart.clone(),
        svg: picture.map(|picture| picture.svg().map_err(fault)).transpose()?,
    })
}
