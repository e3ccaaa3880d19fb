//! Groups of runs that differ only in the seed: the rows of a table, or the dots and bars of a plot.
//!
//! This module knows the plan. It does not know what runs measured.

use std::collections::BTreeMap;

use sweep_protocol::{AxisRecord, Coordinates, PlanRecord, PlannedRunRecord};

/// Runs with the same labels on the chosen axes.
#[derive(Clone, Debug)]
pub(crate) struct Group<'a> {
    /// One label per chosen axis; `None` if these runs do not have the axis.
    pub(crate) labels: Vec<Option<&'a str>>,
    /// The runs, in plan order. Empty if the coordinates are excluded.
    pub(crate) runs: Vec<&'a PlannedRunRecord>,
    /// The reason, if the coordinates are excluded.
    pub(crate) excluded: Option<&'a str>,
}

/// Which runs are grouped, and by which axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grouping<'a> {
    /// Axes that define the groups.
    pub(crate) axes: &'a [String],
    /// Labels that a run must have.
    pub(crate) only: &'a BTreeMap<String, String>,
}

impl Grouping<'_> {
    /// Returns the groups that are planned or excluded, in the order of the axes' labels.
    pub(crate) fn groups<'a>(&self, plan: &'a PlanRecord) -> Vec<Group<'a>> {
        let mut groups: BTreeMap<Vec<usize>, Group<'a>> = BTreeMap::new();
        for run in plan.runs.iter().filter(|run| self.keeps(&run.coordinates)) {
            let labels = self.labels(&run.coordinates);
            let group = groups.entry(self.position(plan, &labels));
            group.or_insert(Group { labels, runs: Vec::new(), excluded: None }).runs.push(run);
        }
        for exclusion in plan.exclusions.iter().filter(|exclusion| self.keeps(&exclusion.coordinates)) {
            let labels = self.labels(&exclusion.coordinates);
            if labels.iter().all(Option::is_some) {
                let excluded = Some(exclusion.reason.as_str());
                let group = groups.entry(self.position(plan, &labels));
                group.or_insert(Group { labels, runs: Vec::new(), excluded });
            }
        }
        groups.into_values().collect()
    }

    fn keeps(&self, coordinates: &Coordinates) -> bool {
        self.only.iter().all(|(axis, label)| coordinates.get(axis) == Some(label))
    }

    fn labels<'a>(&self, coordinates: &'a Coordinates) -> Vec<Option<&'a str>> {
        self.axes.iter().map(|axis| coordinates.get(axis)).collect()
    }

    fn position(&self, plan: &PlanRecord, labels: &[Option<&str>]) -> Vec<usize> {
        let place = |(axis, label): (&String, &Option<&str>)| match (axis_of(plan, axis), label) {
            (Some(axis), Some(label)) => axis.labels.iter().position(|known| known == label).unwrap_or(usize::MAX - 1),
            _ => usize::MAX,
        };
        self.axes.iter().zip(labels).map(place).collect()
    }
}

impl Group<'_> {
    /// Joins its labels into one name: `2/full`.
    pub(crate) fn name(&self) -> String {
        if self.labels.is_empty() {
            return "all runs".to_owned();
        }
        self.shown_labels().join("/")
    }

    /// Returns its labels as tables show them, with a dash for an axis that its runs do not have.
    pub(crate) fn shown_labels(&self) -> Vec<String> {
        self.labels.iter().map(|label| label.unwrap_or("–").to_owned()).collect()
    }

    /// Finds an axis on which its runs differ. Averaging such runs would hide a difference.
    pub(crate) fn mixed_axis(&self) -> Option<&str> {
        let (first, rest) = self.runs.split_first()?;
        if rest.iter().all(|run| run.coordinates == first.coordinates) {
            return None;
        }
        let differs = |axis: &str| rest.iter().any(|run| run.coordinates.get(axis) != first.coordinates.get(axis));
        let axes = self.runs.iter().flat_map(|run| &run.coordinates.0).map(|(axis, _)| axis.as_str());
        axes.into_iter().find(|axis| differs(axis))
    }

    /// Returns the coordinates of its runs.
    pub(crate) fn coordinates(&self) -> Option<&Coordinates> {
        self.runs.first().map(|run| &run.coordinates)
    }
}

/// Returns the axis with this name.
pub(crate) fn axis_of<'a>(plan: &'a PlanRecord, name: &str) -> Option<&'a AxisRecord> {
    plan.axes.iter().find(|axis| axis.name == name)
}

/// Returns `coordinates` with the baseline's labels on the axes that the baseline names.
pub(crate) fn at_baseline(plan: &PlanRecord, coordinates: &Coordinates) -> Coordinates {
    let label = |axis: &str, own: &str| plan.baseline.get(axis).unwrap_or(own).to_owned();
    Coordinates(coordinates.0.iter().map(|(axis, own)| (axis.clone(), label(axis, own))).collect())
}
