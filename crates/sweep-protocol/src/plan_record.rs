//! A plan in the form that is written to disk before any attempt starts. Report, store and `rebuild` read it.
//!
//! This module knows coordinates and reasons. It does not know how they were derived from an experiment file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Form, Metric, MetricRecord, NetworkId, RunId};

/// Position of a run: one label for each of its axes, in the order of the experiment's axes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Coordinates(pub Vec<(String, String)>);

impl Coordinates {
    /// Returns the label on `axis`, or `None` if the run does not have this axis.
    pub fn get(&self, axis: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == axis).map(|(_, label)| label.as_str())
    }
}

impl fmt::Display for Coordinates {
    /// Formats coordinates as `groups=2 partition=8`. The result is empty for a run without axes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (axis, label)) in self.0.iter().enumerate() {
            write!(f, "{}{axis}={label}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// An axis with its labels in declared order. Labels that only included rows use come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AxisRecord {
    /// Name of the axis.
    pub name: String,
    /// Labels of its points.
    pub labels: Vec<String>,
}

/// A run of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedRunRecord {
    /// Identity of the run.
    pub run: RunId,
    /// Seed of the run.
    pub seed: u64,
    /// Coordinates of the run.
    pub coordinates: Coordinates,
    /// Its network in each form, for throughput. Empty for runs of a command, and in plans of older versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<Form, NetworkId>,
    /// Predicted work of the whole training, in multiply-adds. Absent if it is not known, in plans of older versions
    /// and in published plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<u64>,
}

/// Coordinates that the experiment excludes, with the author's reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExclusionRecord {
    /// The excluded coordinates.
    pub coordinates: Coordinates,
    /// Reason for the exclusion.
    pub reason: String,
}

/// A plan. It is written to `results/experiments/<experiment>/<profile>/plan.json` before its first attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRecord {
    /// Name of the experiment: the stem of its file name.
    pub experiment: String,
    /// Name of the profile; `default` if the user chose none.
    pub profile: String,
    /// The question that the experiment asks.
    pub question: String,
    /// Axes in declared order.
    pub axes: Vec<AxisRecord>,
    /// Coordinates of the baseline row, which deltas refer to. Empty if the experiment names no baseline.
    pub baseline: Coordinates,
    /// All runs in plan order, each once.
    pub runs: Vec<PlannedRunRecord>,
    /// Excluded coordinates.
    pub exclusions: Vec<ExclusionRecord>,
    /// Metrics that the base file declares. Absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricRecord>,
    /// Whether commands train some of the runs. Their values have a split and a form only if the command says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub commands: bool,
    /// Settings that all runs share and that a reader needs for comparisons: images, widths, batch size, learning rate.
    /// Absent in plans of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<String>,
    /// The experiment file of this plan. Absent in plans of older versions and in published plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PlanSource>,
    /// Digest of each claim of the report when the first run began. Absent if there were none, and in plans of older
    /// versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
}

/// The experiment file that a plan was made from. It reveals edits of the file, and other files with the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSource {
    /// Path of the file, relative to the results folder. So a project can be copied or moved as a whole.
    pub file: String,
    /// BLAKE3 digest of the file and its base files.
    pub digest: String,
    /// Digests of the files that the commands of its runs depend on, by their paths in the project. Absent if no
    /// command trains a run, and in plans of older versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub code: BTreeMap<String, String>,
    /// The patterns that these files match. They reveal files that were added. Absent as above.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub patterns: BTreeSet<String>,
    /// Time at which the plan was written: milliseconds since 1970, UTC.
    pub written_at_ms: u64,
}

impl PlanRecord {
    /// Returns a metric with its declaration in this plan; `None` for a metric that the plan does not know.
    pub fn metric(&self, metric: Metric) -> Option<Metric> {
        match metric {
            Metric::Declared(_) => {
                let declared = self.metrics.iter().filter_map(|record| record.metric().ok());
                declared.into_iter().find(|known| *known == metric)
            }
            known => Some(known),
        }
    }

    /// Returns the ids of all networks of its runs.
    pub fn networks(&self) -> impl Iterator<Item = &NetworkId> {
        self.runs.iter().flat_map(|run| run.networks.values())
    }

    /// Finds a repetition in a plan that was read from a file: a run that is planned twice, or a run with two labels on
    /// one axis.
    pub fn repetition(&self) -> Option<String> {
        let mut runs = BTreeSet::new();
        for planned in &self.runs {
            if !runs.insert(planned.run) {
                return Some(format!("run {} is planned twice", planned.run));
            }
            let mut axes = BTreeSet::new();
            if let Some((axis, _)) = planned.coordinates.0.iter().find(|(axis, _)| !axes.insert(axis)) {
                return Some(format!("run {} has two labels on axis `{axis}`", planned.run));
            }
        }
        None
    }
}
