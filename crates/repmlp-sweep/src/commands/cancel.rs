//! `cancel`: ends the Slurm jobs of an experiment. The next call of `run` closes their attempts.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use sweep_protocol::RunId;
use sweep_runner::{Submitted, submitted};
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
        let number = end(&attempts).await?;
        say(&format!(
            "asked Slurm to end {number} runs; those that train write a checkpoint first, and the next `run` closes \
             them"
        ));
    }
    Ok(Exit::Done)
}

/// Ends the tasks of attempts: those that run write a checkpoint, and those that wait leave the queue. Slurm says which
/// they are, since a task that has begun may wait again. Returns their number.
pub(crate) async fn end(attempts: &[Submitted]) -> Result<usize> {
    let jobs: BTreeSet<String> = attempts.iter().map(|attempt| attempt.job.clone()).collect();
    let cluster = Cluster::new(Arc::new(say));
    let queue = cluster.queue(&jobs.into_iter().collect::<Vec<String>>()).await?;
    let waits = |attempt: &&Submitted| queue.waits(&attempt.job, attempt.task);
    let name = |attempt: &Submitted| format!("{}_{}", attempt.job, attempt.task);
    let (waiting, others): (Vec<&Submitted>, Vec<&Submitted>) = attempts.iter().partition(waits);
    let names = |attempts: Vec<&Submitted>| attempts.into_iter().map(name).collect::<Vec<String>>();
    cluster.remove(&names(waiting)).await?;
    cluster.end(&names(others)).await?;
    Ok(attempts.len())
}
