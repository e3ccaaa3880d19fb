//! The files of a run's folder: its configuration, the orders of a new attempt, and checkpoints.
//!
//! This module knows names and formats, not processes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sweep_protocol::{
    AttemptName, CheckpointName, EpochWeightsName, Lease, Orders, ResultsLayout, RunLayout, SharedOrders, Status,
    WEIGHTS_FILE, attempt_numbers, create_folders, create_new_folder, next_attempt_number, now_ms, read_regular_file,
    refuse_link, remove_temporaries, sync_folder, write_atomically,
};

use crate::error::{unreadable, unwritable};
use crate::{RunnerError, Slot, WorkItem};

/// Creates the folder of the run's next attempt and writes its orders. Returns the name of the attempt.
pub(crate) fn prepare(
    layout: &ResultsLayout,
    item: &WorkItem,
    orders: &SharedOrders,
    slot: Slot,
) -> Result<AttemptName, RunnerError> {
    let run = layout.run(item.run);
    for folder in [run.root(), &run.attempts()] {
        refuse_link(folder).map_err(unwritable(folder))?;
    }
    create_folders(&run.attempts()).map_err(unwritable(&run.attempts()))?;
    keep_config(&run, item)?;

    let earlier = attempts_of(&run)?;
    let number = next_attempt_number(&run).map_err(unreadable(&run.attempts()))?;
    let folder = run.attempt(number);
    create_new_folder(folder.root()).map_err(unwritable(folder.root()))?;
    let token = token(item, number);
    Lease::grant(&folder.lease(), &token).map_err(unwritable(&folder.lease()))?;

    let resume_from: Vec<PathBuf> = earlier.iter().rev().map(|&n| run.attempt(n).root().to_owned()).collect();
    let SharedOrders { data, kernels, project, digests, metrics } = orders.clone();
    let orders = Orders {
        device: slot.device,
        threads: slot.threads,
        data,
        kernels,
        project,
        digests,
        metrics,
        lease: Some(token),
        resume_from,
    };
    let fault = |source| RunnerError::Orders { path: folder.orders(), source };
    let text = serde_json::to_vec_pretty(&orders).map_err(fault)?;
    write_atomically(&folder.orders(), &text).map_err(unwritable(&folder.orders()))?;
    Ok(AttemptName { run: item.run, attempt: number })
}

/// A lease token that no other scheduler grants for this attempt.
fn token(item: &WorkItem, attempt: u32) -> String {
    format!("{}-{attempt}-{}-{}", item.run.short(), std::process::id(), now_ms())
}

/// Writes the text that the run's identity is the digest of, byte for byte. A file that already holds this text is
/// kept. A file with other content is damaged: it is moved to the folder `damaged` and written again, since the plan
/// holds the right content.
fn keep_config(run: &RunLayout, item: &WorkItem) -> Result<(), RunnerError> {
    let path = run.config();
    let text = item.file.text();
    match read_regular_file(&path) {
        Ok(found) if found == text.as_bytes() => return Ok(()),
        Ok(_) => set_aside(run, &path)?,
        // A pipe, a folder, or a link to nothing.
        Err(fault) if fault.kind() == io::ErrorKind::InvalidInput || path.is_symlink() => set_aside(run, &path)?,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(RunnerError::Unreadable { path, source }),
    }
    write_atomically(&path, text.as_bytes()).map_err(unwritable(&path))
}

/// Moves a damaged file of a run into its folder `damaged`, under a name that is not yet used there.
fn set_aside(run: &RunLayout, path: &Path) -> Result<(), RunnerError> {
    let folder = run.damaged();
    create_folders(&folder).map_err(unwritable(&folder))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (1_u32..).map(|number| folder.join(format!("{name}.{number}"))).find(|target| !target.exists());
    let target = free.unwrap_or_else(|| folder.join(name));
    fs::rename(path, &target).and_then(|()| sync_folder(run.root())).map_err(unwritable(path))
}

/// The numbers of a run's attempts, ascending.
pub(crate) fn attempts_of(run: &RunLayout) -> Result<Vec<u32>, RunnerError> {
    attempt_numbers(run).map_err(unreadable(&run.attempts()))
}

/// Removes the checkpoints of a run that its next attempt does not need. After success none is kept. Otherwise the
/// newest two are kept, since the newest may be damaged. A checkpoint is newer if its attempt is later or, within an
/// attempt, if it has more steps. Temporary files of killed attempts are removed too.
pub(crate) fn tidy(run: &RunLayout, status: Status) -> Result<(), RunnerError> {
    let keep = if status == Status::Succeeded { 0 } else { 2 };
    remove_temporaries(run.root(), |file| file == "run.json").map_err(unwritable(run.root()))?;
    let mut checkpoints = Vec::new();
    for number in attempts_of(run)? {
        let folder = run.attempt(number);
        remove_temporaries(folder.root(), is_written_here).map_err(unwritable(folder.root()))?;
        let names =
            names_in(folder.root())?.into_iter().filter_map(|name| Some((number, CheckpointName::parse(&name)?, name)));
        checkpoints.extend(names);
    }
    checkpoints.sort();
    for (number, _, name) in checkpoints.iter().rev().skip(keep) {
        let path = run.attempt(*number).root().join(name);
        fs::remove_file(&path).map_err(unwritable(&path))?;
    }
    Ok(())
}

/// Whether a file of this name in an attempt's folder is written atomically, through a temporary file.
fn is_written_here(file: &str) -> bool {
    let is_weights = CheckpointName::parse(file).is_some() || EpochWeightsName::parse(file).is_some();
    is_weights || ["lease", "orders.json", WEIGHTS_FILE].contains(&file)
}

/// The names in a folder that are valid UTF-8; none if the folder does not exist.
fn names_in(path: &Path) -> Result<Vec<String>, RunnerError> {
    match fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => Ok(entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect()),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(RunnerError::Unreadable { path: path.to_owned(), source }),
    }
}
