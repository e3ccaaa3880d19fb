//! Finds the rows of an experiment: those of the results folder, or the published ones if the results folder has no
//! such plan.
//!
//! A fresh clone has published rows but no results. It can still show, render and export them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use sweep_protocol::{ExperimentRows, Metric, ResultsLayout};
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

/// Returns the rows of runs if there are any, and otherwise the published ones.
fn or_published(
    of_runs: Option<ExperimentRows>,
    layout: &ResultsLayout,
    (experiment, profile): (&str, &str),
) -> Result<Option<Recorded>> {
    if let Some(rows) = of_runs {
        return Ok(Some(Recorded { rows, origin: Origin::Runs }));
    }
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
    Ok(Some(Recorded { rows, origin: Origin::Published }))
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
