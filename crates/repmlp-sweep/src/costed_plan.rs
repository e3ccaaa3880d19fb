//! A plan with what its runs cost: what `plan` shows, `run` carries out and the progress bar weighs by.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rayon::prelude::{ParallelIterator, ParallelSlice};
use repmlp_train::config::RunConfig;
use sweep_plan::Plan;
use sweep_protocol::{PlanRecord, RunId, RunRow};
use sweep_store::Reader;

use crate::cli::SpecArgs;
use crate::predict::Cost;
use crate::resolve::resolve;
use crate::scale;

/// Configurations that one thread costs at a stretch: those that share their network mostly stand beside each other.
const NEIGHBOURS: usize = 1024;

/// A plan with the costs of its configurations.
pub(crate) struct CostedPlan {
    pub(crate) plan: Plan,
    pub(crate) costs: Vec<Cost>,
    /// The experiment file, where a link leads to it.
    pub(crate) path: PathBuf,
    /// Of the file and its base files.
    pub(crate) digest: String,
}

impl CostedPlan {
    /// Reads and plans an experiment.
    pub(crate) fn load(spec: &SpecArgs) -> Result<Self> {
        let experiment = sweep_plan::load(&spec.path, spec.profile.as_deref())?;
        let plan = sweep_plan::plan(&experiment, &resolve)?;
        // A typed configuration is many times its text: each lives only while it is costed.
        let cost = |texts: &[String]| Cost::of_all(texts.iter().map(|text| typed(text)));
        let costs = plan.configurations.par_chunks(NEIGHBOURS).map(cost).collect::<Result<Vec<_>>>()?;
        let (path, digest) = (sweep_plan::file_behind(&spec.path), experiment.digest().to_owned());
        Ok(Self { plan, costs: costs.into_iter().flatten().collect(), path, digest })
    }

    /// The plan as it is recorded, with the scale of its runs.
    pub(crate) fn record(&self) -> PlanRecord {
        PlanRecord { scale: scale::of(&self.plan.configurations), ..self.plan.record() }
    }

    /// A configuration of the plan, typed.
    pub(crate) fn config(&self, configuration: usize) -> Result<RunConfig> {
        typed(&self.plan.configurations[configuration])
    }

    /// What is known of the plan's runs.
    pub(crate) fn known(&self, results: &mut Reader) -> Result<BTreeMap<RunId, RunRow>> {
        let ids: Vec<RunId> = self.plan.runs.iter().map(|run| run.id).collect();
        Ok(results.run_rows(&ids)?.into_iter().map(|row| (row.run, row)).collect())
    }

    /// Multiply-adds of each run's training, where that is known.
    pub(crate) fn training_flops(&self) -> BTreeMap<RunId, f64> {
        self.plan.runs.iter().filter_map(|run| Some((run.id, self.costs[run.configuration].training?))).collect()
    }
}

fn typed(canonical: &str) -> Result<RunConfig> {
    serde_json::from_str(canonical).context("a canonical configuration is read back")
}
