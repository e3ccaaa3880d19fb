//! `rebuild`: makes the index again from plans and journals.

use anyhow::Result;
use sweep_protocol::error_chain;
use sweep_runner::SchedulerLock;
use sweep_store::Store;

use super::print;
use crate::cli::ResultsArgs;
use crate::exit::Exit;
use crate::project::Project;

pub(crate) async fn run(arguments: ResultsArgs) -> Result<Exit> {
    let layout = Project::here().results(&arguments);
    let lock = SchedulerLock::acquire(&layout)?;
    let damages = Store::rebuild(lock.layout()).await?;
    for damage in &damages {
        print(&format!("skipped: {}\n", error_chain(damage)))?;
    }
    print(&format!("{} was made again from the journals\n", layout.database().display()))?;
    Ok(if damages.is_empty() { Exit::Done } else { Exit::Data })
}
