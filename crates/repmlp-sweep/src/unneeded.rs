//! Finds what nothing in a results folder needs any more: plans whose experiment file is gone, runs that no plan has,
//! attempts that a later one replaced, checkpoints of finished runs, and submissions to Slurm that have ended.
//!
//! Only files that the program or the command of a run wrote are listed. Other files in these folders are the user's
//! and stay, and so does everything behind a link. A run with tags or a note stays too.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sweep_protocol::{
    AttemptLayout, CheckpointName, EpochWeightsName, JournalReader, PlanRecord, ResultsLayout, RunId, RunLayout,
    RunTags, Status, SupervisorEvent, WEIGHTS_FILE, attempt_numbers,
};
use sweep_runner::{Submitted, submitted};
use sweep_slurm::{Manifest, Submission};
use sweep_store::{Damage, Reader};

use crate::plan_file;

/// Something that can go.
#[derive(Debug)]
pub(crate) struct Unneeded {
    /// What it is, and why nothing needs it.
    pub(crate) what: String,
    files: Vec<PathBuf>,
    /// Folders that are removed if they are empty then, innermost first.
    folders: Vec<PathBuf>,
}

impl Unneeded {
    fn new(what: String) -> Self {
        Self { what, files: Vec::new(), folders: Vec::new() }
    }

    /// Bytes that its files take.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| fs::symlink_metadata(file).ok()).map(|found| found.len()).sum()
    }

    /// Removes its files, and the folders that are empty then.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for file in &self.files {
            match fs::remove_file(file) {
                Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
                _ => {}
            }
        }
        for folder in &self.folders {
            match fs::remove_dir(folder) {
                Err(fault) if !is_harmless(&fault) => return Err(fault),
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, file: PathBuf) {
        if !self.files.contains(&file) && fs::symlink_metadata(&file).is_ok_and(|found| found.is_file()) {
            self.files.push(file);
        }
    }
}

fn is_harmless(fault: &io::Error) -> bool {
    matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty)
}

/// Returns the recorded plan of an experiment and profile.
pub(crate) fn plan(layout: &ResultsLayout, plan: &PlanRecord, why: &str) -> Unneeded {
    let (experiment, profile) = (plan.experiment.as_str(), plan.profile.as_str());
    let mut unneeded = Unneeded::new(format!("the plan of {experiment} ({profile}): {why}"));
    let folder = layout.plans().join(experiment);
    if is_folder(&folder) && is_folder(&folder.join(profile)) {
        unneeded.add(layout.plan(experiment, profile));
        unneeded.add(layout.rendered(experiment, profile));
        let throughput = layout.throughput(experiment, profile);
        if is_folder(throughput.root()) && is_folder(&throughput.records()) {
            let records = fs::read_dir(throughput.records()).into_iter().flatten().flatten().map(|entry| entry.path());
            let is_record = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
            records.filter(is_record).for_each(|record| unneeded.add(record));
            unneeded.add(throughput.orders());
            unneeded.add(throughput.log());
            unneeded.folders.extend([throughput.records(), throughput.root().to_owned()]);
        }
        unneeded.folders.extend([folder.join(profile), folder]);
    }
    unneeded
}

/// Whether there is a folder at a path. A link to a folder is none.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Whether the file of a plan was removed. If its folder is gone too, the disk may only be absent.
fn is_removed(file: &Path) -> bool {
    !file.exists() && file.parent().is_some_and(Path::is_dir)
}

/// What nothing needs.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) unneeded: Vec<Unneeded>,
    /// Runs that no plan has, but that are in the queue of Slurm. They stay.
    pub(crate) in_queue: Vec<Submitted>,
}

/// Returns everything that nothing needs.
///
/// # Errors
/// When a plan cannot be read, since nothing then says which runs it needs.
pub(crate) fn all(layout: &ResultsLayout, results: &mut Reader) -> Result<Found> {
    let mut found = Vec::new();
    let plans = results.plans();
    if let Some(damage) = results.take_damage().into_iter().find(|damage| !matches!(damage, Damage::Index { .. })) {
        return Err(damage).context("nothing can be removed, since the runs of a plan are not known");
    }
    let (gone, kept): (Vec<_>, Vec<_>) =
        plans.into_iter().partition(|plan| plan_file::file_of(layout, plan).is_some_and(|file| is_removed(&file)));
    found.extend(gone.iter().map(|gone| plan(layout, gone, "its experiment file is gone")));
    let needed: BTreeSet<RunId> = kept.iter().flat_map(|plan| &plan.runs).map(|run| run.run).collect();
    let runs = results.runs();
    let rows = results.run_rows(&runs)?;
    let (submissions, programs) = Submission::all(layout)?;
    let open = rows.iter().filter(|row| !submissions.is_empty() && !row.status.is_finished()).map(|row| row.run);
    let in_queue = submitted(layout, &open.collect::<Vec<_>>())?;
    let is_in_queue = |run: RunId| in_queue.iter().any(|attempt| attempt.of.run == run);
    for row in &rows {
        let run = layout.run(row.run);
        if !is_folder(run.root()) || !is_folder(&run.attempts()) {
            continue;
        }
        if is_in_queue(row.run) {
            continue;
        }
        if !needed.contains(&row.run) {
            found.push(whole_run(&run, row.run)?);
        } else if row.status == Status::Succeeded {
            found.extend(remains_of(&run, row.run)?);
        }
    }
    found.extend(ended(&submissions, programs, is_in_queue));
    found.retain(|unneeded| !unneeded.files.is_empty());
    let in_queue = in_queue.into_iter().filter(|attempt| !needed.contains(&attempt.of.run)).collect();
    Ok(Found { unneeded: found, in_queue })
}

/// Returns submissions without a run that is in the queue, and copies of the program that no other submission names. A
/// submission whose manifest cannot be read stays.
fn ended(submissions: &[Submission], programs: Vec<PathBuf>, is_in_queue: impl Fn(RunId) -> bool) -> Vec<Unneeded> {
    let run_of = |attempt: &PathBuf| attempt.parent()?.parent()?.file_name()?.to_str()?.parse::<RunId>().ok();
    let is_needed = |submission: &&Submission| {
        let manifest = Manifest::read(&submission.manifest());
        manifest.map_or(true, |manifest| manifest.attempts.iter().filter_map(run_of).any(&is_in_queue))
    };
    let (needed, over): (Vec<_>, Vec<_>) = submissions.iter().partition(is_needed);
    let scripts: Vec<String> = needed.iter().filter_map(|it| fs::read_to_string(it.script()).ok()).collect();
    let mut found = Vec::new();
    for submission in over {
        let (files, folders) = submission.parts();
        let number = submission.folder().file_name().unwrap_or_default().display();
        let mut unneeded = Unneeded::new(format!("submission {number} to Slurm, which has ended"));
        files.into_iter().for_each(|file| unneeded.add(file));
        unneeded.folders.extend(folders);
        found.push(unneeded);
    }
    for program in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        if !scripts.iter().any(|script| script.contains(&*name)) {
            let mut unneeded = Unneeded::new("a copy of the program, which no submission needs".to_owned());
            unneeded.add(program);
            found.push(unneeded);
        }
    }
    found
}

fn whole_run(run: &RunLayout, id: RunId) -> Result<Unneeded> {
    let mut unneeded = Unneeded::new(format!("run {}: no plan has it", id.short()));
    // Somebody wrote down something about this run.
    if !RunTags::read(&run.tags()).is_ok_and(|tags| tags.is_empty()) {
        return Ok(unneeded);
    }
    for number in attempt_numbers(run)? {
        add_attempt(&run.attempt(number), &mut unneeded);
    }
    unneeded.add(run.config());
    unneeded.add(run.tags());
    unneeded.folders.extend([run.attempts(), run.root().to_owned()]);
    Ok(unneeded)
}

/// Returns earlier attempts and checkpoints of a run that succeeded.
fn remains_of(run: &RunLayout, id: RunId) -> Result<Vec<Unneeded>> {
    let mut numbers = attempt_numbers(run)?;
    let Some(last) = numbers.pop() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    if !numbers.is_empty() {
        let word = if numbers.len() == 1 { "attempt" } else { "attempts" };
        let what = format!("{} earlier {word} of run {}, which succeeded", numbers.len(), id.short());
        let mut unneeded = Unneeded::new(what);
        numbers.iter().for_each(|number| add_attempt(&run.attempt(*number), &mut unneeded));
        // The configuration asks for the weights of these epochs, whichever attempt trained them.
        unneeded.files.retain(|file| !is_epoch_weights(file));
        found.push(unneeded);
    }
    // What a command wrote may be its trained model.
    let mut checkpoints = Unneeded::new(format!("checkpoints of run {}, which succeeded", id.short()));
    checkpoints_of(&run.attempt(last)).into_iter().for_each(|file| checkpoints.add(file));
    found.push(checkpoints);
    Ok(found)
}

fn add_attempt(attempt: &AttemptLayout, unneeded: &mut Unneeded) {
    let files = [attempt.orders(), attempt.lease(), attempt.journal(), attempt.supervisor(), attempt.log()];
    let checkpoints = checkpoints_of(attempt);
    let epochs: Vec<PathBuf> = files_of(attempt).filter(|path| is_epoch_weights(path)).collect();
    let weights = attempt.root().join(WEIGHTS_FILE);
    files.into_iter().chain(checkpoints).chain(epochs).chain([weights]).for_each(|file| unneeded.add(file));
    // The configuration is written for commands only. What was there when the attempt was closed is the command's.
    let is_command = attempt.root().join(sweep_trainer::CONFIG_FILE).exists();
    if let Some(closed) = closed_at(attempt).filter(|_| is_command) {
        add_older(attempt.root(), closed, unneeded);
    }
    unneeded.folders.push(attempt.root().to_owned());
}

/// Returns the time at which an attempt was closed, in milliseconds since 1970; `None` if it is open or its journal is
/// damaged.
fn closed_at(attempt: &AttemptLayout) -> Option<i64> {
    let lines = JournalReader::<SupervisorEvent>::new(&attempt.supervisor()).read_new().ok()?.lines;
    let closed = lines.iter().rev().find(|line| matches!(line.event, SupervisorEvent::Closed { .. }))?;
    i64::try_from(closed.at_ms).ok()
}

/// Adds the files in a folder and below it whose content and metadata did not change after a time. A copy with the
/// times of its original has new metadata. Links are not followed.
fn add_older(folder: &Path, than: i64, unneeded: &mut Unneeded) {
    let ms = |seconds: i64, nanoseconds: i64| seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            add_older(&entry.path(), than, unneeded);
            unneeded.folders.push(entry.path());
        } else if ms(found.mtime(), found.mtime_nsec()).max(ms(found.ctime(), found.ctime_nsec())) <= than {
            unneeded.add(entry.path());
        }
    }
}

/// Returns the checkpoints of an attempt by their names.
fn checkpoints_of(attempt: &AttemptLayout) -> BTreeSet<PathBuf> {
    let is_checkpoint = |path: &PathBuf| name_of(path).is_some_and(|name| CheckpointName::parse(name).is_some());
    files_of(attempt).filter(is_checkpoint).collect()
}

fn is_epoch_weights(path: &Path) -> bool {
    name_of(path).is_some_and(|name| EpochWeightsName::parse(name).is_some())
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

fn files_of(attempt: &AttemptLayout) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(attempt.root()).into_iter().flatten().flatten().map(|entry| entry.path())
}
