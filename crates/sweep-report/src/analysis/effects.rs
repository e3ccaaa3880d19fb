//! What each axis of a grid does on average, and which axes depend on each other.

use serde::{Deserialize, Serialize};
use sweep_protocol::PlanRecord;
use sweep_statistics::{Cells, Factorial, Unbalanced};

use super::{Found, pruned, title};
use crate::declaration::{EffectsDeclaration, Quantity};
use crate::group::{Group, Grouping, axis_of};
use crate::measured::Measured;
use crate::samples::Sample;

/// Effects of axes on a quantity. The axes and points of `found` are places in `axes` and in the labels of an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// Name of its files, without extension.
    pub id: String,
    /// Heading.
    pub title: String,
    /// The quantity.
    pub quantity: Quantity,
    /// The axes.
    pub axes: Vec<GridAxis>,
    /// Marginal means, main effects and interactions.
    pub found: Found<Factorial>,
}

/// An axis of a grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GridAxis {
    /// Its name.
    pub name: String,
    /// Its labels. The first one is what the others are compared with: that of the baseline, if it names one.
    pub labels: Vec<String>,
}

impl Effects {
    pub(super) fn of(plan: &PlanRecord, measured: &Measured<'_>, declared: &EffectsDeclaration) -> Self {
        let groups = Grouping { axes: &declared.axes, only: &declared.only }.groups(plan);
        let axes: Vec<GridAxis> =
            declared.axes.iter().enumerate().map(|(i, name)| grid_axis(plan, name, i, &groups)).collect();
        let found = match pruned(measured) {
            Some(why) => Found::Missing(why),
            None => factorial(measured, &axes, &groups, &declared.quantity),
        };
        Self {
            id: declared.id.clone(),
            title: title(declared.title.as_ref(), &declared.id),
            quantity: declared.quantity,
            axes,
            found,
        }
    }
}

/// Returns an axis with the labels that occur in the groups.
fn grid_axis(plan: &PlanRecord, name: &str, place: usize, groups: &[Group<'_>]) -> GridAxis {
    let occurs = |label: &&String| groups.iter().any(|group| group.labels[place] == Some(label.as_str()));
    let known = axis_of(plan, name).into_iter().flat_map(|axis| &axis.labels);
    let mut labels: Vec<String> = known.filter(occurs).cloned().collect();
    let baseline = plan.baseline.get(name);
    // A stable sort moves the baseline's label to the front.
    labels.sort_by_key(|label| Some(label.as_str()) != baseline);
    GridAxis { name: name.to_owned(), labels }
}

fn factorial(
    measured: &Measured<'_>,
    axes: &[GridAxis],
    groups: &[Group<'_>],
    quantity: &Quantity,
) -> Found<Factorial> {
    let place = |group: &Group<'_>| -> Option<Vec<usize>> {
        let places = axes.iter().zip(&group.labels);
        places.map(|(axis, label)| axis.labels.iter().position(|known| Some(known.as_str()) == *label)).collect()
    };
    let cells: Option<Cells> = groups
        .iter()
        .filter(|group| !group.runs.is_empty())
        .map(|group| Some((place(group)?, Sample::of(measured, group, quantity).values)))
        .collect();
    let Some(cells) = cells else {
        return Found::Missing("some runs do not have all of these axes".to_owned());
    };
    let points: Vec<usize> = axes.iter().map(|axis| axis.labels.len()).collect();
    match Factorial::of(&points, &cells) {
        Ok(found) => Found::Computed(found),
        Err(reason) => Found::Missing(in_words(&reason, axes)),
    }
}

/// Says why a grid has no effects, with the names of its axes and labels.
fn in_words(reason: &Unbalanced, axes: &[GridAxis]) -> String {
    let cell = |points: &[usize]| {
        let named = axes.iter().zip(points).map(|(axis, &at)| format!("{}={}", axis.name, axis.labels[at]));
        named.collect::<Vec<_>>().join(" ")
    };
    match reason {
        Unbalanced::NoChoice { axis } => format!("{} has fewer than two labels here", axes[*axis].name),
        Unbalanced::MissingCell { points } => format!("the grid is not complete: {} has no runs", cell(points)),
        Unbalanced::MissingSeed { points, seed } => {
            format!("the grid is not complete: {} has no value for seed {seed}", cell(points))
        }
        Unbalanced::NotFinite { points, seed } => format!("{} has no finite value for seed {seed}", cell(points)),
        other => other.to_string(),
    }
}
