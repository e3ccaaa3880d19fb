//! `forget` and `clean`: remove what a results folder does not need any more. Without `--yes` they only say what would
//! go.

use anyhow::{Context, Result};
use sweep_protocol::RunId;
use sweep_runner::{SchedulerLock, Submitted, submitted};
use sweep_store::Store;

use super::{open_results, print, say};
use crate::cli::{CleanArgs, ForgetArgs};
use crate::exit::{Exit, UsageError};
use crate::predict::count;
use crate::project::{Project, name_or_file};
use crate::unneeded::{self, Found, Unneeded};

pub(crate) async fn clean(arguments: CleanArgs) -> Result<Exit> {
    let layout = Project::here().results(&arguments.results);
    // What is removed is found under the lock, so that no scheduler starts meanwhile.
    let lock = arguments.yes.then(|| SchedulerLock::acquire(&layout)).transpose()?;
    let mut results = open_results(&layout).await?;
    let Found { unneeded, in_queue } = unneeded::all(&layout, &mut results)?;
    results.close().await?;
    for Submitted { of, job, task } in in_queue {
        let run = of.run.short();
        say(&format!("run {run} stays: it is in the queue of Slurm; `scancel {job}_{task}` ends it"));
    }
    go(&unneeded, lock.as_ref()).await
}

pub(crate) async fn forget(arguments: ForgetArgs) -> Result<Exit> {
    let (name, _) = name_or_file(&arguments.experiment)?;
    let layout = Project::here().results(&arguments.results);
    let lock = arguments.yes.then(|| SchedulerLock::acquire(&layout)).transpose()?;
    let mut results = open_results(&layout).await?;
    let plans = results.plans();
    results.close().await?;
    let is_meant = |profile: &str| arguments.profile.as_deref().is_none_or(|asked| asked == profile);
    let meant = plans.iter().filter(|plan| plan.experiment == name && is_meant(&plan.profile));
    let found: Vec<Unneeded> = meant.map(|plan| unneeded::plan(&layout, plan, "it is forgotten")).collect();
    if found.is_empty() {
        let profiles: Vec<&str> =
            plans.iter().filter(|plan| plan.experiment == name).map(|plan| plan.profile.as_str()).collect();
        let message = match (&arguments.profile, profiles.is_empty()) {
            (Some(asked), false) => {
                format!(
                    "`{name}` has no recorded plan of profile `{asked}`; recorded profiles: {}",
                    profiles.join(", ")
                )
            }
            _ => format!("no plan of `{name}` is recorded here; `status` lists the experiments"),
        };
        return Err(UsageError(message).into());
    }
    let runs: Vec<RunId> = plans
        .iter()
        .filter(|plan| plan.experiment == name && is_meant(&plan.profile))
        .flat_map(|plan| plan.runs.iter().map(|run| run.run))
        .collect();
    let in_queue = submitted(&layout, &runs)?.len();
    if in_queue > 0 {
        say(&format!("note: {in_queue} of its runs are in the queue of Slurm; `cancel` ends them"));
    }
    let exit = go(&found, lock.as_ref()).await?;
    print("Its runs, its published measurements and its reports stay. `clean` removes runs that no plan has.\n")?;
    Ok(exit)
}

/// Lists what was found, and removes it if the folder is locked for this.
async fn go(found: &[Unneeded], lock: Option<&SchedulerLock>) -> Result<Exit> {
    for unneeded in found {
        print(&format!("{:>9}  {}\n", format!("{}B", count(unneeded.bytes() as f64)), unneeded.what))?;
    }
    let bytes: u64 = found.iter().map(Unneeded::bytes).sum();
    let total = format!("{}B", count(bytes as f64));
    if found.is_empty() {
        print("Everything in this results folder is needed.\n")?;
        return Ok(Exit::Done);
    }
    let Some(lock) = lock else {
        print(&format!("This would free {total}. Nothing was removed; add --yes to remove it.\n"))?;
        return Ok(Exit::Done);
    };
    for unneeded in found {
        unneeded.remove().with_context(|| format!("{}: cannot be removed", unneeded.what))?;
    }
    // The index would report removed runs as lost.
    Store::rebuild(lock.layout()).await?;
    print(&format!("{total} freed.\n"))?;
    Ok(Exit::Done)
}
