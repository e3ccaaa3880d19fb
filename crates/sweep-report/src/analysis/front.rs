//! Which rows are worth their cost: the Pareto front, with what chance leaves open.

use serde::{Deserialize, Serialize};
use sweep_protocol::{Better, Metric, PlanRecord};
use sweep_statistics::{Candidate, Estimate, Standing, pareto_front};

use super::{pruned, title};
use crate::declaration::{FrontDeclaration, Quantity};
use crate::group::{Group, Grouping};
use crate::measured::Measured;
use crate::samples::Sample;

/// Largest number of rows that are compared: each with each.
const MOST_ROWS: usize = 200;

/// Rows by cost and value, with where each stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Front {
    /// Name of its files, without extension.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Axes whose labels begin each row.
    pub axes: Vec<String>,
    /// What a row costs.
    pub cost: Quantity,
    /// What a row gives.
    pub value: Quantity,
    /// The rows, in the order of the axes' labels. A [`Standing`] names others by their place in this list.
    pub rows: Vec<FrontRow>,
    /// The reason, if no row has a standing.
    pub missing: Option<String>,
    /// Whether costs vary between the seeds of a row. Their order may be chance then, and no test covers it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub varying_cost: bool,
}

/// A row of a front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrontRow {
    /// Labels, one per axis.
    pub labels: Vec<String>,
    /// Number of runs with a value.
    pub n: usize,
    /// Number of planned runs.
    pub planned: usize,
    /// Mean cost; absent without values.
    pub cost: Option<f64>,
    /// Mean value; absent without values.
    pub value: Option<Estimate>,
    /// Where it stands; absent unless every planned run has cost and value.
    pub standing: Option<Standing>,
}

impl Front {
    pub(super) fn of(plan: &PlanRecord, measured: &Measured<'_>, declared: &FrontDeclaration) -> Self {
        let groups = Grouping { axes: &declared.rows, only: &declared.only }.groups(plan);
        let sample = |group, quantity| Sample::of(measured, group, quantity);
        let samples: Vec<[Sample; 2]> =
            groups.iter().map(|group| [sample(group, &declared.cost), sample(group, &declared.value)]).collect();
        let too_many = || format!("more than {MOST_ROWS} rows cannot be compared: choose fewer with `where`");
        let missing = pruned(measured).or_else(|| (groups.len() > MOST_ROWS).then(too_many));
        let standings = match missing {
            Some(_) => vec![None; groups.len()],
            None => pareto_front(&samples.iter().map(|sample| declared.candidate(sample)).collect::<Vec<_>>()),
        };
        let row = |((group, [cost, value]), standing): ((&Group<'_>, &[Sample; 2]), Option<Standing>)| FrontRow {
            n: value.values.len(),
            planned: value.planned,
            labels: group.shown_labels(),
            cost: cost.summary().map(|summary| summary.mean),
            value: value.estimate(),
            standing,
        };
        let rows: Vec<FrontRow> = groups.iter().zip(&samples).zip(standings).map(row).collect();
        let varying_cost = samples.iter().any(|[cost, _]| cost.summary().is_some_and(|cost| cost.sd > Some(0.0)));
        let has_none = rows.iter().all(|row| row.standing.is_none());
        let missing = missing.or_else(|| has_none.then(|| "no row is complete yet".to_owned()));
        Self {
            id: declared.id.clone(),
            title: title(declared.title.as_ref(), &declared.id),
            axes: declared.rows.clone(),
            cost: declared.cost,
            value: declared.value,
            rows,
            missing,
            varying_cost,
        }
    }
}

impl FrontDeclaration {
    /// Less cost and more value are better, except for metrics with another direction. Rows that lack a run are not
    /// compared: those that failed may have been the poor ones.
    fn candidate(&self, [cost, value]: &[Sample; 2]) -> Candidate {
        let sign = |metric: Metric, turned: Better| if metric.better() == turned { -1.0 } else { 1.0 };
        let (cost_sign, value_sign) = (sign(self.cost.metric, Better::Higher), sign(self.value.metric, Better::Lower));
        let is_complete = cost.is_complete() && value.is_complete() && value.estimate().is_some();
        let cost = cost.summary().filter(|_| is_complete);
        Candidate {
            cost: cost.map_or(f64::NAN, |summary| cost_sign * summary.mean),
            values: value.values.iter().map(|(&seed, &value)| (seed, value_sign * value)).collect(),
        }
    }
}
