//! The report of an experiment without a declaration: one table, learning curves, and accuracy against FLOPs.
//!
//! It is derived from plan and measurements. So it knows no axis by name, and shows the metrics that were measured for
//! the task.

use std::collections::{BTreeMap, BTreeSet};

use sweep_protocol::{ExperimentRows, Form, Measurement, Metric, PlanRecord, Split};

use crate::declaration::{
    ColumnDeclaration, CurvesPlot, Declaration, EpochRule, PlotDeclaration, Quantity, ScatterPlot, TableDeclaration,
};
use crate::group::Grouping;

/// Maximum number of curves in one picture that look different.
const MOST_SERIES: usize = 14;

impl Declaration {
    /// Creates the report of an experiment that has no declaration.
    pub fn default_for(rows: &ExperimentRows) -> Self {
        let plan = &rows.plan;
        let axes: Vec<String> = plan.axes.iter().map(|axis| axis.name.clone()).collect();
        let judged = judged_by(rows);
        let main = deployed(judged[0], Some(Split::Test));
        let flops = deployed(Metric::Flops, None);
        let quality = judged.iter().map(|metric| deployed(*metric, Some(Split::Test)));
        // Choices are made on Validation. Only profiles that set images aside have it.
        let on_validation = Quantity { split: Some(Split::Validation), form: Some(Form::Training), ..main };
        let validation = has(rows, &on_validation).then_some(on_validation);
        let costs = [deployed(Metric::Params, None), flops, deployed(Metric::Throughput, None)];
        let table = TableDeclaration {
            id: "results".to_owned(),
            title: Some("Results".to_owned()),
            rows: axes.clone(),
            only: BTreeMap::new(),
            columns: quality.chain(validation).chain(costs).map(column).collect(),
            paper: None,
        };
        let all = Grouping { axes: &axes, only: &BTreeMap::new() }.groups(plan);
        let (series, only) = match all.len() <= MOST_SERIES {
            true => (axes.clone(), BTreeMap::new()),
            false => (axes.first().cloned().into_iter().collect(), fixed_axes(plan)),
        };
        let curves = CurvesPlot {
            id: "learning_curves".to_owned(),
            title: None,
            series,
            only,
            y: Quantity { split: Some(curve_split(rows, main.metric)), form: Some(Form::Training), ..main },
        };
        let scatter = ScatterPlot {
            id: "accuracy_against_flops".to_owned(),
            title: None,
            label: axes,
            only: BTreeMap::new(),
            x: flops,
            y: main,
        };
        Self {
            title: plan.experiment.replace('_', " "),
            note: None,
            tables: vec![table],
            plots: vec![PlotDeclaration::Curves(curves), PlotDeclaration::Scatter(scatter)],
        }
    }
}

/// Returns the quality metrics (unit: fraction) that were measured on test images with the deployed form. Returns
/// accuracy if nothing has been measured yet.
fn judged_by(rows: &ExperimentRows) -> Vec<Metric> {
    let quality = rows.measurements.iter().map(|row| &row.measurement).filter(|m| {
        let is_on_test = m.split == Some(Split::Test) && m.form == Some(Form::Deployed);
        is_on_test && m.metric.unit() == "fraction"
    });
    let found: BTreeSet<Metric> = quality.map(|m| m.metric).collect();
    // For masks, mIoU comes first: their accuracy is an accuracy of single pixels.
    let is_main = |metric: &Metric| *metric == Metric::MeanIou;
    let mut found: Vec<Metric> = found.into_iter().collect();
    found.sort_by_key(|metric| !is_main(metric));
    if found.is_empty() { vec![Metric::Accuracy] } else { found }
}

/// Chooses the images for learning curves: validation images, else training images, else test images.
fn curve_split(rows: &ExperimentRows, metric: Metric) -> Split {
    let has = |split| has(rows, &Quantity { split: Some(split), form: Some(Form::Training), ..deployed(metric, None) });
    let first = [Split::Validation, Split::Train, Split::Test].into_iter().find(|split| has(*split));
    first.unwrap_or(Split::Validation)
}

/// Whether any run has measured a quantity.
fn has(rows: &ExperimentRows, quantity: &Quantity) -> bool {
    let is_it = |m: &Measurement| (m.metric, m.split, m.form) == (quantity.metric, quantity.split, quantity.form);
    rows.measurements.iter().any(|row| is_it(&row.measurement))
}

fn deployed(metric: Metric, split: Option<Split>) -> Quantity {
    Quantity { metric, split, form: Some(Form::Deployed), epoch: EpochRule::Last }
}

fn column(quantity: Quantity) -> ColumnDeclaration {
    let Quantity { metric, split, form, epoch } = quantity;
    let delta = split == Some(Split::Test);
    ColumnDeclaration { metric, split, form, epoch, label: None, delta, reference: None }
}

/// Fixes every axis except the first at the baseline's label, or at the first run's label. This leaves few enough
/// curves to distinguish.
fn fixed_axes(plan: &PlanRecord) -> BTreeMap<String, String> {
    let label = |axis: &str| {
        let first_run = || plan.runs.first().and_then(|run| run.coordinates.get(axis));
        plan.baseline.get(axis).or_else(first_run).map(str::to_owned)
    };
    plan.axes.iter().skip(1).filter_map(|axis| Some((axis.name.clone(), label(&axis.name)?))).collect()
}
