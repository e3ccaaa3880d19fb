//! Merges a bundle into a project. Everything is compared first: a bundle that contradicts what is there changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sweep_bundle::{BundleError, Manifest, check_place, unpack};
use sweep_protocol::{
    Epochs, Measurement, MeasurementRow, PlanRecord, PlanSource, ResultsLayout, RunFile, RunId, RunRow, Status,
    ThroughputRecord, check_name, create_folders, create_new_folder, read_regular_file, sync_folder, write_atomically,
};
use sweep_store::Reader;

use super::{REPORTS, RESULTS};
use crate::exit::UsageError;
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
        let planned: BTreeSet<String> = plan.runs.iter().map(|run| run.run.to_string()).collect();
        for place in self.manifest.files.keys() {
            let parts: Vec<&str> = place.split('/').collect();
            let is_known = match parts.as_slice() {
                ["results", "runs", run, "run.json" | "tags.json"] => planned.contains(*run),
                ["results", "runs", run, "attempts", number, _] => {
                    planned.contains(*run) && number.parse::<u32>().is_ok_and(|number| number > 0)
                }
                ["results", "experiments", e, p, "plan.json"] | ["results", "published", e, p, _] => {
                    (*e, *p) == (experiment, profile)
                }
                ["results", "experiments", e, p, "throughput", "records", _] => (*e, *p) == (experiment, profile),
                ["results", ..] => false,
                _ => true,
            };
            if !is_known {
                return Err(format!("`{place}` is no file of its sweep"));
            }
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

/// What an import does.
pub(crate) struct Merge {
    /// Runs that are new here.
    pub(crate) new: Vec<RunId>,
    /// Runs that have not succeeded here, but in the bundle. What is here is set aside.
    pub(crate) replaced: Vec<RunId>,
    /// Runs that are here already, with the same values or further.
    pub(crate) kept: usize,
    /// Files to write, with their bytes.
    files: BTreeMap<PathBuf, Incoming>,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// A file to write.
struct Incoming {
    bytes: Vec<u8>,
    is_executable: bool,
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
        let mut merge =
            Self { new: Vec::new(), replaced: Vec::new(), kept: 0, files: BTreeMap::new(), notes: Vec::new() };
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
        let text = contradictions.join("\n  ");
        Err(UsageError(format!(
            "the bundle contradicts what is here, so nothing was changed:\n  {text}\nimport it in an empty folder, or \
             into another results folder with --results"
        ))
        .into())
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
                    None => self.kept += 1,
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
        // A plan names its file as seen from the results folder.
        if let Some(PlanSource { file, .. }) = &mut plan.source
            && let Some(place) = file.strip_prefix("../").filter(|place| check_place(place).is_ok())
        {
            *file = plan_file::seen_from_results(layout, &root.join(place));
        }
        let path = layout.plan(&origin.experiment, &origin.profile);
        let Ok(bytes) = read_regular_file(&path) else {
            let bytes = serde_json::to_vec_pretty(&plan)?;
            self.files.insert(path, Incoming { bytes, is_executable: false });
            return Ok(());
        };
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
        for (place, record) in &staged.manifest.files {
            if place.starts_with("results/runs/") || *place == staged.plan_place() {
                continue;
            }
            let path = match place.strip_prefix("results/") {
                Some(inner) => layout.root().join(inner),
                None => root.join(place),
            };
            let bytes = staged.read(place)?;
            if path.symlink_metadata().is_err() {
                self.files.insert(path, Incoming { bytes, is_executable: record.executable });
                continue;
            }
            let own = read_regular_file(&path).with_context(|| format!("{} is in the way", path.display()))?;
            if own == bytes {
                continue;
            }
            let depth = place.split('/').count();
            if place.contains("/throughput/records/") {
                if measured_at(&bytes) > measured_at(&own) {
                    self.files.insert(path, Incoming { bytes, is_executable: false });
                }
            } else if place.starts_with("results/published/") || (place.starts_with(REPORTS) && depth > 3) {
                let text = format!("{} stays as it is here; `report` renders it again", path.display());
                self.notes.push(text);
            } else {
                contradictions.push(format!("{} is another file", path.display()));
            }
        }
        Ok(())
    }

    /// Does what was compared. Each step is complete or not begun, so an import that was interrupted can be repeated.
    pub(crate) fn carry_out(&self, staged: &Staged, layout: &ResultsLayout) -> Result<()> {
        create_folders(&layout.runs())?;
        for run in &self.replaced {
            let folder = layout.replaced();
            create_folders(&folder)?;
            let free = (1_u32..).map(|number| folder.join(format!("{run}.{number}"))).find(|path| !path.exists());
            let target = free.unwrap_or_else(|| folder.join(run.to_string()));
            fs::rename(layout.run(*run).root(), &target)?;
            sync_folder(&folder)?;
        }
        for run in self.new.iter().chain(&self.replaced) {
            fs::rename(staged.layout().run(*run).root(), layout.run(*run).root())
                .with_context(|| format!("run {} cannot be moved to its place", run.short()))?;
        }
        sync_folder(&layout.runs())?;
        for (path, Incoming { bytes, is_executable }) in &self.files {
            if let Some(folder) = path.parent() {
                create_folders(folder)?;
            }
            write_atomically(path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
            if *is_executable {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
            }
        }
        Ok(())
    }
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

fn measured_at(bytes: &[u8]) -> Option<u64> {
    serde_json::from_slice::<ThroughputRecord>(bytes).ok().map(|record| record.measured_at_ms)
}
