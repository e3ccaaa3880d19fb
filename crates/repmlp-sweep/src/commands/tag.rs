//! `tag` and `note`: write down something about a run.

use std::path::PathBuf;

use anyhow::{Context, Result};
use sweep_protocol::{RunTags, check_line, check_name};

use super::show::find_run;
use super::{open_results, print};
use crate::cli::{NoteArgs, ResultsArgs, TagArgs};
use crate::exit::{Exit, UsageError};
use crate::project::Project;

pub(crate) async fn tag(arguments: TagArgs) -> Result<Exit> {
    change(&arguments.run, &arguments.results, |tags| {
        for text in &arguments.tags {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            check_name(key).map_err(|fault| UsageError(format!("the tag `{key}` {fault}")))?;
            check_line(value).map_err(|fault| UsageError(format!("the value of the tag `{key}` contains {fault}")))?;
            tags.tags.insert(key.to_owned(), value.to_owned());
        }
        for key in &arguments.remove {
            if tags.tags.remove(key).is_none() {
                return Err(UsageError(format!("the run has no tag `{key}`")).into());
            }
        }
        Ok(())
    })
    .await
}

pub(crate) async fn note(arguments: NoteArgs) -> Result<Exit> {
    change(&arguments.run, &arguments.results, |tags| {
        let text = arguments.text.trim();
        check_line(text).map_err(|fault| UsageError(format!("the note contains {fault}")))?;
        tags.note = (!text.is_empty()).then(|| text.to_owned());
        Ok(())
    })
    .await
}

async fn change(run: &str, results: &ResultsArgs, change: impl FnOnce(&mut RunTags) -> Result<()>) -> Result<Exit> {
    let layout = Project::here().results(results);
    let mut reader = open_results(&layout).await?;
    let id = find_run(&mut reader, run)?;
    let path: PathBuf = layout.run(id).tags();
    let mut tags = RunTags::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    change(&mut tags)?;
    tags.write(&path).with_context(|| format!("{} cannot be written", path.display()))?;
    let line = if tags.is_empty() { "no tags".to_owned() } else { tags.line() };
    print(&format!("{}: {line}\n", id.short()))?;
    Ok(Exit::Done)
}
