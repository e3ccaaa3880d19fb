//! Finds the rows of an experiment: those of the results folder, or the published ones if the results folder has no
//! such plan.
//!
//! A fresh clone has published rows but no results. It can still show, render and export them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sweep_protocol::{ExperimentRows, Metric, ResultsLayout, RunId, Status};
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

/// Finds all rows of an experiment under a profile; `None` if it was neither started nor published. Prints a note if
/// the rows are the published ones.
pub(crate) async fn find(
    results: &mut Reader,
    layout: &ResultsLayout,
    place: (&str, &str),
) -> Result<Option<Recorded>> {
    or_published(results.experiment_rows(place.0, place.1).await?, layout, place)
}

/// As [`find`], but metrics that are not `wanted` and predictions may be missing.
pub(crate) async fn find_values(
    results: &mut Reader,
    layout: &ResultsLayout,
    place: (&str, &str),
    wanted: impl Fn(Metric) -> bool + Sync,
) -> Result<Option<Recorded>> {
    or_published(results.experiment_rows_of(place.0, place.1, wanted).await?, layout, place)
}

/// Returns the rows of runs, or the published ones if there are no such rows or fewer results.
fn or_published(
    of_runs: Option<ExperimentRows>,
    layout: &ResultsLayout,
    (experiment, profile): (&str, &str),
) -> Result<Option<Recorded>> {
    let folder = layout.published(experiment, profile);
    let why = match of_runs {
        None if !folder.is_dir() => return Ok(None),
        None => format!("was not run in {}", layout.root().display()),
        Some(rows) => match unfinished(&rows, &published::succeeded(&folder)) {
            0 => return Ok(Some(Recorded { rows, origin: Origin::Runs })),
            // Otherwise the report of a sweep that has just begun would replace a finished one.
            runs => format!("has {runs} published runs that are not finished in {}", layout.root().display()),
        },
    };
    let rows = published::read(&folder)?;
    for path in published::edited(&folder)? {
        say(&format!("note: {} is not what was published", path.display()));
    }
    say(&format!(
        "`{experiment}` ({profile}) {why}: the published rows in {} are used; without that folder, the runs are",
        folder.display()
    ));
    Ok(Some(Recorded { rows, origin: Origin::Published }))
}

/// Returns the number of published runs that a report of these rows would lose: those of the plan that have not
/// succeeded here, or all if nothing has.
fn unfinished(rows: &ExperimentRows, published: &BTreeSet<RunId>) -> usize {
    let succeeded: BTreeSet<RunId> =
        rows.runs.iter().filter(|row| row.status == Status::Succeeded).map(|row| row.run).collect();
    if succeeded.is_empty() {
        return published.len();
    }
    rows.plan.runs.iter().filter(|run| published.contains(&run.run) && !succeeded.contains(&run.run)).count()
}

/// Returns the profiles under which an experiment is published.
pub(crate) fn published_profiles(layout: &ResultsLayout, experiment: &str) -> Result<Vec<String>> {
    let profiles = folders(&layout.root().join("published").join(experiment))?;
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(profiles.into_iter().filter_map(name).collect())
}

/// Returns the folders in a folder, sorted; empty if the folder does not exist.
pub(crate) fn folders(path: &std::path::Path) -> Result<Vec<PathBuf>> {
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
