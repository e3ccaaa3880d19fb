//! A complete report: the bytes of all its files.
//!
//! This module writes nothing; the caller stores the files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use sweep_protocol::{ExperimentRows, printable};

use crate::declaration::Declaration;
use crate::markdown::{self, escaped, escaped_in_brackets, target};
use crate::missing::status_in_words;
use crate::overview::Overview;
use crate::plots::{self, DrawnPlot};
use crate::table::{Table, tables};
use crate::{PaperNumbers, ReportError, csv, latex};

/// One file of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendering {
    /// File name, relative to the report's folder.
    pub path: PathBuf,
    /// Content of the file.
    pub bytes: Vec<u8>,
}

/// Content of `report.json`.
#[derive(Serialize)]
struct Machine<'a> {
    title: &'a str,
    overview: &'a Overview,
    tables: &'a [Table],
}

/// Renders a report: `report.md`, `report.json`, each table as CSV and LaTeX, and each plot as SVG, PNG and PDF. The
/// same rows give the same bytes.
///
/// # Errors
/// When the declaration does not fit the experiment or the paper, or a plot cannot be drawn.
pub fn render(
    rows: &ExperimentRows,
    declaration: &Declaration,
    paper: &PaperNumbers,
) -> Result<Vec<Rendering>, ReportError> {
    render_around(&tables(rows, declaration, paper)?, rows, declaration)
}

/// Renders a report from tables that were already computed from the same rows and declaration.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn render_around(
    tables: &[Table],
    rows: &ExperimentRows,
    declaration: &Declaration,
) -> Result<Vec<Rendering>, ReportError> {
    let overview = Overview::of(rows);
    let plots = plots::draw(rows, declaration)?;
    let mut renderings = vec![
        text("report.md", markdown_report(declaration, &overview, tables, &plots)),
        text("report.json", json_report(declaration, &overview, tables)?),
    ];
    for table in tables {
        renderings.push(text(&format!("{}.csv", table.id), csv::table(table)));
        renderings.push(text(&format!("{}.tex", table.id), latex::table(table, &overview)));
    }
    for plot in plots {
        if let Some(picture) = plot.picture {
            renderings.extend(picture.renderings(&plot.id));
        }
    }
    Ok(renderings)
}

/// Returns the characters that PNG and PDF pictures show as boxes, because the embedded font lacks them. SVG pictures
/// use fonts of the reader's system.
pub fn missing_glyphs(renderings: &[Rendering]) -> BTreeSet<char> {
    let is_svg = |rendering: &&Rendering| rendering.path.extension().is_some_and(|extension| extension == "svg");
    let svgs = renderings.iter().filter(is_svg).map(|rendering| String::from_utf8_lossy(&rendering.bytes));
    svgs.flat_map(|svg| plots::missing_glyphs(&svg).collect::<Vec<_>>()).collect()
}

fn text(path: &str, content: String) -> Rendering {
    Rendering { path: path.into(), bytes: content.into_bytes() }
}

fn json_report(declaration: &Declaration, overview: &Overview, tables: &[Table]) -> Result<String, ReportError> {
    let machine = Machine { title: &declaration.title, overview, tables };
    let fault = |source| ReportError::Json { path: "report.json".into(), source };
    Ok(serde_json::to_string_pretty(&machine).map_err(fault)? + "\n")
}

fn markdown_report(declaration: &Declaration, overview: &Overview, tables: &[Table], plots: &[DrawnPlot]) -> String {
    let mut out = format!("# {}\n\n", escaped(&declaration.title));
    if !overview.question.is_empty() {
        out += &format!("**Question.** {}\n\n", escaped(&overview.question));
    }
    out += &format!("**Scale.** {}\n\n", escaped(&overview.scale()));
    out += &format!("**Runs.** {}\n\n", escaped(&overview.progress()));
    if let Some(note) = &declaration.note {
        // The note is Markdown written by the author, so it is not escaped.
        out += &format!("{}\n\n", printable(note.trim()));
    }
    for table in tables {
        out += &format!("## {}\n\n{}\n", escaped(&table.title), markdown::table(table));
    }
    for plot in plots {
        out += &format!("## {}\n\n", escaped(&plot.title));
        out += &match &plot.picture {
            Some(_) => format!(
                "![{}]({}.svg)\n\n{}\n\n",
                escaped_in_brackets(&plot.title),
                target(&plot.id),
                escaped(&plot.caption)
            ),
            None => format!("{}\n\n", escaped(&plot.caption)),
        };
    }
    out += &closing(overview);
    out.trim_end().to_owned() + "\n"
}

/// Lists what the tables do not show, with the reasons.
fn closing(overview: &Overview) -> String {
    let mut out = String::new();
    if !overview.exclusions.is_empty() {
        out += "## Left out\n\n";
        for exclusion in &overview.exclusions {
            out += &format!("- {}: {}\n", escaped(&exclusion.coordinates.to_string()), escaped(&exclusion.reason));
        }
        out.push('\n');
    }
    if !overview.failures.is_empty() {
        out += "## Failures\n\n";
        for failure in &overview.failures {
            let place = format!("{} seed={}", failure.coordinates, failure.seed);
            let message = failure.message.as_ref().map(|message| format!(" ({})", escaped(message)));
            let status = status_in_words(failure.status);
            out += &format!("- {}: {status}{}\n", escaped(place.trim_start()), message.unwrap_or_default());
        }
    }
    out
}
