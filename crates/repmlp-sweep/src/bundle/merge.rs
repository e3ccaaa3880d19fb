//! Merges a bundle into a project. Everything is compared first: a bundle that contradicts what is there changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sweep_bundle::{BundleError, Manifest, check_place, unpack};
use sweep_protocol::{
    EpochWeightsName, Epochs, Measurement, MeasurementRow, PlanRecord, PlanSource, ResultsLayout, RunFile, RunId,
    RunRow, Status, WEIGHTS_FILE, check_line, check_name, create_folders, create_new_folder, read_regular_file,
    sync_folder, write_atomically,
};
use sweep_store::Reader;

use super::{REPORTS, RESULTS};
use crate::plan_file;

/// Beginning of the names of folders that bundles are unpacked into.
const STAGING: &str = ".import-";
/// Maximum number of contradictions that are named.
const MOST_NAMED: usize = 5;

/// An unpacked bundle.
pub(crate) struct Staged {
    folder: Staging,
    pub(crate) manifest: Manifest,
}

/// A folder that is removed in the end. It lies in the results folder, so that runs can be moved.
struct Staging(PathBuf);

impl Staging {
    /// Makes the folder. Removes what an import that was killed left behind.
    fn new(layout: &ResultsLayout) -> Result<Self> {
        for entry in fs::read_dir(layout.root())?.flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(STAGING)) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let folder = layout.root().join(format!("{STAGING}{}", std::process::id()));
        create_new_folder(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays is removed by the next import.
        let _removed: std::io::Result<()> = fs::remove_dir_all(&self.0);
    }
}

impl Staged {
    /// Unpacks a bundle below a results folder, which is locked.
    pub(crate) fn unpack(bundle: &Path, layout: &ResultsLayout) -> Result<Self> {
        let folder = Staging::new(layout)?;
        let manifest = unpack(bundle, &folder.0)?;
        let staged = Self { folder, manifest };
        let damaged = |reason: String| BundleError::Damaged { path: bundle.to_owned(), reason };
        let origin = &staged.manifest.origin;
        for name in [&origin.experiment, &origin.profile] {
            check_name(name).map_err(|fault| damaged(format!("the name `{name}` {fault}")))?;
        }
        staged.check_places().map_err(damaged)?;
        Ok(staged)
    }

    fn layout(&self) -> ResultsLayout {
        ResultsLayout::new(self.folder.0.join(RESULTS))
    }

    fn read(&self, place: &str) -> Result<Vec<u8>> {
        read_regular_file(&self.folder.0.join(place)).with_context(|| format!("{place} cannot be read"))
    }

    /// Checks that files of the results folder belong to the plan of the bundle. Returns the reason otherwise.
    fn check_places(&self) -> Result<(), String> {
        let plan: PlanRecord = serde_json::from_slice(&self.read(&self.plan_place()).map_err(|_| "it has no plan")?)
            .map_err(|fault| format!("its plan cannot be read: {fault}"))?;
        let (experiment, profile) = (&self.manifest.origin.experiment, &self.manifest.origin.profile);
        if (&plan.experiment, &plan.profile) != (experiment, profile) {
            return Err("its plan belongs to another experiment or profile".to_owned());
        }
        let allowed = Allowed::of(&plan, &self.folder.0)?;
        for place in self.manifest.files.keys() {
            if !allowed.has(place) {
                return Err(format!("`{place}` is no file of its sweep"));
            }
        }
        for text in std::iter::once(&self.manifest.origin.program).chain(&self.manifest.origin.code) {
            check_line(text).map_err(|fault| format!("the name of its program has {fault}"))?;
        }
        for run in self.runs().map_err(|fault| fault.to_string())? {
            let bytes = self.read(&format!("{RESULTS}/runs/{run}/run.json")).map_err(|fault| fault.to_string())?;
            if RunFile::parse(&bytes).is_none_or(|file| file.id() != run) {
                return Err(format!("the configuration of run {} is that of another run", run.short()));
            }
        }
        Ok(())
    }

    fn plan_place(&self) -> String {
        let origin = &self.manifest.origin;
        format!("{RESULTS}/experiments/{}/{}/plan.json", origin.experiment, origin.profile)
    }

    /// The weights of a run in the bundle that are not here, although the attempt that wrote them is.
    fn missing_weights(&self, layout: &ResultsLayout, run: RunId) -> Vec<String> {
        let begins = format!("{RESULTS}/runs/{run}/attempts/");
        let is_missing = |place: &&String| {
            let name = place.rsplit('/').next().unwrap_or_default();
            let path = place.strip_prefix("results/").map(|inner| layout.root().join(inner));
            (name == WEIGHTS_FILE || EpochWeightsName::parse(name).is_some())
                && path.is_some_and(|path| path.parent().is_some_and(is_folder) && path.symlink_metadata().is_err())
        };
        let of_run = self.manifest.files.keys().filter(|place| place.starts_with(&begins));
        of_run.filter(is_missing).cloned().collect()
    }

    /// The runs of the bundle.
    fn runs(&self) -> Result<Vec<RunId>> {
        let names: BTreeSet<&str> = self
            .manifest
            .files
            .keys()
            .filter_map(|place| place.strip_prefix("results/runs/")?.split('/').next())
            .collect();
        names.into_iter().map(|name| Ok(name.parse()?)).collect()
    }
}

/// The files that a bundle of a plan may have. Any other file could be one that something else runs or reads.
struct Allowed {
    experiment: String,
    profile: String,
    runs: BTreeSet<String>,
    /// The experiment file, its bases, and the files that commands depend on.
    files: BTreeSet<String>,
}

impl Allowed {
    /// Returns the allowed files of a plan that is unpacked in `folder`, or the reason why the plan is not acceptable.
    fn of(plan: &PlanRecord, folder: &Path) -> Result<Self, String> {
        let mut files = BTreeSet::new();
        if let Some(source) = &plan.source {
            let place = source.file.strip_prefix("../").filter(|place| check_place(place).is_ok());
            let place = place.ok_or("its plan names a file outside of the project")?;
            // Without an experiment file, there is none to read bases from.
            if folder.join(place).is_file() {
                let found = sweep_plan::files(&folder.join(place))
                    .map_err(|_| "its experiment file cannot be read".to_owned())?;
                let inside = |path: PathBuf| {
                    Some(path.canonicalize().ok()?.strip_prefix(folder.canonicalize().ok()?).ok()?.to_str()?.to_owned())
                };
                files.extend(found.into_iter().filter_map(inside));
            }
            files.extend(source.code.keys().cloned());
        }
        let runs = plan.runs.iter().map(|run| run.run.to_string()).collect();
        Ok(Self { experiment: plan.experiment.clone(), profile: plan.profile.clone(), runs, files })
    }

    fn has(&self, place: &str) -> bool {
        let Self { experiment, profile, runs, files } = self;
        let is_own = |e: &str, p: &str| (e, p) == (experiment.as_str(), profile.as_str());
        let is_number = |text: &str| text.parse::<u32>().is_ok_and(|number| number > 0 && number.to_string() == text);
        match place.split('/').collect::<Vec<_>>().as_slice() {
            [RESULTS, "runs", run, "run.json" | "tags.json"] => runs.contains(*run),
            [RESULTS, "runs", run, "attempts", number, file] => {
                let known = ["orders.json", "journal.jsonl", "supervisor.jsonl", "log.txt", WEIGHTS_FILE];
                runs.contains(*run)
                    && is_number(number)
                    && (known.contains(file) || EpochWeightsName::parse(file).is_some())
            }
            [RESULTS, "experiments", e, p, "plan.json"] | [RESULTS, "published", e, p, _] => is_own(e, p),
            [RESULTS, "experiments", e, p, "throughput", "records", file] => is_own(e, p) && file.ends_with(".json"),
            [REPORTS, file] => file.strip_suffix(".toml") == Some(experiment),
            [REPORTS, e, p, _] if is_own(e, p) => true,
            [REPORTS, .., file] => file.ends_with(".toml"),
            [RESULTS, ..] => false,
            _ => files.contains(place),
        }
    }
}

/// A bundle contradicts what is here.
#[derive(Debug, thiserror::Error)]
#[error("the bundle contradicts what is here, so nothing was changed:\n  {0}\nimport it in an empty folder")]
pub(crate) struct Contradiction(String);

/// What an import does.
pub(crate) struct Merge {
    /// Runs that are new here.
    pub(crate) new: Vec<RunId>,
    /// Runs that have not succeeded here, but in the bundle. What is here is set aside.
    pub(crate) replaced: Vec<RunId>,
    /// Runs that are here already, with the same values or further.
    pub(crate) kept: usize,
    /// Weights of such runs that are not here yet: their places in the bundle.
    weights: Vec<String>,
    /// Files to write, with their bytes.
    files: BTreeMap<PathBuf, Incoming>,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

impl Merge {
    /// Compares a bundle with what is here: `root` is the project's folder.
    ///
    /// # Errors
    /// When the bundle contradicts what is here. The error names what differs.
    pub(crate) async fn of(
        staged: &Staged,
        (root, layout): (&Path, &ResultsLayout),
        results: &mut Reader,
    ) -> Result<Self> {
        let mut merge = Self {
            new: Vec::new(),
            replaced: Vec::new(),
            kept: 0,
            weights: Vec::new(),
            files: BTreeMap::new(),
            notes: Vec::new(),
        };
        let mut contradictions = Vec::new();
        merge.compare_runs(staged, layout, results, &mut contradictions).await?;
        merge.compare_plan(staged, (root, layout), &mut contradictions)?;
        merge.compare_files(staged, (root, layout), &mut contradictions)?;
        if contradictions.is_empty() {
            return Ok(merge);
        }
        let more = contradictions.len().saturating_sub(MOST_NAMED);
        contradictions.truncate(MOST_NAMED);
        if more > 0 {
            contradictions.push(format!("and {more} more"));
        }
        Err(Contradiction(contradictions.join("\n  ")).into())
    }

    async fn compare_runs(
        &mut self,
        staged: &Staged,
        layout: &ResultsLayout,
        results: &mut Reader,
        contradictions: &mut Vec<String>,
    ) -> Result<()> {
        let runs = staged.runs()?;
        let mut theirs = Reader::open(&staged.layout()).await?;
        let (their_rows, their_values) = theirs.rows_of(&runs, |_| Epochs::All).await?;
        let damage = theirs.take_damage();
        theirs.close().await?;
        if let Some(damage) = damage.into_iter().next() {
            return Err(damage.into());
        }
        let (own_rows, own_values) = results.rows_of(&runs, |_| Epochs::All).await?;
        let submitted = sweep_runner::submitted(layout, &runs)?;
        let (their_values, own_values) = (by_run(&their_values), by_run(&own_values));
        for (their, own) in their_rows.iter().zip(&own_rows) {
            let run = their.run;
            if !layout.run(run).root().exists() {
                self.new.push(run);
            } else if submitted.iter().any(|found| found.of.run == run) {
                contradictions.push(format!("run {} is in the queue of Slurm here", run.short()));
            } else if own.status != Status::Succeeded && their.status == Status::Succeeded {
                self.replaced.push(run);
            } else if own.status == Status::Succeeded && their.status == Status::Succeeded {
                let values = [&own_values, &their_values].map(|values| values.get(&run).copied().unwrap_or_default());
                match difference([own, their], values) {
                    Some(difference) => contradictions.push(format!("run {}: {difference}", run.short())),
                    None => {
                        self.kept += 1;
                        self.weights.extend(staged.missing_weights(layout, run));
                    }
                }
            } else {
                self.kept += 1;
            }
        }
        Ok(())
    }

    fn compare_plan(
        &mut self,
        staged: &Staged,
        (root, layout): (&Path, &ResultsLayout),
        contradictions: &mut Vec<String>,
    ) -> Result<()> {
        let origin = &staged.manifest.origin;
        let mut plan: PlanRecord = serde_json::from_slice(&staged.read(&staged.plan_place())?)?;
        // A plan names its file as seen from the results folder. Where it may be was checked before.
        if let Some(PlanSource { file, .. }) = &mut plan.source
            && let Some(place) = file.strip_prefix("../")
        {
            *file = plan_file::seen_from_results(layout, &root.join(place));
        }
        let path = layout.plan(&origin.experiment, &origin.profile);
        if path.symlink_metadata().is_err() {
            self.files.insert(path, Incoming::Bytes(serde_json::to_vec_pretty(&plan)?));
            return Ok(());
        }
        let bytes = read_regular_file(&path).with_context(|| format!("{} is in the way", path.display()))?;
        let Ok(own) = serde_json::from_slice::<PlanRecord>(&bytes) else {
            bail!("{} is damaged: `run` writes it again", path.display());
        };
        if !plan_file::is_same_plan(&own, &plan) {
            let what = if own.runs == plan.runs { "other settings or claims" } else { "other runs" };
            contradictions.push(format!("{}: the plan of the bundle has {what}", path.display()));
        }
        Ok(())
    }

    /// Compares all files except runs and the plan.
    fn compare_files(
        &mut self,
        staged: &Staged,
        (root, layout): (&Path, &ResultsLayout),
        contradictions: &mut Vec<String>,
    ) -> Result<()> {
        for place in staged.manifest.files.keys() {
            if place.starts_with("results/runs/") || *place == staged.plan_place() {
                continue;
            }
            let (top, inner) = match place.strip_prefix("results/") {
                Some(inner) => (layout.root(), inner),
                None => (root, place.as_str()),
            };
            let path = top.join(inner);
            if let Some(link) = link_on_the_way(top, inner) {
                contradictions.push(format!("{} is a link, and an import follows none", link.display()));
                continue;
            }
            if path.symlink_metadata().is_err() {
                self.files.insert(path, Incoming::Staged(place.clone()));
                continue;
            }
            let own = read_regular_file(&path).with_context(|| format!("{} is in the way", path.display()))?;
            if own == staged.read(place)? {
                continue;
            }
            let is_rendering = place.starts_with(REPORTS) && !place.ends_with(".toml");
            if place.contains("/throughput/records/") {
                self.notes.push(format!("{} stays as it is here: this machine was timed again", path.display()));
            } else if place.starts_with("results/published/") || is_rendering {
                self.notes.push(format!("{} stays as it is here; `report` renders it again", path.display()));
            } else {
                contradictions.push(format!("{} is another file", path.display()));
            }
        }
        Ok(())
    }

    /// Number of files with weights that runs get which are here already.
    pub(crate) fn weights(&self) -> usize {
        self.weights.len()
    }

    /// Does what was compared. Each step is complete or not begun, so an import that was interrupted can be repeated.
    pub(crate) fn carry_out(&self, staged: &Staged, layout: &ResultsLayout) -> Result<()> {
        // Where files cannot be written, no run is moved.
        for (path, incoming) in &self.files {
            incoming.write(path, staged)?;
        }
        create_folders(&layout.runs()).with_context(|| unwritable(&layout.runs()))?;
        for run in self.new.iter().chain(&self.replaced) {
            if self.replaced.contains(run) {
                set_aside(staged, layout, *run)?;
            }
            move_to(staged.layout().run(*run).root(), layout.run(*run).root())?;
        }
        sync_folder(&layout.runs()).with_context(|| unwritable(&layout.runs()))?;
        for place in &self.weights {
            let Some(inner) = place.strip_prefix("results/") else { continue };
            move_to(&staged.folder.0.join(place), &layout.root().join(inner))?;
        }
        Ok(())
    }
}

/// A file to write.
enum Incoming {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The file at this place of the bundle.
    Staged(String),
}

impl Incoming {
    fn write(&self, path: &Path, staged: &Staged) -> Result<()> {
        if let Some(folder) = path.parent() {
            create_folders(folder).with_context(|| unwritable(folder))?;
        }
        match self {
            Self::Bytes(bytes) => write_atomically(path, bytes).with_context(|| unwritable(path)),
            Self::Staged(place) => {
                let from = staged.folder.0.join(place);
                if fs::rename(&from, path).is_ok() {
                    return Ok(());
                }
                // The project may be on another file system than its results.
                let mode = fs::metadata(&from)?.permissions();
                write_atomically(path, &staged.read(place)?).with_context(|| unwritable(path))?;
                fs::set_permissions(path, mode).with_context(|| unwritable(path))
            }
        }
    }
}

/// Moves a run that is here out of the way. What people wrote down about it goes on with the run.
fn set_aside(staged: &Staged, layout: &ResultsLayout, run: RunId) -> Result<()> {
    let folder = layout.replaced();
    create_folders(&folder).with_context(|| unwritable(&folder))?;
    let (own, their) = (layout.run(run).tags(), staged.layout().run(run).tags());
    if own.is_file() && !their.exists() {
        fs::copy(&own, &their).with_context(|| unwritable(&their))?;
    }
    let free = (1_u32..).map(|number| folder.join(format!("{run}.{number}"))).find(|path| !path.exists());
    move_to(layout.run(run).root(), &free.unwrap_or_else(|| folder.join(run.to_string())))?;
    sync_folder(&folder).with_context(|| unwritable(&folder))
}

fn move_to(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| unwritable(to))
}

fn unwritable(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

/// Returns the first link among the folders from `top` to a file below it.
fn link_on_the_way(top: &Path, inner: &str) -> Option<PathBuf> {
    let mut path = top.to_owned();
    inner.split('/').find_map(|part| {
        path.push(part);
        path.symlink_metadata().is_ok_and(|found| found.is_symlink()).then(|| path.clone())
    })
}

fn by_run(rows: &[MeasurementRow]) -> BTreeMap<RunId, &[MeasurementRow]> {
    rows.chunk_by(|a, b| a.run == b.run).map(|of_run| (of_run[0].run, of_run)).collect()
}

/// Returns the first difference of a run here and in a bundle, except for times, which differ from machine to machine.
fn difference([own, their]: [&RunRow; 2], values: [&[MeasurementRow]; 2]) -> Option<String> {
    let timeless = |rows: &[MeasurementRow]| -> BTreeMap<_, f64> {
        let kept = rows.iter().map(|row| row.measurement).filter(|m| !m.metric.is_timing());
        kept.map(|m: Measurement| ((m.metric, m.split, m.form, m.epoch), m.value)).collect()
    };
    let [ours, theirs] = values.map(timeless);
    let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let other =
        keys.into_iter().find(|key| ours.get(key).map(|v| v.to_bits()) != theirs.get(key).map(|v| v.to_bits()))?;
    let (metric, split, _, epoch) = other;
    let split = split.map(|split| format!("{} ", split.name())).unwrap_or_default();
    let at = epoch.map(|epoch| format!(" of epoch {epoch}")).unwrap_or_default();
    let shown = |value: Option<&f64>| value.map_or_else(|| "not measured".to_owned(), f64::to_string);
    let [here, there] = [&ours, &theirs].map(|values| shown(values.get(other)));
    let why = match (&own.arithmetic, &their.arithmetic) {
        (Some(own), Some(their)) if own != their => {
            format!("; it was computed with {own} here, and with {their} there")
        }
        _ => String::new(),
    };
    Some(format!("{split}{}{at} is {here} here and {there} in the bundle{why}", metric.title()))
}

/// Whether a path is a folder, and no link to one.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}
