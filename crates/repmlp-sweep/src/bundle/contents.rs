//! The files of a sweep that a bundle has: everything that its report is made from, and the renderings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use sweep_bundle::{Content, Origin, check_place};
use sweep_protocol::{
    AttemptLayout, EpochWeightsName, PlanRecord, PlanSource, ResultsLayout, RunId, Status, WEIGHTS_FILE,
    attempt_numbers,
};
use sweep_report::Declaration;
use sweep_store::Reader;

use super::{REPORTS, RESULTS};
use crate::exit::UsageError;
use crate::plan_file;
use crate::project::Project;

/// What a bundle is asked to have.
pub(crate) struct Asked {
    pub(crate) experiment: String,
    pub(crate) profile: String,
    /// Whether weights are carried too.
    pub(crate) with_weights: bool,
}

/// The files of a bundle.
pub(crate) struct Contents {
    pub(crate) origin: Origin,
    pub(crate) files: BTreeMap<String, Content>,
    /// Number of runs that it has.
    pub(crate) runs: usize,
    /// What a reader of the bundle must know: runs and files that it lacks.
    pub(crate) notes: Vec<String>,
}

impl Contents {
    /// Collects the files of a sweep. The results folder is locked.
    pub(crate) fn of(layout: &ResultsLayout, results: &mut Reader, asked: &Asked) -> Result<Self> {
        let Asked { experiment, profile, .. } = asked;
        let Some(plan) = results.plan(experiment, profile) else {
            let text = format!(
                "`{experiment}` was not run under the profile `{profile}` in {}: a bundle needs its runs",
                layout.root().display()
            );
            return Err(UsageError(text).into());
        };
        let file = plan_file::file_of(layout, &plan);
        let project = file.as_deref().map_or_else(Project::here, Project::of);
        let origin = Origin {
            program: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
            code: Vec::new(),
            experiment: experiment.clone(),
            profile: profile.clone(),
        };
        let mut contents = Self { origin, files: BTreeMap::new(), runs: 0, notes: Vec::new() };
        let place = contents.add_experiment(&project, file.as_deref(), &plan)?;
        contents.add_plan(&plan, place.as_deref())?;
        contents.add_report(&project, &plan)?;
        let [throughput, published] =
            [layout.throughput(experiment, profile).records(), layout.published(experiment, profile)];
        let of_plan = format!("{experiment}/{profile}");
        contents.add_folder(&throughput, &format!("{RESULTS}/experiments/{of_plan}/throughput/records"))?;
        contents.add_folder(&published, &format!("{RESULTS}/published/{of_plan}"))?;
        contents.add_folder(&project.reports().join(&of_plan), &format!("{REPORTS}/{of_plan}"))?;
        contents.add_runs(layout, results, &plan, asked)?;
        Ok(contents)
    }

    fn add(&mut self, place: String, path: PathBuf) -> Result<()> {
        check_place(&place)?;
        self.files.insert(place, Content::File(path));
        Ok(())
    }

    /// Adds the experiment file, its bases and the files that its commands depend on. Returns the place of the
    /// experiment file.
    fn add_experiment(&mut self, project: &Project, file: Option<&Path>, plan: &PlanRecord) -> Result<Option<String>> {
        let Some(file) = file.filter(|file| file.exists()) else {
            self.notes.push("the experiment file is gone, so it is not in the bundle".to_owned());
            return Ok(None);
        };
        let root = project.root().canonicalize()?;
        let mut first = None;
        for path in sweep_plan::files(file)? {
            let real = path.canonicalize()?;
            let Ok(inside) = real.strip_prefix(&root) else {
                let text = format!(
                    "{} lies outside of the project {}, so a bundle cannot carry it: move it below `experiments`",
                    path.display(),
                    root.display()
                );
                return Err(UsageError(text).into());
            };
            let place = in_bundle(inside)?;
            first.get_or_insert_with(|| place.clone());
            self.add(place, path)?;
        }
        let code: BTreeSet<&String> = plan.source.iter().flat_map(|source| source.code.keys()).collect();
        for path in code {
            let file = project.root().join(path);
            let is_inside = file.canonicalize().is_ok_and(|real| real.starts_with(&root) && real.is_file());
            if is_inside && check_place(path).is_ok() {
                self.add(path.clone(), file)?;
            } else {
                let text = format!("{path}, which the runs depend on, is hidden, elsewhere or gone: it is left out");
                self.notes.push(text);
            }
        }
        Ok(first)
    }

    /// Adds the plan. In a bundle, results are beside `experiments`. Without an experiment file, the plan names none: a
    /// place outside of the bundle would be refused where it is imported.
    fn add_plan(&mut self, plan: &PlanRecord, experiment: Option<&str>) -> Result<()> {
        let mut plan = plan.clone();
        plan.source = plan.source.zip(experiment).map(|(source, place)| {
            let file = format!("../{place}");
            PlanSource { file, ..source }
        });
        let place = format!("{RESULTS}/experiments/{}/{}/plan.json", plan.experiment, plan.profile);
        check_place(&place)?;
        self.files.insert(place, Content::Bytes(serde_json::to_vec_pretty(&plan)?));
        Ok(())
    }

    /// Adds the report declaration and the paper's numbers that it names.
    fn add_report(&mut self, project: &Project, plan: &PlanRecord) -> Result<()> {
        let name = format!("{}.toml", plan.experiment);
        let path = project.reports().join(&name);
        if !path.is_file() {
            return Ok(());
        }
        let declaration = Declaration::load(&path)?;
        self.add(format!("{REPORTS}/{name}"), path)?;
        for link in declaration.tables.iter().filter_map(|table| table.paper.as_ref()) {
            let path = project.reports().join(&link.file);
            // The program carries those of RepMLP.
            if path.is_file() {
                self.add(format!("{REPORTS}/{}", link.file), path)?;
            }
        }
        Ok(())
    }

    /// Adds the files of a folder that its manifest lists: others are the user's. A folder of records has no manifest.
    fn add_folder(&mut self, folder: &Path, place: &str) -> Result<()> {
        let Ok(entries) = folder.read_dir() else { return Ok(()) };
        let manifest = folder.join("manifest.json");
        let listed: Option<Value> = fs::read(&manifest).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let is_listed = |name: &str| match &listed {
            Some(manifest) => name == "manifest.json" || manifest["renderings"].get(name).is_some(),
            None => name.ends_with(".json"),
        };
        for entry in entries {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if is_listed(name) && path.symlink_metadata()?.is_file() {
                self.add(format!("{place}/{name}"), path.clone())?;
            }
        }
        Ok(())
    }

    /// Adds the runs whose attempts have ended.
    fn add_runs(
        &mut self,
        layout: &ResultsLayout,
        results: &mut Reader,
        plan: &PlanRecord,
        asked: &Asked,
    ) -> Result<()> {
        let ids: Vec<RunId> = plan.runs.iter().map(|planned| planned.run).collect();
        let (mut code, mut unfinished, mut running) = (BTreeSet::new(), 0, 0);
        for row in results.run_rows(&ids)? {
            match row.status {
                Status::Running => running += 1,
                _ if !layout.run(row.run).config().exists() => unfinished += 1,
                status => {
                    unfinished += usize::from(status != Status::Succeeded);
                    self.add_run(layout, row.run, asked)?;
                    self.runs += 1;
                    code.extend(results.run(row.run)?.attempts.into_iter().filter_map(|attempt| attempt.code));
                }
            }
        }
        self.origin.code = code.into_iter().collect();
        if running > 0 {
            self.notes.push(format!("{running} runs are running or were interrupted, so they are not in the bundle"));
        }
        if unfinished > 0 {
            let text = format!("{unfinished} of {} runs have not succeeded; checkpoints are not carried", ids.len());
            self.notes.push(text);
        }
        Ok(())
    }

    fn add_run(&mut self, layout: &ResultsLayout, run: RunId, asked: &Asked) -> Result<()> {
        let folder = layout.run(run);
        let place = format!("{RESULTS}/runs/{run}");
        self.add(format!("{place}/run.json"), folder.config())?;
        if folder.tags().is_file() {
            self.add(format!("{place}/tags.json"), folder.tags())?;
        }
        for number in attempt_numbers(&folder)? {
            let attempt = folder.attempt(number);
            for path in files_of(&attempt, asked) {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.add(format!("{place}/attempts/{number}/{name}"), path)?;
            }
        }
        Ok(())
    }
}

/// Returns the files of an attempt that a bundle has.
fn files_of(attempt: &AttemptLayout, asked: &Asked) -> Vec<PathBuf> {
    let mut files = vec![attempt.orders(), attempt.journal(), attempt.supervisor(), attempt.log()];
    if asked.with_weights {
        files.push(attempt.root().join(WEIGHTS_FILE));
        let entries = attempt.root().read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
        let is_kept = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| EpochWeightsName::parse(name).is_some())
        };
        files.extend(entries.filter(is_kept));
    }
    files.retain(|path| path.symlink_metadata().is_ok_and(|found| found.is_file()));
    files
}

/// Returns the place of a file in a bundle.
fn in_bundle(inside: &Path) -> Result<String> {
    let parts: Option<Vec<&str>> = inside.components().map(|part| part.as_os_str().to_str()).collect();
    let parts = parts.ok_or_else(|| UsageError(format!("{} is not UTF-8 text", inside.display())))?;
    Ok(parts.join("/"))
}
