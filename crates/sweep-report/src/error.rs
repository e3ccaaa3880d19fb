//! Errors between rows and renderings. Each names the file, table or axis concerned.

use std::io;
use std::path::PathBuf;

use sweep_protocol::{Metric, NAME_RULE, NameError, RunId, TextError};

/// A report could not be made, or published rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The operating system reported an error.
    #[error("{path}: {doing} failed")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// Cause of the failure.
        source: io::Error,
    },
    /// A declaration names a table of a paper that does not exist.
    #[error("{path}: there is no such table of a paper; write it, or name one that the program carries: {known}")]
    NoPaperTable {
        /// The file.
        path: PathBuf,
        /// File names of the carried tables.
        known: String,
    },
    /// A statement of the paper is computed from a number that no table prints.
    #[error("{path}: no table prints `{cell}`; name it by row and column, as in `T4.g8_8/top1`")]
    NotPrinted {
        /// The file of statements.
        path: PathBuf,
        /// Row and column.
        cell: String,
    },
    /// A statement of the paper has a number that is not finite.
    #[error("{path}: `stated` of `{statement}` must be a finite number")]
    NotStated {
        /// The file of statements.
        path: PathBuf,
        /// Id of the statement.
        statement: String,
    },
    /// A declaration or a table of the paper is not valid TOML of its form. The source names line and column.
    #[error("{path}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: Box<toml::de::Error>,
    },
    /// A declaration or a table of the paper contains text that cannot be shown.
    #[error("{path}, line {line}, column {column}: this text contains {source}; remove it")]
    Text {
        /// The file.
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// Column in which the text starts, counted from 1.
        column: usize,
        /// The forbidden character.
        source: TextError,
    },
    /// The declaration does not fit the experiment or the paper. The error holds all faults.
    #[error("the report does not fit its experiment:{}", listed(faults))]
    Declaration {
        /// All faults, in the order of the declaration.
        faults: Vec<Fault>,
    },
    /// Published rows are missing a file, or a file does not have its form.
    #[error(
        "the published rows in {folder} cannot be read: restore them from version control, or remove the folder and \
         publish them again with `report` where the sweep ran"
    )]
    Published {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        source: Box<ReportError>,
    },
    /// Published rows are not what was published.
    #[error(
        "{paths} is missing, or is not what was published, and a report of it would replace that of the published \
         values: restore it from version control"
    )]
    Edited {
        /// The files.
        paths: String,
    },
    /// A JSON file does not have its form.
    #[error("{path} is no valid JSON of its kind")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its position.
        source: serde_json::Error,
    },
    /// A line of published measurements cannot be parsed.
    #[error("{path}, line {line}: {expected}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// What is expected.
        expected: &'static str,
    },
    /// The rows contain a run that is not in their plan.
    #[error("the rows contain run {0:?}, which is not in their plan")]
    UnplannedRun(RunId),
    /// A plot could not be drawn.
    #[error("plot `{plot}` could not be drawn")]
    Drawing {
        /// Id of the plot.
        plot: String,
        /// Cause of the failure.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Curves and sums need the values of all epochs, and the rows have the last one only.
    #[error(
        "of {what}, only the last values are published: the sweep has {all_values} values, and those of other epochs \
         are where it ran; render the report there"
    )]
    LastOnly {
        /// The quantity, in words.
        what: String,
        /// Number of all values of the sweep.
        all_values: u64,
    },
    /// Several columns of a table have this name, or begin with it.
    #[error("several {what}s are called `{name}`: {known}; give the whole heading")]
    Ambiguous {
        /// Kind of the things.
        what: &'static str,
        /// Name that was asked for.
        name: String,
        /// The things that have it.
        known: String,
    },
    /// The report has no such table, row or column.
    #[error("there is no {what} `{name}`; known: {known}")]
    Unknown {
        /// Kind of the missing thing.
        what: &'static str,
        /// Name that was asked for.
        name: String,
        /// The existing names.
        known: String,
    },
    /// No difference varies between seeds, so nothing can be planned from it.
    #[error(
        "no column has a difference to the baseline that varies between seeds: a pilot needs a `baseline` in the \
         experiment, a column with `delta = true`, and two or more finished seeds of both rows"
    )]
    NoPilot,
    /// Two sets of runs show nothing about rounding.
    #[error(
        "nothing can be said about rounding: {why}. It needs the same runs, computed with two instruction sets: run \
         the file again with `REPMLP_KERNELS=plain` and another `--results` folder"
    )]
    NoNoise {
        /// The reason.
        why: String,
    },
    /// The data frame could not be built or written.
    #[error("the data frame of all measurements could not be made")]
    Frame(#[from] polars::error::PolarsError),
}

/// One thing that a declaration asks for and that its experiment, or the paper, does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no axis with this name.
    #[error("{place}: there is no axis `{axis}`; axes of the experiment: {known}")]
    UnknownAxis {
        /// The table or plot.
        place: String,
        /// Name in the declaration.
        axis: String,
        /// The existing axes.
        known: String,
    },
    /// There is no point with this label.
    #[error("{place}: axis `{axis}` has no label `{label}`; its labels: {known}")]
    UnknownLabel {
        /// The table or plot.
        place: String,
        /// The axis.
        axis: String,
        /// Label in the declaration.
        label: String,
        /// The existing labels.
        known: String,
    },
    /// Runs that differ in more than the seed would be averaged.
    #[error(
        "{place}: `{group}` would average runs that differ in `{axis}`; add that axis to `{key}`, or choose one of its \
         labels with `where`"
    )]
    Mixed {
        /// The table or plot.
        place: String,
        /// Labels of the row.
        group: String,
        /// The axis on which its runs differ.
        axis: String,
        /// The key that names the axes of this table or plot.
        key: &'static str,
    },
    /// A claim would average runs that differ in more than the seed.
    #[error("{place}: `{group}` would average runs that differ in `{axis}`; choose one of its labels with `where`")]
    MixedClaim {
        /// The claim.
        place: String,
        /// Labels of the row.
        group: String,
        /// The axis on which its runs differ.
        axis: String,
    },
    /// A table has no columns.
    #[error("{place}: it has no columns; add [[table.column]] with a `metric`")]
    NoColumns {
        /// The table.
        place: String,
    },
    /// No run ever measures this quantity: a key is missing or not allowed.
    #[error("{place}: {metric} {why}")]
    Unmeasurable {
        /// The table or plot.
        place: String,
        /// The metric.
        metric: Metric,
        /// What is wrong, and what to write.
        why: &'static str,
    },
    /// The margin of a column cannot be tested.
    #[error("{place}: the `margin` of {metric} {why}")]
    Margin {
        /// The table.
        place: String,
        /// The metric.
        metric: Metric,
        /// What is wrong, and what to write.
        why: &'static str,
    },
    /// A column shows differences, but there is no baseline.
    #[error("{place}: `delta` of {metric} needs a `baseline` in the experiment file")]
    NoBaseline {
        /// The table.
        place: String,
        /// The metric.
        metric: Metric,
    },
    /// A column shows differences, but the table leaves out the row of the baseline.
    #[error(
        "{place}: `delta` of {metric} needs the row of the baseline, {baseline}, but `where` shows only runs with \
         {shown}"
    )]
    HiddenBaseline {
        /// The table.
        place: String,
        /// The metric.
        metric: Metric,
        /// Coordinate of the shown runs.
        shown: String,
        /// Coordinate of the baseline.
        baseline: String,
    },
    /// An axis is named twice.
    #[error("{place}: `{key}` names the axis `{axis}` twice")]
    RepeatedAxis {
        /// The table, analysis or plot.
        place: String,
        /// The axis.
        axis: String,
        /// The key.
        key: &'static str,
    },
    /// The program does not know this metric, and the base file does not declare it.
    #[error(
        "{place}: there is no metric `{metric}`; {}; or declare it in the base file with [metric.{metric}]",
        near.as_ref().map_or_else(|| format!("known: {known}"), |near| format!("did you mean `{near}`?"))
    )]
    UnknownMetric {
        /// The table or plot.
        place: String,
        /// The metric.
        metric: Metric,
        /// The most similar known metric.
        near: Option<String>,
        /// The known metrics.
        known: String,
    },
    /// Two tables or plots would be written to the same file.
    #[error("{place}: this id is already used; choose another one")]
    RepeatedId {
        /// The table or plot.
        place: String,
    },
    /// An id cannot be a file name.
    #[error("{place}: this id {reason}; {NAME_RULE}")]
    BadId {
        /// The table or plot.
        place: String,
        /// Reason why the id is not a valid name.
        reason: NameError,
    },
    /// A plot cannot look as its style says.
    #[error("{place}: `style.{key}`: {reason}")]
    Style {
        /// The plot.
        place: String,
        /// The key inside the style.
        key: String,
        /// What is wrong, and what to write.
        reason: String,
    },
    /// A column refers to the paper, but the table does not link its rows to rows of the paper.
    #[error("{place}: a column has a `reference`, but there is no `[table.paper]`; add it or remove the reference")]
    NoPaper {
        /// The table.
        place: String,
    },
    /// Each row of the paper's table must be either matched or excused.
    #[error(
        "{place}: row `{row}` of {file} {why}; match it in [table.paper.rows], or write a reason under \
         [table.paper.excused]: \"{row}\" = \"…\""
    )]
    UnmatchedPaperRow {
        /// The table.
        place: String,
        /// Id of the row.
        row: String,
        /// The file of the paper's table.
        file: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A claim cannot be judged as it is declared.
    #[error("{place}: {what}")]
    Claim {
        /// The claim.
        place: String,
        /// What is wrong, and what to write.
        what: &'static str,
    },
    /// The paper's table, or this table, does not have this row or column.
    #[error("{place}: there is no {what} `{name}`; known: {known}")]
    UnknownReference {
        /// The table.
        place: String,
        /// Kind of the missing thing.
        what: &'static str,
        /// Name in the declaration.
        name: String,
        /// The existing names.
        known: String,
    },
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}
