//! `cancel`: ends the Slurm jobs of an experiment. The next call of `run` closes their attempts.

use std::collections::BTreeSet;

use anyhow::Result;
use sweep_protocol::RunId;
use sweep_runner::submitted;
use sweep_slurm::Cluster;

use super::say;
use crate::cli::CancelArgs;
use crate::costed_plan::CostedPlan;
use crate::exit::Exit;
use crate::program::Program;

pub(crate) async fn run(arguments: CancelArgs, program: &Program) -> Result<Exit> {
    for spec in arguments.spec.specs() {
        let costed = CostedPlan::load(&spec, program)?;
        let layout = spec.project().results(&arguments.results);
        let runs: Vec<RunId> = costed.plan.runs.iter().map(|run| run.id).collect();
        let attempts = submitted(&layout, &runs)?;
        if attempts.is_empty() {
            say("no run of this experiment is in the queue of a cluster");
            continue;
        }
        let jobs: BTreeSet<String> = attempts.iter().map(|attempt| attempt.job.clone()).collect();
        let jobs: Vec<String> = jobs.into_iter().collect();
        Cluster.cancel(&jobs).await?;
        let (number, names) = (attempts.len(), jobs.join(", "));
        say(&format!(
            "asked Slurm to end job {names} with {number} open runs; running tasks write a checkpoint first, and the \
             next `run` closes them"
        ));
    }
    Ok(Exit::Done)
}
