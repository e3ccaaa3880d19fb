//! A plan as it is written down before anything starts: what report, store and `rebuild` need of it.
//!
//! Knows coordinates and reasons, not how a file was expanded into them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::RunId;

/// Where a run sits: one label for each axis that it has, in the order of the experiment's axes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Coordinates(pub Vec<(String, String)>);

impl Coordinates {
    /// The label on `axis`, if the run has that axis.
    pub fn get(&self, axis: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == axis).map(|(_, label)| label.as_str())
    }
}

impl fmt::Display for Coordinates {
    /// `groups=2 partition=8`; nothing for a run without axes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (axis, label)) in self.0.iter().enumerate() {
            write!(f, "{}{axis}={label}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// An axis with its labels in declared order (labels of included rows last).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AxisRecord {
    /// Its name.
    pub name: String,
    /// Labels of its points.
    pub labels: Vec<String>,
}

/// A run of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedRunRecord {
    /// Who it is.
    pub run: RunId,
    /// Its seed.
    pub seed: u64,
    /// Where it sits.
    pub coordinates: Coordinates,
}

/// Coordinates that the experiment leaves out, with the reason its author gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExclusionRecord {
    /// What is left out.
    pub coordinates: Coordinates,
    /// Why.
    pub reason: String,
}

/// A plan, written to `results/experiments/<experiment>/<profile>/plan.json` before its first attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRecord {
    /// Name of the experiment: its file's stem.
    pub experiment: String,
    /// Name of the profile; `default` when none was asked for.
    pub profile: String,
    /// The question that the experiment asks.
    pub question: String,
    /// Axes in declared order.
    pub axes: Vec<AxisRecord>,
    /// Coordinates of the row that deltas go to; empty when the experiment names none.
    pub baseline: Coordinates,
    /// Every run once, in plan order.
    pub runs: Vec<PlannedRunRecord>,
    /// What is left out.
    pub exclusions: Vec<ExclusionRecord>,
    /// What all runs have in common and a reader must know to compare them with others: images, widths, batch, learning rate. Absent in
    /// plans of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<String>,
    /// The file that it was made from; absent in plans of older versions, and in published ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PlanSource>,
}

/// The experiment file that a plan was made from, so that another file of that name is told apart, and an edit is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSource {
    /// Its path, seen from the results folder: a project that is copied or moved as a whole stays consistent.
    pub file: String,
    /// BLAKE3 digest of the file and its base files.
    pub digest: String,
    /// When the plan was written: milliseconds since 1970, UTC.
    pub written_at_ms: u64,
}

impl PlanRecord {
    /// What a plan that was read from a file says twice, if anything: a run, or an axis of one.
    pub fn repetition(&self) -> Option<String> {
        let mut runs = BTreeSet::new();
        for planned in &self.runs {
            if !runs.insert(planned.run) {
                return Some(format!("run {} is planned twice", planned.run));
            }
            let mut axes = BTreeSet::new();
            if let Some((axis, _)) = planned.coordinates.0.iter().find(|(axis, _)| !axes.insert(axis)) {
                return Some(format!("run {} sits twice on axis `{axis}`", planned.run));
            }
        }
        None
    }
}
