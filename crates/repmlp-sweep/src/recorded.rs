//! What is recorded of an experiment: the rows of the results folder, or the published ones where that folder has no such plan.
//!
//! A fresh clone has committed rows and no results, and can still show, render and export them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use sweep_protocol::{ExperimentRows, Metric, ResultsLayout};
use sweep_report::published;
use sweep_store::Reader;

use crate::commands::say;

/// Rows, and where they come from.
pub(crate) struct Recorded {
    pub(crate) rows: ExperimentRows,
    pub(crate) origin: Origin,
}

/// Where rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Runs of this results folder.
    Runs,
    /// Text in git.
    Published,
}

/// What is recorded of an experiment under a profile; nothing where it was neither started nor published. Says so where rows are
/// the published ones. Metrics that are not `wanted` may be missing.
pub(crate) async fn find(
    results: &mut Reader,
    layout: &ResultsLayout,
    (experiment, profile): (&str, &str),
    wanted: impl Fn(Metric) -> bool + Sync,
) -> Result<Option<Recorded>> {
    if let Some(rows) = results.experiment_rows_of(experiment, profile, wanted).await? {
        return Ok(Some(Recorded { rows, origin: Origin::Runs }));
    }
    let folder = layout.published(experiment, profile);
    if !folder.is_dir() {
        return Ok(None);
    }
    let rows = published::read(&folder)?;
    say(&format!(
        "`{experiment}` ({profile}) was not run in {}: these are the published rows of {}",
        layout.root().display(),
        folder.display()
    ));
    Ok(Some(Recorded { rows, origin: Origin::Published }))
}

/// The profiles under which an experiment is published.
pub(crate) fn published_profiles(layout: &ResultsLayout, experiment: &str) -> Result<Vec<String>> {
    let profiles = folders(&layout.root().join("published").join(experiment))?;
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(profiles.into_iter().filter_map(name).collect())
}

/// The folders in a folder, sorted; none where it does not exist.
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
