//! The plan: every run once, in order, with its identity.
//!
//! The resolver is called once for each row, on several threads; nothing of the plan depends on how many.

use std::collections::BTreeMap;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde_json::{Map, Value};
use sweep_protocol::{AxisRecord, Coordinates, ExclusionRecord, PlanRecord, PlannedRunRecord, RunId};

use crate::blame::{self, ConfigFault};
use crate::error::PlanError;
use crate::expansion::Expansion;
use crate::experiment::Experiment;
use crate::overlay::merge;
use crate::row::Row;

/// A configuration that the resolver accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// All of the typed configuration without its seed, as JSON with sorted keys: what identities are made from.
    pub canonical: String,
}

/// One configuration with its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// Who it is.
    pub id: RunId,
    /// Index into the plan's configurations.
    pub configuration: usize,
    /// Its seed.
    pub seed: u64,
    /// Where it sits.
    pub coordinates: Coordinates,
}

/// Coordinates whose configuration the plan already has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Coordinates that have no runs of their own.
    pub coordinates: Coordinates,
    /// Coordinates that stand for them.
    pub into: Coordinates,
}

/// All runs of an experiment under a profile, ordered, without repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name of the experiment: its file's stem.
    pub experiment: String,
    /// Name of the profile; `default` when none was asked for.
    pub profile: String,
    /// The question that the experiment asks.
    pub question: String,
    /// Axes in declared order.
    pub axes: Vec<AxisRecord>,
    /// Coordinates of the row that differences are taken to; empty when the experiment names none.
    pub baseline: Coordinates,
    /// Seeds of every configuration.
    pub seeds: Vec<u64>,
    /// Instruction set that all runs compute with, where the file names one.
    pub kernels: Option<String>,
    /// Canonical configurations, each once.
    pub configurations: Vec<String>,
    /// Every run once, in plan order.
    pub runs: Vec<PlannedRun>,
    /// What is left out.
    pub exclusions: Vec<ExclusionRecord>,
    /// Coordinates that ask for what others ask for.
    pub merged: Vec<Merged>,
}

/// Resolves every row and names its runs.
///
/// # Errors
/// With every fault that the resolver finds, led back to the line that set the key.
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
        let mut canonical = resolved?.canonical;
        // A serialiser leaves up to half of its buffer unused; there may be very many of them.
        canonical.shrink_to_fit();
        let ids: Vec<_> = experiment.seeds.iter().map(|seed| RunId::of(&canonical, *seed)).collect();
        Ok((canonical, ids))
    };
    let resolved: Vec<Result<_, ConfigFault>> = rows.par_iter().map_init(|| ground.clone(), resolve_row).collect();
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
        kernels: experiment.kernels.clone(),
        configurations: Vec::new(),
        runs: Vec::new(),
        exclusions,
        merged: Vec::new(),
    };
    let mut first_runs = BTreeMap::new();
    for (row, (canonical, ids)) in rows.iter().zip(resolved.into_iter().flatten()) {
        plan.add(row.coordinates(&experiment.axes), canonical, &ids, &mut first_runs);
    }
    Ok(plan)
}

impl Plan {
    /// Adds the runs of a row, unless an earlier row has the same; `first_runs` finds that row's first run by its id.
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

    /// The plan as it is written down before anything starts.
    pub fn record(&self) -> PlanRecord {
        let run =
            |run: &PlannedRun| PlannedRunRecord { run: run.id, seed: run.seed, coordinates: run.coordinates.clone() };
        PlanRecord {
            experiment: self.experiment.clone(),
            profile: self.profile.clone(),
            question: self.question.clone(),
            axes: self.axes.clone(),
            baseline: self.baseline.clone(),
            runs: self.runs.iter().map(run).collect(),
            exclusions: self.exclusions.clone(),
            scale: None,
            source: None,
        }
    }
}
