//! Remembers what an experiment's report was last made from. While that is unchanged, the report is not made again.
//!
//! This record is a cache in the results folder. If it is missing or anything differs, the report is made again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sweep_protocol::{PlanRecord, ResultsLayout, RunId, file_stamp, read_regular_file, write_atomically};
use sweep_report::Answers;
use sweep_store::Reader;

use crate::project::Project;

/// Record of a report and of what it was made from.
#[derive(Serialize, Deserialize)]
pub(crate) struct Made {
    /// The digest returned by [`inputs`].
    inputs: String,
    /// Folder of the report.
    pub(crate) folder: PathBuf,
    /// Size and time of each file that was written for the report.
    files: BTreeMap<String, String>,
    /// What the terminal shows.
    pub(crate) answers: Answers,
}

/// Returns a digest of everything that a report is made from: plan, rows, values, throughput, declaration, the paper's
/// numbers, the report's folder and this program. `None` unless the index is up to date for all runs of the plan.
pub(crate) fn inputs(
    project: &Project,
    results: &mut Reader,
    plan: &PlanRecord,
    folder: &Path,
) -> Result<Option<String>> {
    let runs: Vec<RunId> = plan.runs.iter().map(|planned| planned.run).collect();
    let Some(known) = results.digest(&runs)? else { return Ok(None) };
    let declared = project.declared(plan)?;
    let program = std::env::current_exe().ok().and_then(|program| file_stamp(&program));
    let mut hasher = blake3::Hasher::new();
    hasher.update(&serde_json::to_vec(plan)?);
    hasher.update(&serde_json::to_vec(&results.throughput(plan))?);
    hasher.update(format!("|{known}|{declared:?}|{}|{program:?}", folder.display()).as_bytes());
    Ok(Some(hasher.finalize().to_hex().to_string()))
}

impl Made {
    /// Makes the record of a report that was just written into `folder`, and of the measurements published with it.
    pub(crate) fn now(
        inputs: String,
        layout: &ResultsLayout,
        plan: &PlanRecord,
        folder: &Path,
        answers: Answers,
    ) -> Self {
        Self { inputs, files: files(layout, plan, folder), folder: folder.to_owned(), answers }
    }

    /// Reads the record of the last report. `None` unless the report was made from these inputs and its files are
    /// unchanged.
    pub(crate) fn read(layout: &ResultsLayout, plan: &PlanRecord, inputs: &str) -> Option<Self> {
        let text = read_regular_file(&layout.rendered(&plan.experiment, &plan.profile)).ok()?;
        let text = String::from_utf8(text).ok()?;
        let (check, json) = text.split_once('\n')?;
        if check != blake3::hash(json.as_bytes()).to_hex().as_str() {
            return None;
        }
        let mut made: Self = serde_json::from_str(json).ok()?;
        made.answers = made.answers.with_metrics_of(plan);
        (made.inputs == inputs && made.files == files(layout, plan, &made.folder)).then_some(made)
    }

    /// Stores the record for the next call. Errors are ignored, since it is only a cache.
    pub(crate) fn keep(&self, layout: &ResultsLayout, plan: &PlanRecord) {
        let Ok(json) = serde_json::to_string(self) else { return };
        let text = format!("{}\n{json}", blake3::hash(json.as_bytes()).to_hex());
        drop(write_atomically(&layout.rendered(&plan.experiment, &plan.profile), text.as_bytes()));
    }
}

/// Returns the stamps of all files in a report's folder and of the published measurements.
fn files(layout: &ResultsLayout, plan: &PlanRecord, folder: &Path) -> BTreeMap<String, String> {
    let published = layout.published(&plan.experiment, &plan.profile);
    let mut files = BTreeMap::new();
    for (what, folder) in [("rendered", folder), ("published", &published)] {
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let name = format!("{what}/{}", entry.file_name().to_string_lossy());
            files.extend(file_stamp(&entry.path()).map(|stamp| (name, stamp)));
        }
    }
    files
}
