//! Finds the rows of an experiment: those of the results folder, or the published ones if fewer runs are
//! finished there.
//!
//! A fresh clone has published rows but no results. It can still show, render and export them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sweep_protocol::{ExperimentRows, Metric, ResultsLayout, Status};
use sweep_report::published;
use sweep_store::Reader;

use crate::commands::say;

/// Rows of an experiment, and their origin.
pub(crate) struct Recorded {
    pub(crate) rows: ExperimentRows,
    pub(crate) origin: Origin,
}

/// Origin of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Runs in this results folder.
    Runs,
    /// Published text files in git.
    Published,
}

/// Finds all rows of an experiment under a profile; `None` if it was neither started nor published. These are the rows
/// of runs, unless fewer of them have succeeded than are published: the report of a sweep that has just begun would
/// replace that of a finished one. Prints a note if the rows are the published ones.
pub(crate) async fn find(
    results: &mut Reader,
    layout: &ResultsLayout,
    (experiment, profile): (&str, &str),
) -> Result<Option<Recorded>> {
    let folder = layout.published(experiment, profile);
    let Some(rows) = results.experiment_rows(experiment, profile).await? else {
        return published_instead(layout, (experiment, profile));
    };
    let finished = rows.runs.iter().filter(|row| row.status == Status::Succeeded).count();
    let published = published::succeeded(&folder);
    if finished >= published {
        return Ok(Some(Recorded { rows, origin: Origin::Runs }));
    }
    let rows = published::read(&folder)?;
    say(&format!(
        "`{experiment}` ({profile}): {published} runs are published and {finished} are finished in {}, so the \
         published rows in {} are used; remove that folder to use what is there",
        layout.root().display(),
        folder.display()
    ));
    say_edited(&folder)?;
    Ok(Some(Recorded { rows, origin: Origin::Published }))
}

/// Finds the rows of runs, or the published ones if nothing was started. Metrics that are not `wanted` and predictions
/// may be missing.
pub(crate) async fn find_values(
    results: &mut Reader,
    layout: &ResultsLayout,
    place: (&str, &str),
    wanted: impl Fn(Metric) -> bool + Sync,
) -> Result<Option<Recorded>> {
    match results.experiment_rows_of(place.0, place.1, wanted).await? {
        Some(rows) => Ok(Some(Recorded { rows, origin: Origin::Runs })),
        None => published_instead(layout, place),
    }
}

/// Returns the published rows of an experiment that was not started here, if there are any.
fn published_instead(layout: &ResultsLayout, (experiment, profile): (&str, &str)) -> Result<Option<Recorded>> {
    let folder = layout.published(experiment, profile);
    if !folder.is_dir() {
        return Ok(None);
    }
    let rows = published::read(&folder)?;
    say(&format!(
        "`{experiment}` ({profile}) was not run in {}: the published rows in {} are used",
        layout.root().display(),
        folder.display()
    ));
    say_edited(&folder)?;
    Ok(Some(Recorded { rows, origin: Origin::Published }))
}

fn say_edited(folder: &Path) -> Result<()> {
    published::edited(folder)?.iter().for_each(|path| say(&format!("note: {}", edited_text(path))));
    Ok(())
}

/// Says that a published file is missing, or has other bytes.
pub(crate) fn edited_text(path: &Path) -> String {
    format!("{} is missing, or is not what was published", path.display())
}

/// Returns the profiles under which an experiment is published.
pub(crate) fn published_profiles(layout: &ResultsLayout, experiment: &str) -> Result<Vec<String>> {
    let profiles = folders(&layout.root().join("published").join(experiment))?;
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(profiles.into_iter().filter_map(name).collect())
}

/// Returns the folders in a folder, sorted; empty if the folder does not exist.
pub(crate) fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("{} cannot be listed", path.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
