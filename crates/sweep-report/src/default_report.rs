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
use crate::style::PlotStyle;

/// Maximum number of curves in one picture that look different.
const MOST_SERIES: usize = 14;

impl Declaration {
    /// Creates the report of an experiment that has no declaration.
    pub fn default_for(rows: &ExperimentRows) -> Self {
        let plan = &rows.plan;
        let rows = &one_of_each_series(rows);
        let axes: Vec<String> = plan.axes.iter().map(|axis| axis.name.clone()).collect();
        let declared: Vec<Quantity> =
            plan.metrics.iter().filter_map(|record| declared(rows, record.metric().ok()?)).collect();
        let judged = judged_by(rows, &declared);
        let main = judged[0];
        let declared = declared.into_iter().filter(|quantity| !judged.contains(quantity));
        let flops = deployed(Metric::Flops, None);
        // Choices are made on Validation. Only profiles that set images aside have it.
        let on_validation =
            Quantity { split: Some(Split::Validation), form: form_of_curves(rows, main.metric), ..main };
        let validation = (has(rows, &on_validation) && !judged.contains(&on_validation)).then_some(on_validation);
        let costs =
            [Metric::Params, Metric::Flops, Metric::Throughput].into_iter().filter_map(|metric| cost(rows, metric));
        let table = TableDeclaration {
            id: "results".to_owned(),
            title: Some("Results".to_owned()),
            rows: axes.clone(),
            only: BTreeMap::new(),
            columns: judged
                .iter()
                .copied()
                .chain(validation)
                .chain(declared)
                .chain(costs)
                .map(|of| column(of, plan))
                .collect(),
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
            y: Quantity {
                split: Some(curve_split(rows, main.metric)),
                form: form_of_curves(rows, main.metric),
                ..main
            },
            style: PlotStyle::default(),
        };
        let scatter = ScatterPlot {
            id: "accuracy_against_flops".to_owned(),
            title: None,
            label: axes,
            only: BTreeMap::new(),
            x: flops,
            y: main,
            style: PlotStyle::default(),
        };
        // A trainer may measure no FLOPs, and no curves.
        let nothing_yet = rows.measurements.is_empty() && !plan.commands;
        let scatter = (nothing_yet || has(rows, &flops)).then_some(PlotDeclaration::Scatter(scatter));
        let curves = (nothing_yet || has(rows, &curves.y)).then_some(PlotDeclaration::Curves(curves));
        Self {
            title: plan.experiment.replace('_', " "),
            note: None,
            tables: vec![table],
            plots: curves.into_iter().chain(scatter).collect(),
            paper: None,
            effects: Vec::new(),
            fronts: Vec::new(),
            classes: Vec::new(),
            claims: Vec::new(),
        }
    }
}

/// Returns the rows with one measurement of each series. What was measured is asked for often, and there may be
/// millions of values.
fn one_of_each_series(rows: &ExperimentRows) -> ExperimentRows {
    let mut seen = BTreeSet::new();
    let first = rows.measurements.iter().filter(|row| seen.insert(row.measurement.series()));
    ExperimentRows { measurements: first.copied().collect(), ..ExperimentRows::of_plan(rows.plan.clone()) }
}

/// Returns the quality metrics (unit: fraction) that were measured on test images: those of the deployed form, or those
/// of any form if a trainer has no deployed form. Returns accuracy if nothing has been measured yet.
fn judged_by(rows: &ExperimentRows, declared: &[Quantity]) -> Vec<Quantity> {
    let on_test = rows.measurements.iter().map(|row| &row.measurement).filter(|m| m.split == Some(Split::Test));
    let metric = |m: &Measurement| rows.plan.metric(m.metric).filter(|metric| metric.unit() == "fraction");
    let of_form = |m: &Measurement| Some((metric(m)?, m.form));
    let found: BTreeSet<(Metric, Option<Form>)> = on_test.filter_map(of_form).collect();
    let has_deployed = found.iter().any(|(_, form)| *form == Some(Form::Deployed));
    let quantity = |(metric, form): (Metric, Option<Form>)| Quantity { form, ..deployed(metric, Some(Split::Test)) };
    let of_deployed = |(_, form): &(Metric, Option<Form>)| !has_deployed || *form == Some(Form::Deployed);
    let mut found: Vec<Quantity> = found.into_iter().filter(of_deployed).map(quantity).collect();
    // For masks, mIoU comes first: their accuracy is an accuracy of single pixels.
    found.sort_by_key(|quantity| quantity.metric != Metric::MeanIou);
    match (found.is_empty(), declared.is_empty()) {
        (false, _) => found,
        (true, false) => declared.to_vec(),
        (true, true) => vec![deployed(Metric::Accuracy, Some(Split::Test))],
    }
}

/// Returns the quantity of a cost: of the deployed form, or of another form that was measured. `None` if only other
/// costs were measured.
fn cost(rows: &ExperimentRows, metric: Metric) -> Option<Quantity> {
    let of_deployed = deployed(metric, None);
    let of_training = Quantity { form: Some(Form::Training), ..of_deployed };
    let measured = [of_deployed, of_training].into_iter().find(|quantity| has(rows, quantity));
    measured.or_else(|| (rows.measurements.is_empty() && !rows.plan.commands).then_some(of_deployed))
}

/// Returns the quantity of a declared metric, as it was measured: on test images if possible.
fn declared(rows: &ExperimentRows, metric: Metric) -> Option<Quantity> {
    let measured = rows.measurements.iter().map(|row| &row.measurement).filter(|m| m.metric == metric);
    let Some(best) = measured.max_by_key(|m| (m.split == Some(Split::Test), m.form == Some(Form::Deployed))) else {
        // Before the first run, its split and form are not known.
        let unknown = Quantity { form: None, ..deployed(metric, None) };
        return rows.measurements.is_empty().then_some(unknown);
    };
    Some(Quantity { split: best.split, form: best.form, ..deployed(metric, None) })
}

/// Returns the form of learning curves: the training form, or none if a trainer names no forms.
fn form_of_curves(rows: &ExperimentRows, metric: Metric) -> Option<Form> {
    let mut curves = rows.measurements.iter().map(|row| &row.measurement).filter(|m| m.metric == metric);
    let has_no_forms = curves.next().is_some_and(|m| m.form.is_none()) && curves.all(|m| m.form.is_none());
    (!has_no_forms).then_some(Form::Training)
}

/// Chooses the images for learning curves: validation images, else training images, else test images.
fn curve_split(rows: &ExperimentRows, metric: Metric) -> Split {
    let form = form_of_curves(rows, metric);
    let has = |split| has(rows, &Quantity { split: Some(split), form, ..deployed(metric, None) });
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

fn column(quantity: Quantity, plan: &PlanRecord) -> ColumnDeclaration {
    let is_judged = quantity.split == Some(Split::Test) || quantity.metric == Metric::Throughput;
    let delta = is_judged && !plan.baseline.0.is_empty();
    ColumnDeclaration { delta, ..ColumnDeclaration::plain(quantity) }
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
