//! What can go wrong between rows and renderings, each said with the file, table or axis concerned.

use std::io;
use std::path::PathBuf;

use sweep_protocol::{Metric, NAME_RULE, NameError, RunId, TextError};

/// A report could not be made, or its published rows not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The operating system refused.
    #[error("{path}: {doing} failed")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A declaration or a paper's table is no valid TOML of its kind; the source names line and column.
    #[error("{path}")]
    Toml {
        /// Which file.
        path: PathBuf,
        /// What and where.
        source: Box<toml::de::Error>,
    },
    /// A declaration or a paper's table has a text that cannot be shown.
    #[error("{path}, line {line}, column {column}: this text contains {source}; remove it")]
    Text {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Where the text starts, counted from 1.
        column: usize,
        /// Which character.
        source: TextError,
    },
    /// The declaration does not fit the experiment or the paper; all its faults at once.
    #[error("the report does not fit its experiment:{}", listed(faults))]
    Declaration {
        /// Every fault, in the order of the declaration.
        faults: Vec<Fault>,
    },
    /// A published JSON file is not what it should be, or cannot be made.
    #[error("{path}: no such rows")]
    Json {
        /// Which file.
        path: PathBuf,
        /// What and where.
        source: serde_json::Error,
    },
    /// A line of published measurements is not understood.
    #[error("{path}, line {line}: `run,metric,split,form,epoch,value` was expected")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Rows name a run that their plan lacks.
    #[error("run {0:?} is not in the plan that its rows come with")]
    UnplannedRun(RunId),
    /// A plot could not be drawn.
    #[error("plot `{plot}` could not be drawn")]
    Drawing {
        /// Its id.
        plot: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The data frame could not be built or written.
    #[error("the frame of all measurements could not be made")]
    Frame(#[from] polars::error::PolarsError),
}

/// One thing that a declaration asks for and its experiment, or the paper, does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No axis of that name.
    #[error("{place}: no axis `{axis}`; the experiment has {known}")]
    UnknownAxis {
        /// Table or plot.
        place: String,
        /// As declared.
        axis: String,
        /// What there is.
        known: String,
    },
    /// No point of that label.
    #[error("{place}: axis `{axis}` has no point `{label}`; it has {known}")]
    UnknownLabel {
        /// Table or plot.
        place: String,
        /// The axis.
        axis: String,
        /// As declared.
        label: String,
        /// What there is.
        known: String,
    },
    /// Runs that differ in more than the seed would be averaged.
    #[error("{place}: `{group}` joins runs that differ in `{axis}`; name that axis, or fix it with `where`")]
    Mixed {
        /// Table or plot.
        place: String,
        /// Labels of the row.
        group: String,
        /// The axis that varies within it.
        axis: String,
    },
    /// A quantity that no run ever measures, since a key is missing or too many.
    #[error("{place}: {metric} {why}")]
    Unmeasurable {
        /// Table or plot.
        place: String,
        /// The metric.
        metric: Metric,
        /// What is wrong, and what to write.
        why: &'static str,
    },
    /// Two tables or plots would be written to one file.
    #[error("{place}: this id is used twice")]
    RepeatedId {
        /// Table or plot.
        place: String,
    },
    /// An id cannot be a file name.
    #[error("{place}: this id {reason}; {NAME_RULE}")]
    BadId {
        /// Table or plot.
        place: String,
        /// Why.
        reason: NameError,
    },
    /// A column refers to the paper and the table does not say which of its rows belong to which.
    #[error("{place}: a column has a `reference`, the table has no `[table.paper]`")]
    NoPaper {
        /// The table.
        place: String,
    },
    /// A label, row or column that the paper's table (or ours) does not have.
    #[error("{place}: no {what} `{name}`; there is {known}")]
    UnknownReference {
        /// The table.
        place: String,
        /// Which kind of thing.
        what: &'static str,
        /// As declared.
        name: String,
        /// What there is.
        known: String,
    },
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}
