//! A plan with the costs of its runs. `plan` shows it, `run` carries it out, and the progress bar uses the costs as
//! weights.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use rayon::prelude::{ParallelIterator, ParallelSlice};
use sweep_plan::Plan;
use sweep_protocol::{PlanRecord, RunId, RunRow};
use sweep_runner::Forecast;
use sweep_store::Reader;
use sweep_trainer::{CommandTrainer, Cost};

use crate::program::{Program, Trainers};
use crate::project::Project;
use crate::scale;
use crate::slurm_place;
use crate::spec::Spec;
use crate::work::{FailedRuns, Work};

/// Number of configurations in the work unit of one thread. Neighbouring configurations mostly have the same network.
const NEIGHBOURS: usize = 1024;

/// A plan with the costs of its configurations.
pub(crate) struct CostedPlan<'p> {
    pub(crate) trainers: Trainers<'p>,
    pub(crate) plan: Plan,
    pub(crate) costs: Vec<Cost>,
    /// The experiment file, after following links.
    pub(crate) path: PathBuf,
    /// Digest of the file and its base files.
    pub(crate) digest: String,
    /// Patterns of the files that commands depend on.
    pub(crate) patterns: BTreeSet<String>,
    /// The project of the file.
    pub(crate) project: Project,
}

impl<'p> CostedPlan<'p> {
    /// Reads an experiment file and makes its plan.
    pub(crate) fn load(spec: &Spec, program: &'p Program) -> Result<Self> {
        let experiment = spec.load()?;
        let trainers = program.trainers(spec.project().root());
        let patterns = Mutex::new(BTreeSet::new());
        let plan = sweep_plan::plan(&experiment, &|table| {
            patterns.lock().unwrap_or_else(PoisonError::into_inner).extend(CommandTrainer::patterns(table));
            trainers.resolve(table)
        })?;
        let patterns = patterns.into_inner().unwrap_or_else(PoisonError::into_inner);
        let costs = plan.configurations.par_chunks(NEIGHBOURS).map(|configs| trainers.costs(configs));
        let costs = costs.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let (path, digest) = (sweep_plan::file_behind(spec.path()), spec.digest()?);
        slurm_place::settings(&plan, &path)?;
        Ok(Self { trainers, plan, costs, path, digest, patterns, project: spec.project() })
    }

    /// Returns the record of the plan, with the scale, and with the networks and the work of its runs.
    pub(crate) fn record(&self) -> PlanRecord {
        let configurations = &self.plan.configurations;
        let commands = configurations.iter().any(|config| Trainers::is_command(config));
        let mut record = self.plan.record();
        for (planned, run) in record.runs.iter_mut().zip(&self.plan.runs) {
            let cost = &self.costs[run.configuration];
            planned.networks.clone_from(&cost.networks);
            planned.work = cost.training.map(|work| work as u64);
        }
        PlanRecord { commands, scale: scale::of(configurations, &self.costs), ..record }
    }

    /// Returns the rows of the plan's runs.
    pub(crate) fn known(&self, results: &mut Reader) -> Result<BTreeMap<RunId, RunRow>> {
        let ids: Vec<RunId> = self.plan.runs.iter().map(|run| run.id).collect();
        Ok(results.run_rows(&ids)?.into_iter().map(|row| (row.run, row)).collect())
    }

    /// Returns what is left to do for each run, in plan order.
    pub(crate) fn works(&self, known: &BTreeMap<RunId, RunRow>) -> Vec<Work> {
        // Many runs share a configuration.
        let versions: Vec<u32> =
            self.plan.configurations.iter().map(|config| self.trainers.of(config).version()).collect();
        let work = |run: &sweep_plan::PlannedRun| {
            Work::of(known.get(&run.id), versions[run.configuration], self.plan.exec.kernels.as_deref())
        };
        self.plan.runs.iter().map(work).collect()
    }

    /// Whether `run` would start an attempt.
    pub(crate) fn has_work(&self, known: &BTreeMap<RunId, RunRow>) -> bool {
        self.works(known).iter().any(|work| work.is_open(FailedRuns::Wait))
    }

    /// Returns what a run of a configuration is expected to need.
    pub(crate) fn forecast(&self, configuration: usize) -> Forecast {
        let cost = &self.costs[configuration];
        let whole = |number: Option<f64>| number.map_or(0, |number| number as u64);
        Forecast { work: whole(cost.training), memory: whole(cost.memory) }
    }
}
