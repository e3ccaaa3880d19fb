//! Finds the rows of an experiment: those of the results folder, or the published ones if fewer runs are
//! finished there.
//!
//! A fresh clone has published rows but no results. It can still show, render and export them.
//!
//! The report of a very large sweep is made from part of its values: those that it shows, and the last one of each
//! series. Only these are published then.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sweep_protocol::{Epochs, ExperimentRows, PartOfValues, ResultsLayout, RunId, SeriesKey, Status};
use sweep_report::published;
use sweep_store::Reader;

use crate::commands::say;
use crate::project::Project;

/// Number of values up to which all values of a sweep are published: about 100 MB of text.
const MOST_PUBLISHED: u64 = 1_000_000;

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

/// Returns the rows of runs that the report of an experiment is made from; `None` if it was not started.
pub(crate) async fn of_report(
    project: &Project,
    results: &mut Reader,
    (experiment, profile): (&str, &str),
) -> Result<Option<ExperimentRows>> {
    let Some(plan) = results.plan(experiment, profile) else { return Ok(None) };
    let runs: Vec<RunId> = plan.runs.iter().map(|planned| planned.run).collect();
    let all_values = results.value_count(&runs)?;
    if all_values <= MOST_PUBLISHED {
        return Ok(results.experiment_rows(experiment, profile).await?);
    }
    // What a default report shows depends on what was measured.
    let mut whole = BTreeSet::new();
    let choose = |last: &ExperimentRows| -> Result<_> {
        let declaration = project.declaration(last)?.0;
        whole = declaration.whole_series();
        Ok(declaration.needs())
    };
    let rows = results.chosen_rows(plan, choose).await?;
    Ok(Some(ExperimentRows { part: Some(PartOfValues { all_values, whole }), ..rows }))
}

/// Finds all rows of an experiment under a profile; `None` if it was neither started nor published. These are the rows
/// of runs, unless fewer of them have succeeded than are published: the report of a sweep that has just begun would
/// replace that of a finished one. Prints a note if the rows are the published ones.
pub(crate) async fn find(
    results: &mut Reader,
    layout: &ResultsLayout,
    place: (&str, &str),
) -> Result<Option<Recorded>> {
    let rows = results.experiment_rows(place.0, place.1).await?;
    or_published(rows, layout, place)
}

/// Like [`find`], for the report of an experiment.
pub(crate) async fn find_for_report(
    project: &Project,
    results: &mut Reader,
    layout: &ResultsLayout,
    place: (&str, &str),
) -> Result<Option<Recorded>> {
    or_published(of_report(project, results, place).await?, layout, place)
}

/// Returns the rows of runs, or the published ones if more runs are finished there.
fn or_published(
    found: Option<ExperimentRows>,
    layout: &ResultsLayout,
    (experiment, profile): (&str, &str),
) -> Result<Option<Recorded>> {
    let folder = layout.published(experiment, profile);
    let Some(rows) = found else {
        return published_instead(layout, (experiment, profile));
    };
    let finished = rows.runs.iter().filter(|row| row.status == Status::Succeeded).count();
    let published = published::succeeded(&folder);
    if finished >= published {
        return Ok(Some(Recorded { rows, origin: Origin::Runs }));
    }
    let planned: BTreeSet<RunId> = rows.plan.runs.iter().map(|planned| planned.run).collect();
    let rows = published::read(&folder)?;
    let former = rows.plan.runs.iter().filter(|published| !planned.contains(&published.run)).count();
    if former > 0 {
        say(&format!(
            "note: {former} of the published runs are not in the current plan, so what is shown may come from another \
             configuration or former code; `plan` says what changed"
        ));
    }
    say(&format!(
        "`{experiment}` ({profile}): {published} runs are published and {finished} are finished in {}, so the \
         published rows in {} are used; remove that folder to use what is there",
        layout.root().display(),
        folder.display()
    ));
    say_published(&folder, &rows)?;
    Ok(Some(Recorded { rows, origin: Origin::Published }))
}

/// Finds the rows of runs, or the published ones if nothing was started. Values that are not `wanted` and predictions
/// may be missing.
pub(crate) async fn find_values(
    results: &mut Reader,
    layout: &ResultsLayout,
    place: (&str, &str),
    wanted: impl Fn(SeriesKey) -> Epochs + Sync,
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
    say_published(&folder, &rows)?;
    Ok(Some(Recorded { rows, origin: Origin::Published }))
}

/// Says what is special about published rows: files that were edited, and values that are not there.
fn say_published(folder: &Path, rows: &ExperimentRows) -> Result<()> {
    if let Some(part) = &rows.part {
        let found = rows.measurements.len();
        say(&format!("note: {found} of {} values are published; the others are where the sweep ran", part.all_values));
    }
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
