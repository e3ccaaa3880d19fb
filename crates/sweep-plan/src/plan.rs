//! The plan: all runs in order, each once, with their identities.
//!
//! The resolver is called once per row, on several threads. The plan does not depend on the number of threads.

use std::collections::BTreeMap;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde_json::{Map, Value};
use sweep_protocol::{
    AxisRecord, ConfigFault, Coordinates, ExclusionRecord, MetricRecord, PlanRecord, PlannedRunRecord, RunId,
};

use crate::blame;
use crate::error::PlanError;
use crate::exec::Exec;
use crate::expansion::Expansion;
use crate::experiment::Experiment;
use crate::log::Log;
use crate::overlay::merge;
use crate::row::Row;

/// A configuration that the resolver accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The complete typed configuration without its seed, as JSON with sorted keys. Identities are computed from it.
    pub canonical: String,
    /// The metrics that it declares. They are not part of the identity.
    pub metrics: Vec<MetricRecord>,
}

/// One configuration with its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// Identity of the run.
    pub id: RunId,
    /// Index into the plan's configurations.
    pub configuration: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Coordinates of the run.
    pub coordinates: Coordinates,
}

/// A row whose configuration already occurs in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Coordinates of the row, which has no runs of its own.
    pub coordinates: Coordinates,
    /// Coordinates of the earlier row whose runs are used instead.
    pub into: Coordinates,
}

/// All runs of an experiment under a profile, in order and without repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name of the experiment: the stem of its file name.
    pub experiment: String,
    /// Name of the profile; `default` if the user chose none.
    pub profile: String,
    /// The question that the experiment asks.
    pub question: String,
    /// Axes in declared order.
    pub axes: Vec<AxisRecord>,
    /// Coordinates of the baseline row, which differences refer to. Empty if the experiment names no baseline.
    pub baseline: Coordinates,
    /// Seeds of every configuration.
    pub seeds: Vec<u64>,
    /// How the file wants runs to be executed.
    pub exec: Exec,
    /// Where the file wants measurements to go.
    pub log: Log,
    /// The table `launcher` of the file; null if there is none.
    pub launcher: Value,
    /// Canonical configurations, each once.
    pub configurations: Vec<String>,
    /// All runs in plan order, each once.
    pub runs: Vec<PlannedRun>,
    /// Excluded coordinates.
    pub exclusions: Vec<ExclusionRecord>,
    /// Rows that repeat the configuration of an earlier row.
    pub merged: Vec<Merged>,
    /// Metrics that configurations declare, sorted by name.
    pub metrics: Vec<MetricRecord>,
}

/// Resolves every row and computes the identities of its runs.
///
/// # Errors
/// When the resolver finds faults. The error holds all of them, each at the line that set the key.
pub fn plan(
    experiment: &Experiment,
    resolve: &(dyn Fn(&Value) -> Result<Resolved, ConfigFault> + Sync),
) -> Result<Plan, PlanError> {
    let Expansion { rows, exclusions, .. } = Expansion::of(experiment);
    let mut ground = Value::Object(Map::new());
    experiment.ground.iter().for_each(|overlay| merge(&mut ground, &overlay.value));

    let resolve_row = |table: &mut Value, row: &Row<'_>| {
        row.lay(table);
        let resolved = resolve(table);
        row.lift(table, &ground);
        let Resolved { mut canonical, metrics } = resolved?;
        // A serialiser may leave half of its buffer unused, and a plan may hold very many configurations.
        canonical.shrink_to_fit();
        let ids: Vec<_> = experiment.seeds.iter().map(|seed| RunId::of(&canonical, *seed)).collect();
        Ok((canonical, ids, metrics))
    };
    let mut resolved: Vec<Result<_, ConfigFault>> = rows.par_iter().map_init(|| ground.clone(), resolve_row).collect();
    let metrics = merged_metrics(&mut resolved);
    let found = rows.iter().zip(&resolved).filter_map(|(row, resolved)| Some((row, resolved.as_ref().err()?)));
    let faults = blame::faults(experiment, rows.len(), found);
    if !faults.is_empty() {
        return Err(PlanError::Invalid { faults });
    }

    let mut plan = Plan {
        experiment: experiment.name.clone(),
        profile: experiment.profile.clone(),
        question: experiment.question.clone(),
        axes: experiment.axes.clone(),
        baseline: experiment.baseline.clone(),
        seeds: experiment.seeds.clone(),
        exec: experiment.exec.clone(),
        log: experiment.log,
        launcher: experiment.launcher.clone(),
        configurations: Vec::new(),
        runs: Vec::new(),
        exclusions,
        merged: Vec::new(),
        metrics,
    };
    let mut first_runs = BTreeMap::new();
    for (row, (canonical, ids, _)) in rows.iter().zip(resolved.into_iter().flatten()) {
        plan.add(row.coordinates(&experiment.axes), canonical, &ids, &mut first_runs);
    }
    Ok(plan)
}

/// Canonical configuration, ids of the runs, and declared metrics of a row.
type ResolvedRow = (String, Vec<RunId>, Vec<MetricRecord>);

/// Returns the metrics that the rows declare, sorted by name. A row that declares a metric in another way than an
/// earlier row becomes a fault.
fn merged_metrics(rows: &mut [Result<ResolvedRow, ConfigFault>]) -> Vec<MetricRecord> {
    let mut known: BTreeMap<String, MetricRecord> = BTreeMap::new();
    for row in rows {
        let Ok((.., metrics)) = row else { continue };
        let other = metrics.iter().find(|own| known.get(&own.name).is_some_and(|known| known != *own));
        if let Some(MetricRecord { name, .. }) = other {
            let (path, message) =
                (format!("metric.{name}"), "an earlier row declares this metric differently".to_owned());
            *row = Err(ConfigFault { path, message, help: Some("declare it once, in the base file".to_owned()) });
        } else {
            known.extend(metrics.drain(..).map(|own| (own.name.clone(), own)));
        }
    }
    known.into_values().collect()
}

impl Plan {
    /// Adds the runs of a row, unless an earlier row has the same configuration. `first_runs` maps the id of a row's
    /// first run to its index.
    fn add(
        &mut self,
        coordinates: Coordinates,
        canonical: String,
        ids: &[RunId],
        first_runs: &mut BTreeMap<RunId, usize>,
    ) {
        if let Some(&at) = ids.first().and_then(|id| first_runs.get(id)) {
            return self.merged.push(Merged { coordinates, into: self.runs[at].coordinates.clone() });
        }
        first_runs.extend(ids.first().map(|id| (*id, self.runs.len())));
        let configuration = self.configurations.len();
        self.configurations.push(canonical);
        let runs = ids.iter().zip(&self.seeds);
        let run = |(id, seed): (&RunId, &u64)| PlannedRun {
            id: *id,
            configuration,
            seed: *seed,
            coordinates: coordinates.clone(),
        };
        self.runs.extend(runs.map(run));
    }

    /// Returns the plan in the form that is written to disk before any attempt starts.
    pub fn record(&self) -> PlanRecord {
        let run = |run: &PlannedRun| PlannedRunRecord {
            run: run.id,
            seed: run.seed,
            coordinates: run.coordinates.clone(),
            networks: BTreeMap::new(),
            work: None,
        };
        PlanRecord {
            experiment: self.experiment.clone(),
            profile: self.profile.clone(),
            question: self.question.clone(),
            axes: self.axes.clone(),
            baseline: self.baseline.clone(),
            runs: self.runs.iter().map(run).collect(),
            exclusions: self.exclusions.clone(),
            metrics: self.metrics.clone(),
            commands: false,
            scale: None,
            source: None,
            claims: BTreeMap::new(),
        }
    }
}
