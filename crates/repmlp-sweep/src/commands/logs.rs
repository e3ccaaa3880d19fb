//! `logs`: prints the log of a run's process and the notes in its journal.

use anyhow::{Context, Result};
use sweep_protocol::{Event, JournalReader, Outcome, read_regular_file};

use super::show::find_run;
use super::{open_results, print};
use crate::cli::LogsArgs;
use crate::exit::{Exit, UsageError};
use crate::project::Project;

pub(crate) async fn run(arguments: LogsArgs) -> Result<Exit> {
    let layout = Project::here().results(&arguments.results);
    let mut results = open_results(&layout).await?;
    let id = find_run(&mut results, &arguments.run)?;
    let attempts = results.run(id)?.attempts;
    let Some(number) = arguments.attempt.or(attempts.last().map(|a| a.attempt)) else {
        return Err(UsageError(format!("run {} has not been started yet", id.short())).into());
    };
    let attempt = layout.run(id).attempt(number);
    let log = read_regular_file(&attempt.log())
        .with_context(|| format!("run {} has no log of attempt {number}: {}", id.short(), attempt.log().display()))?;
    print(&format!("# {}\n", attempt.root().display()))?;
    let mut is_silent = log.is_empty();
    for line in JournalReader::<Event>::new(&attempt.journal()).read_new()?.lines {
        is_silent &=
            !matches!(line.event, Event::Noticed { .. } | Event::Ended { outcome: Outcome::Failed { .. }, .. });
        match line.event {
            Event::Noticed { text } => print(&format!("note: {text}\n"))?,
            // The message of a command that failed ends with its log, which follows.
            Event::Ended { outcome: Outcome::Failed { message, .. }, .. } => {
                let shown = if log.is_empty() { &message } else { message.lines().next().unwrap_or_default() };
                print(&format!("failed: {shown}\n"))?;
            }
            _ => {}
        }
    }
    if is_silent {
        print("its process wrote nothing and reported no notes\n")?;
    }
    print(&String::from_utf8_lossy(&log))?;
    Ok(Exit::Done)
}
