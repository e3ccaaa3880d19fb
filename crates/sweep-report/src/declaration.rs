//! The declaration of a report in `reports/<experiment>.toml`: tables with their columns, and plots.
//!
//! This module knows the form of a declaration. `fit.rs` checks that it fits an experiment; other modules compute what
//! it asks for.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sweep_protocol::{Form, Metric, PlanRecord, SeriesKey, Split};

use crate::claims::{ClaimDeclaration, PaperScale};
use crate::style::PlotStyle;
use crate::{ReportError, read_toml};

/// A report: the tables and plots that show the results of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Heading of the report.
    pub title: String,
    /// Text under the heading, in Markdown. Default: none.
    #[serde(default)]
    pub note: Option<String>,
    /// Tables of the report, in this order. Default: none.
    #[serde(default, rename = "table")]
    pub tables: Vec<TableDeclaration>,
    /// Plots of the report, in this order. Default: none.
    #[serde(default, rename = "plot")]
    pub plots: Vec<PlotDeclaration>,
    /// Effects of axes over a complete grid, in this order. Default: none.
    #[serde(default)]
    pub effects: Vec<EffectsDeclaration>,
    /// Fronts of cost and value, in this order. Default: none.
    #[serde(default, rename = "front")]
    pub fronts: Vec<FrontDeclaration>,
    /// What rows classify right and wrong, class by class, in this order. Default: none.
    #[serde(default)]
    pub classes: Vec<ClassesDeclaration>,
    /// The scale of the paper that claims are compared with. Default: none.
    #[serde(default)]
    pub paper: Option<PaperScale>,
    /// Claims about the results, each with the rule that decides it. Default: none.
    #[serde(default, rename = "claim")]
    pub claims: Vec<ClaimDeclaration>,
}

/// A table. It has one row for each planned combination of labels on the axes in `rows`; values are means over seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableDeclaration {
    /// Name of the table. Its files are `<id>.csv` and `<id>.tex`. Each id of a report must be unique.
    pub id: String,
    /// Heading of the table. Default: the id, with spaces instead of `_`.
    #[serde(default)]
    pub title: Option<String>,
    /// Axes that make the rows: one row for each combination of their labels.
    pub rows: Vec<String>,
    /// Filter: only runs with these labels are shown, as in `where = { axis = "label" }`. Default: all runs.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// Columns of the table, in this order.
    #[serde(rename = "column")]
    pub columns: Vec<ColumnDeclaration>,
    /// Link to a table of the paper. Columns with a `reference` show its numbers next to the measured ones. Default:
    /// none.
    #[serde(default)]
    pub paper: Option<PaperLink>,
}

/// A column: one measured quantity, optionally with the difference to the baseline and with the paper's number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnDeclaration {
    /// The metric. Fractions are shown in %, parameters and FLOPs in millions, throughput in images/s, times in
    /// seconds.
    pub metric: Metric,
    /// Images that the metric is measured on. Required for the loss, all accuracies, mIoU, `max_abs_diff`,
    /// `largest_logit` and `top1_agreement`. A declared metric has the split with which its command reports it. Leave
    /// it out for all other metrics.
    #[serde(default)]
    pub split: Option<Split>,
    /// Form of the model. Required, except for `max_abs_diff`, `largest_logit` and `top1_agreement`: these compare both
    /// forms, so leave it out. The deployed form is measured on test images only. Runs of a command have a split and a
    /// form only if the command says so.
    #[serde(default)]
    pub form: Option<Form>,
    /// How the values of several epochs become one number. Default: `last`.
    #[serde(default)]
    pub epoch: EpochRule,
    /// Heading of the column. Default: made from metric, split and form.
    #[serde(default)]
    pub label: Option<String>,
    /// Shorter heading for the LaTeX table, whose page is narrow. Default: the heading.
    #[serde(default)]
    pub short: Option<String>,
    /// Whether the LaTeX table has this column. Default: true.
    #[serde(default = "is_true")]
    pub latex: bool,
    /// Whether the column also shows the difference to the baseline row, paired by seed. For throughput, it is the
    /// ratio of the same rounds. It needs a `baseline` in the experiment. Default: false.
    #[serde(default)]
    pub delta: bool,
    /// Largest difference to the baseline that counts as none, in the metric's base unit: 0.005 is half a point of
    /// accuracy. The report then tests whether each row is equivalent to the baseline (TOST). It needs `delta`.
    /// Default: no test.
    #[serde(default)]
    pub margin: Option<f64>,
    /// Column of the paper's table whose number is also shown. It needs `[table.paper]`. Default: none.
    #[serde(default)]
    pub reference: Option<String>,
}

/// Marginal means, main effects and two-way interactions of axes. Every combination of their labels needs a run for
/// each seed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EffectsDeclaration {
    /// Name of its files, `<id>.csv` and `<id>.tex`. Each id of a report must be unique.
    pub id: String,
    /// Heading. Default: the id, with spaces instead of `_`.
    #[serde(default)]
    pub title: Option<String>,
    /// The axes. Each label is compared with the baseline's label on its axis, or with the first one.
    pub axes: Vec<String>,
    /// Filter: only runs with these labels count, as in `where = { axis = "label" }`. Default: all runs.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// The quantity whose means are compared.
    pub quantity: Quantity,
}

/// The rows that no other row dominates: a row is dominated if another one costs no more and is no worse, and is better
/// in at least one of the two.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrontDeclaration {
    /// Name of its files, `<id>.csv` and `<id>.tex`. Each id of a report must be unique.
    pub id: String,
    /// Heading. Default: the id, with spaces instead of `_`.
    #[serde(default)]
    pub title: Option<String>,
    /// Axes that make the rows: one row for each combination of their labels.
    pub rows: Vec<String>,
    /// Filter: only runs with these labels are shown, as in `where = { axis = "label" }`. Default: all runs.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// What a row costs, for example its parameters. Its mean counts as exact.
    pub cost: Quantity,
    /// What a row gives, for example its accuracy.
    pub value: Quantity,
}

/// What rows classify right and wrong, class by class: balanced accuracy, macro-F1, the recall of each class, and
/// confusion matrices. They come from the predictions that runs store.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassesDeclaration {
    /// Name of its files, `<id>.csv`, `<id>.tex` and pictures. Each id of a report must be unique.
    pub id: String,
    /// Heading. Default: the id, with spaces instead of `_`.
    #[serde(default)]
    pub title: Option<String>,
    /// Axes that make the rows: one row for each combination of their labels.
    pub rows: Vec<String>,
    /// Filter: only runs with these labels are shown, as in `where = { axis = "label" }`. Default: all runs.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// Images that were classified. Default: `test`.
    #[serde(default = "test_images")]
    pub split: Split,
    /// Form of the model. Runs of a command have a form only if the command says so.
    #[serde(default)]
    pub form: Option<Form>,
}

fn test_images() -> Split {
    Split::Test
}

/// Link to a table of the paper, with a mapping from rows of the report to rows of the paper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaperLink {
    /// TOML file with the paper's numbers. The path is relative to the folder of reports, as in `paper/table1.toml`.
    pub file: String,
    /// Maps a row of this table to the id of a row in the paper's table. The key is the row's labels, joined by `/`.
    pub rows: BTreeMap<String, String>,
    /// Rows of the paper's table that `rows` does not match, each with the reason: `excused = { "T1.A" = "reason" }`.
    /// Every row is either matched or excused. Default: none.
    #[serde(default)]
    pub excused: BTreeMap<String, String>,
}

/// How the values of several epochs become one number. No rule picks the best epoch: that would be a choice based on
/// test images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EpochRule {
    /// The value of the last epoch.
    #[default]
    Last,
    /// The sum over all epochs; useful for times.
    Sum,
}

/// A measured quantity: metric, split, form and epoch rule. Together they give one number per run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// The metric. Fractions are shown in %, parameters and FLOPs in millions, throughput in images/s, times in
    /// seconds.
    pub metric: Metric,
    /// Images that the metric is measured on. Required for the loss, all accuracies, mIoU, `max_abs_diff`,
    /// `largest_logit` and `top1_agreement`. A declared metric has the split with which its command reports it. Leave
    /// it out for all other metrics.
    #[serde(default)]
    pub split: Option<Split>,
    /// Form of the model. Required, except for `max_abs_diff`, `largest_logit` and `top1_agreement`: these compare both
    /// forms, so leave it out. The deployed form is measured on test images only. Runs of a command have a split and a
    /// form only if the command says so.
    #[serde(default)]
    pub form: Option<Form>,
    /// How the values of several epochs become one number. Default: `last`.
    #[serde(default)]
    pub epoch: EpochRule,
}

/// A plot. The key `kind` selects its type.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PlotDeclaration {
    /// A line plot: a quantity over the labels of an axis.
    Line(AxisPlot),
    /// A bar plot: a quantity over the labels of an axis. Bars start at zero.
    Bars(AxisPlot),
    /// A scatter plot: one quantity against another, with a labelled dot for each combination of labels.
    Scatter(ScatterPlot),
    /// Learning curves: a quantity over epochs.
    Curves(CurvesPlot),
}

/// A line or bar plot: a quantity over the labels of an axis.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AxisPlot {
    /// Name of the plot. Its files are `<id>.svg`, `<id>.png` and `<id>.pdf`. Each id of a report must be unique.
    pub id: String,
    /// Heading of the plot. Default: made from the quantity.
    #[serde(default)]
    pub title: Option<String>,
    /// Axis of the experiment whose labels are shown horizontally.
    pub axis: String,
    /// Axes that make the series: one series for each combination of their labels. Default: none, so one series.
    #[serde(default)]
    pub series: Vec<String>,
    /// Filter: only runs with these labels are shown, as in `where = { axis = "label" }`. Default: all runs.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// Quantity on the vertical axis.
    pub y: Quantity,
    /// Size, letters, limits and spacing. Default: as shown below.
    #[serde(default)]
    pub style: PlotStyle,
}

/// A scatter plot: one quantity against another.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScatterPlot {
    /// Name of the plot. Its files are `<id>.svg`, `<id>.png` and `<id>.pdf`. Each id of a report must be unique.
    pub id: String,
    /// Heading of the plot. Default: made from the quantities.
    #[serde(default)]
    pub title: Option<String>,
    /// Axes that make the dots: one labelled dot for each combination of their labels.
    pub label: Vec<String>,
    /// Filter: only runs with these labels are shown, as in `where = { axis = "label" }`. Default: all runs.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// Quantity on the horizontal axis.
    pub x: Quantity,
    /// Quantity on the vertical axis.
    pub y: Quantity,
    /// Size, letters, limits and spacing. Default: as shown below.
    #[serde(default)]
    pub style: PlotStyle,
}

/// Learning curves: a quantity over epochs.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CurvesPlot {
    /// Name of the plot. Its files are `<id>.svg`, `<id>.png` and `<id>.pdf`. Each id of a report must be unique.
    pub id: String,
    /// Heading of the plot. Default: made from the quantity.
    #[serde(default)]
    pub title: Option<String>,
    /// Axes that make the curves: one curve for each combination of their labels.
    pub series: Vec<String>,
    /// Filter: only runs with these labels are shown, as in `where = { axis = "label" }`. Default: all runs.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// Quantity on the vertical axis. A curve of Validation shows training images if no run has Validation images.
    pub y: Quantity,
    /// Size, letters, limits and spacing. Default: as shown below.
    #[serde(default)]
    pub style: PlotStyle,
}

fn is_true() -> bool {
    true
}

impl Declaration {
    /// Reads a declaration.
    ///
    /// # Errors
    /// When the file cannot be read, does not have the form of a declaration, or contains text that cannot be shown.
    pub fn load(path: &Path) -> Result<Self, ReportError> {
        read_toml::read(path)
    }

    /// Gives declared metrics the unit and the direction that the plan declares.
    #[must_use]
    pub fn with_metrics_of(mut self, plan: &PlanRecord) -> Self {
        let declare = |metric: &mut Metric| *metric = plan.metric(*metric).unwrap_or(*metric);
        let columns = self.tables.iter_mut().flat_map(|table| &mut table.columns);
        columns.for_each(|column| declare(&mut column.metric));
        self.effects.iter_mut().for_each(|effects| declare(&mut effects.quantity.metric));
        for front in &mut self.fronts {
            declare(&mut front.cost.metric);
            declare(&mut front.value.metric);
        }
        for plot in &mut self.plots {
            match plot {
                PlotDeclaration::Line(AxisPlot { y, .. })
                | PlotDeclaration::Bars(AxisPlot { y, .. })
                | PlotDeclaration::Curves(CurvesPlot { y, .. }) => declare(&mut y.metric),
                PlotDeclaration::Scatter(ScatterPlot { x, y, .. }) => {
                    declare(&mut x.metric);
                    declare(&mut y.metric);
                }
            }
        }
        self.claims.iter_mut().filter_map(|claim| claim.rule.metric_mut()).for_each(declare);
        self
    }
}

impl Quantity {
    /// The series of values that it is made from.
    pub(crate) fn series(&self) -> SeriesKey {
        (self.metric, self.split, self.form)
    }

    /// A quantity of the training form that is not measured on images.
    pub(crate) fn of_training(metric: Metric) -> Self {
        Self { metric, split: None, form: Some(Form::Training), epoch: EpochRule::Last }
    }
}

impl EffectsDeclaration {
    /// Returns a table of the combinations that its means are made from.
    pub(crate) fn as_table(&self) -> TableDeclaration {
        TableDeclaration {
            id: self.id.clone(),
            title: self.title.clone(),
            rows: self.axes.clone(),
            only: self.only.clone(),
            columns: vec![ColumnDeclaration::plain(self.quantity)],
            paper: None,
        }
    }
}

impl FrontDeclaration {
    /// Returns a table of its costs and values.
    pub(crate) fn as_table(&self) -> TableDeclaration {
        TableDeclaration {
            id: self.id.clone(),
            title: self.title.clone(),
            rows: self.rows.clone(),
            only: self.only.clone(),
            columns: [self.cost, self.value].map(ColumnDeclaration::plain).into(),
            paper: None,
        }
    }
}

impl ColumnDeclaration {
    /// Returns a column that shows a quantity and nothing else.
    pub(crate) fn plain(quantity: Quantity) -> Self {
        let Quantity { metric, split, form, epoch } = quantity;
        Self {
            metric,
            split,
            form,
            epoch,
            label: None,
            short: None,
            latex: true,
            delta: false,
            margin: None,
            reference: None,
        }
    }

    /// Returns the quantity that the column shows.
    pub fn quantity(&self) -> Quantity {
        Quantity { metric: self.metric, split: self.split, form: self.form, epoch: self.epoch }
    }
}

impl PlotDeclaration {
    /// Returns how it looks.
    pub fn style(&self) -> &PlotStyle {
        match self {
            Self::Line(plot) | Self::Bars(plot) => &plot.style,
            Self::Scatter(plot) => &plot.style,
            Self::Curves(plot) => &plot.style,
        }
    }

    /// Returns the name of its files, without extension.
    pub fn id(&self) -> &str {
        match self {
            Self::Line(plot) | Self::Bars(plot) => &plot.id,
            Self::Scatter(plot) => &plot.id,
            Self::Curves(plot) => &plot.id,
        }
    }
}

/// Returns the JSON Schema (draft 7) of a declaration, for editors.
pub fn report_schema() -> Schema {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Declaration>();
    let definitions = schema.get_mut("definitions");
    let words = definitions.and_then(|definitions| definitions.get_mut("Metric")?.get_mut("oneOf")?.as_array_mut());
    if let Some(words) = words {
        let known: Vec<&str> = words.iter().filter_map(|word| word["const"].as_str()).collect();
        let meaning = "Any other name: a metric that the base file declares.";
        let declared = json!({ "type": "string", "not": { "enum": known }, "description": meaning });
        words.push(declared);
    }
    schema
}
