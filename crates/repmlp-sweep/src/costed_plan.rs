//! A plan with the costs of its runs. `plan` shows it, `run` carries it out, and the progress bar uses the costs as
//! weights.

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

/// Number of configurations in the work unit of one thread. Neighbouring configurations mostly have the same network.
const NEIGHBOURS: usize = 1024;

/// A plan with the costs of its configurations.
pub(crate) struct CostedPlan {
    pub(crate) plan: Plan,
    pub(crate) costs: Vec<Cost>,
    /// The experiment file, after following links.
    pub(crate) path: PathBuf,
    /// Digest of the file and its base files.
    pub(crate) digest: String,
}

impl CostedPlan {
    /// Reads an experiment file and makes its plan.
    pub(crate) fn load(spec: &SpecArgs) -> Result<Self> {
        let experiment = sweep_plan::load(&spec.path, spec.profile.as_deref())?;
        let plan = sweep_plan::plan(&experiment, &resolve)?;
        // A typed configuration needs much more memory than its text, so each one lives only while its cost is
        // computed.
        let cost = |texts: &[String]| Cost::of_all(texts.iter().map(|text| typed(text)));
        let costs = plan.configurations.par_chunks(NEIGHBOURS).map(cost).collect::<Result<Vec<_>>>()?;
        let (path, digest) = (sweep_plan::file_behind(&spec.path), experiment.digest().to_owned());
        Ok(Self { plan, costs: costs.into_iter().flatten().collect(), path, digest })
    }

    /// Returns the record of the plan, with the scale of its runs.
    pub(crate) fn record(&self) -> PlanRecord {
        PlanRecord { scale: scale::of(&self.plan.configurations), ..self.plan.record() }
    }

    /// Returns a configuration of the plan in typed form.
    pub(crate) fn config(&self, configuration: usize) -> Result<RunConfig> {
        typed(&self.plan.configurations[configuration])
    }

    /// Returns the rows of the plan's runs.
    pub(crate) fn known(&self, results: &mut Reader) -> Result<BTreeMap<RunId, RunRow>> {
        let ids: Vec<RunId> = self.plan.runs.iter().map(|run| run.id).collect();
        Ok(results.run_rows(&ids)?.into_iter().map(|row| (row.run, row)).collect())
    }

    /// Returns the multiply-adds of each run's training, if known.
    pub(crate) fn training_flops(&self) -> BTreeMap<RunId, f64> {
        self.plan.runs.iter().filter_map(|run| Some((run.id, self.costs[run.configuration].training?))).collect()
    }
}

fn typed(canonical: &str) -> Result<RunConfig> {
    serde_json::from_str(canonical).context("a canonical configuration cannot be read back")
}
