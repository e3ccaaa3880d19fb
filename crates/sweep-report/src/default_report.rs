//! The report of an experiment for which none is declared: one table, learning curves, accuracy against FLOPs.
//!
//! Derived from the plan alone, so it knows no axis by name.

use std::collections::BTreeMap;

use sweep_protocol::{Form, Metric, PlanRecord, Split};

use crate::declaration::{
    ColumnDeclaration, CurvesPlot, Declaration, EpochRule, PlotDeclaration, Quantity, ScatterPlot, TableDeclaration,
};

impl Declaration {
    /// The report of an experiment that declares none.
    pub fn default_for(plan: &PlanRecord) -> Self {
        let axes: Vec<String> = plan.axes.iter().map(|axis| axis.name.clone()).collect();
        let accuracy = deployed(Metric::Accuracy, Some(Split::Test));
        let flops = deployed(Metric::Flops, None);
        let columns = [accuracy, deployed(Metric::Params, None), flops, deployed(Metric::Throughput, None)];
        let table = TableDeclaration {
            id: "results".to_owned(),
            title: Some("Results".to_owned()),
            rows: axes.clone(),
            only: BTreeMap::new(),
            columns: columns.map(column).to_vec(),
            paper: None,
        };
        let curves = CurvesPlot {
            id: "learning_curves".to_owned(),
            title: None,
            series: axes.first().cloned().into_iter().collect(),
            only: fixed_axes(plan),
            y: Quantity { split: Some(Split::Validation), form: Some(Form::Training), ..accuracy },
        };
        let scatter = ScatterPlot {
            id: "accuracy_against_flops".to_owned(),
            title: None,
            label: axes,
            only: BTreeMap::new(),
            x: flops,
            y: accuracy,
        };
        Self {
            title: plan.experiment.replace('_', " "),
            note: None,
            tables: vec![table],
            plots: vec![PlotDeclaration::Curves(curves), PlotDeclaration::Scatter(scatter)],
        }
    }
}

fn deployed(metric: Metric, split: Option<Split>) -> Quantity {
    Quantity { metric, split, form: Some(Form::Deployed), epoch: EpochRule::Last }
}

fn column(quantity: Quantity) -> ColumnDeclaration {
    let Quantity { metric, split, form, epoch } = quantity;
    let delta = metric == Metric::Accuracy;
    ColumnDeclaration { metric, split, form, epoch, label: None, delta, reference: None }
}

/// Every axis but the first at its baseline's label, or else the first run's: few enough curves to be told apart.
fn fixed_axes(plan: &PlanRecord) -> BTreeMap<String, String> {
    let label = |axis: &str| {
        let first_run = || plan.runs.first().and_then(|run| run.coordinates.get(axis));
        plan.baseline.get(axis).or_else(first_run).map(str::to_owned)
    };
    plan.axes.iter().skip(1).filter_map(|axis| Some((axis.name.clone(), label(&axis.name)?))).collect()
}
