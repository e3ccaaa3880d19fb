//! What a report's author declares in `reports/<experiment>.toml`: tables, their columns, and plots.
//!
//! Knows the form of a declaration, not whether an experiment can answer it (`fit.rs`) or how it is computed.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use sweep_protocol::{Form, Metric, Split};

use crate::{ReportError, read_toml, schema};

/// A report: what is shown of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Heading of the report.
    pub title: String,
    /// A paragraph under the heading.
    #[serde(default)]
    pub note: Option<String>,
    /// Tables, in order.
    #[serde(default, rename = "table")]
    pub tables: Vec<TableDeclaration>,
    /// Plots, in order.
    #[serde(default, rename = "plot")]
    pub plots: Vec<PlotDeclaration>,
}

/// A table: one row for each planned combination of labels on the axes `rows`, averaged over seeds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableDeclaration {
    /// Stem of its files.
    pub id: String,
    /// Heading; the id when absent.
    #[serde(default)]
    pub title: Option<String>,
    /// Axes whose labels make a row.
    pub rows: Vec<String>,
    /// Only runs with these labels (`{ axis = "label" }`).
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// Columns, in order.
    #[serde(rename = "column")]
    pub columns: Vec<ColumnDeclaration>,
    /// Which rows of a printed table stand beside which of these.
    #[serde(default)]
    pub paper: Option<PaperLink>,
}

/// A column: one measured quantity, and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnDeclaration {
    /// What was measured.
    #[schemars(schema_with = "schema::metric")]
    pub metric: Metric,
    /// On which images; absent for what needs none.
    #[serde(default)]
    #[schemars(schema_with = "schema::split")]
    pub split: Option<Split>,
    /// Of which form of the model; absent for what both share.
    #[serde(default)]
    #[schemars(schema_with = "schema::form")]
    pub form: Option<Form>,
    /// How the values of several epochs become one.
    #[serde(default)]
    pub epoch: EpochRule,
    /// Heading; made from metric, split and form when absent.
    #[serde(default)]
    pub label: Option<String>,
    /// Whether the difference to the baseline row is shown too.
    #[serde(default)]
    pub delta: bool,
    /// Column of the paper's table whose number is shown too.
    #[serde(default)]
    pub reference: Option<String>,
}

/// A table of the paper, and which of its rows belongs to which of ours.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaperLink {
    /// The file, seen from the folder of reports.
    pub file: String,
    /// Our row's label (labels joined by `/`) to the id of the paper's row.
    pub rows: BTreeMap<String, String>,
}

/// How the values of several epochs become one. No rule picks the best epoch: that would choose by the test images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EpochRule {
    /// The last epoch's value.
    #[default]
    Last,
    /// All epochs' values added up (times).
    Sum,
}

/// A metric with the split, form and epoch rule that make it one number of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// What was measured.
    #[schemars(schema_with = "schema::metric")]
    pub metric: Metric,
    /// On which images; absent for what needs none.
    #[serde(default)]
    #[schemars(schema_with = "schema::split")]
    pub split: Option<Split>,
    /// Of which form of the model; absent for what both share.
    #[serde(default)]
    #[schemars(schema_with = "schema::form")]
    pub form: Option<Form>,
    /// How the values of several epochs become one.
    #[serde(default)]
    pub epoch: EpochRule,
}

/// A plot, by kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PlotDeclaration {
    /// A quantity over the points of an axis, joined by a line.
    Line(AxisPlot),
    /// A quantity over the points of an axis, as bars from zero.
    Bars(AxisPlot),
    /// One quantity against another, a labelled dot for each combination.
    Scatter(ScatterPlot),
    /// A quantity over epochs.
    Curves(CurvesPlot),
}

/// A quantity over the points of an axis.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AxisPlot {
    /// Stem of its files.
    pub id: String,
    /// Heading; made from the quantity when absent.
    #[serde(default)]
    pub title: Option<String>,
    /// The horizontal axis.
    pub axis: String,
    /// Axes whose labels make one series each.
    #[serde(default)]
    pub series: Vec<String>,
    /// Only runs with these labels.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// The vertical axis.
    pub y: Quantity,
}

/// One quantity against another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScatterPlot {
    /// Stem of its files.
    pub id: String,
    /// Heading; made from the quantities when absent.
    #[serde(default)]
    pub title: Option<String>,
    /// Axes whose labels make one dot each.
    pub label: Vec<String>,
    /// Only runs with these labels.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// The horizontal axis.
    pub x: Quantity,
    /// The vertical axis.
    pub y: Quantity,
}

/// A quantity over epochs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CurvesPlot {
    /// Stem of its files.
    pub id: String,
    /// Heading; made from the quantity when absent.
    #[serde(default)]
    pub title: Option<String>,
    /// Axes whose labels make one series each.
    pub series: Vec<String>,
    /// Only runs with these labels.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// The vertical axis. A curve of Validation shows training images under profiles that set none aside.
    pub y: Quantity,
}

impl Declaration {
    /// Reads a declaration.
    ///
    /// # Errors
    /// When the file cannot be read, does not have the form of a declaration, or has a text that cannot be shown.
    pub fn load(path: &Path) -> Result<Self, ReportError> {
        read_toml::read(path)
    }
}

impl ColumnDeclaration {
    /// What the column shows.
    pub fn quantity(&self) -> Quantity {
        Quantity { metric: self.metric, split: self.split, form: self.form, epoch: self.epoch }
    }
}

impl PlotDeclaration {
    /// Stem of its files.
    pub fn id(&self) -> &str {
        match self {
            Self::Line(plot) | Self::Bars(plot) => &plot.id,
            Self::Scatter(plot) => &plot.id,
            Self::Curves(plot) => &plot.id,
        }
    }
}

/// The JSON Schema (draft 07) of a declaration, for editors.
pub fn report_schema() -> Schema {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<Declaration>()
}
