//! `cancel`: ends the Slurm jobs of an experiment. The next call of `run` closes their attempts.

use anyhow::Result;
use sweep_protocol::{ResultsLayout, RunId, attempt_numbers};
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
        let number = end(&layout, &attempts).await?;
        say(&format!(
            "asked Slurm to end {number} runs; those that train write a checkpoint first, and the next `run` closes \
             them"
        ));
    }
    Ok(Exit::Done)
}

/// Ends the tasks of attempts: those that have begun write a checkpoint. Returns their number.
pub(crate) async fn end(layout: &ResultsLayout, attempts: &[Submitted]) -> Result<usize> {
    let has_begun = |attempt: &&Submitted| {
        let numbers = attempt_numbers(&layout.run(attempt.of.run)).unwrap_or_default();
        let latest = numbers.last().copied().unwrap_or(attempt.of.attempt);
        layout.run(attempt.of.run).attempt(latest).journal().exists()
    };
    let name = |attempt: &Submitted| format!("{}_{}", attempt.job, attempt.task);
    let (begun, waiting): (Vec<&Submitted>, Vec<&Submitted>) = attempts.iter().partition(has_begun);
    let names = |attempts: Vec<&Submitted>| attempts.into_iter().map(name).collect::<Vec<String>>();
    Cluster.remove(&names(waiting)).await?;
    Cluster.end(&names(begun)).await?;
    Ok(attempts.len())
}
