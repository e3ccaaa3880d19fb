//! The files of a run's folder: its configuration, orders for a new attempt, checkpoints, the end of a log.
//!
//! Knows names and formats, not processes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sweep_protocol::{
    AttemptLayout, CheckpointName, Lease, ResultsLayout, RunLayout, Status, attempt_numbers, create_folders,
    create_new_folder, now_ms, remove_temporaries, sync_folder, write_atomically,
};

use crate::error::{unreadable, unwritable};
use crate::{Options, RunnerError, Slot, WorkItem};

/// Whether an attempt measures throughput at the end of its training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Throughput {
    /// It does: nothing else runs beside it.
    Now,
    /// It ends without, and another attempt will when everything is quiet.
    Later,
}

/// An attempt's folder, ready for its process.
pub(crate) struct NewAttempt {
    pub(crate) number: u32,
    pub(crate) folder: AttemptLayout,
}

/// Makes the folder of the run's next attempt, with its orders.
pub(crate) fn prepare(
    layout: &ResultsLayout,
    item: &WorkItem,
    options: &Options,
    slot: &Slot,
    throughput: Throughput,
) -> Result<NewAttempt, RunnerError> {
    let run = layout.run(item.run);
    create_folders(&run.attempts()).map_err(unwritable(&run.attempts()))?;
    keep_config(&run, item)?;

    let earlier = attempts_of(&run)?;
    let number = earlier.last().map_or(1, |last| last.saturating_add(1));
    let folder = run.attempt(number);
    create_new_folder(folder.root()).map_err(unwritable(folder.root()))?;
    let token = token(item, number);
    Lease::grant(&folder.lease(), &token).map_err(unwritable(&folder.lease()))?;

    let resume_from: Vec<PathBuf> = earlier.iter().rev().map(|&n| run.attempt(n).root().to_owned()).collect();
    let fault = |source| RunnerError::Orders { path: folder.orders(), source };
    let mut orders = options.orders.clone();
    orders.insert("device".to_owned(), slot.device.as_str().into());
    orders.insert("threads".to_owned(), slot.threads.into());
    orders.insert("lease".to_owned(), token.into());
    orders.insert("resume_from".to_owned(), serde_json::to_value(resume_from).map_err(fault)?);
    orders.insert("throughput".to_owned(), serde_json::to_value(throughput).map_err(fault)?);
    let text = serde_json::to_vec_pretty(&orders).map_err(fault)?;
    write_atomically(&folder.orders(), &text).map_err(unwritable(&folder.orders()))?;
    Ok(NewAttempt { number, folder })
}

/// A word that no other scheduler grants for this attempt.
fn token(item: &WorkItem, attempt: u32) -> String {
    format!("{}-{attempt}-{}-{}", item.run.short(), std::process::id(), now_ms())
}

/// Writes what the run's identity is the digest of, byte for byte; or finds it written. A file with another content is damaged: it is set
/// aside, since the plan has what belongs there.
fn keep_config(run: &RunLayout, item: &WorkItem) -> Result<(), RunnerError> {
    let path = run.config();
    let text = format!("{{\"config\":{},\"seed\":{}}}", item.config_json, item.seed);
    match fs::read(&path) {
        Ok(found) if found == text.as_bytes() => return Ok(()),
        Ok(_) => set_aside(run, &path)?,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
        Err(_) if path.is_dir() => set_aside(run, &path)?,
        Err(source) => return Err(RunnerError::Unreadable { path, source }),
    }
    write_atomically(&path, text.as_bytes()).map_err(unwritable(&path))
}

/// Moves a damaged file of a run into its folder `damaged`, under a name that is free there.
fn set_aside(run: &RunLayout, path: &Path) -> Result<(), RunnerError> {
    let folder = run.damaged();
    create_folders(&folder).map_err(unwritable(&folder))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (1_u32..).map(|number| folder.join(format!("{name}.{number}"))).find(|target| !target.exists());
    let target = free.unwrap_or_else(|| folder.join(name));
    fs::rename(path, &target).and_then(|()| sync_folder(run.root())).map_err(unwritable(path))
}

/// The numbers of a run's attempts, in order.
pub(crate) fn attempts_of(run: &RunLayout) -> Result<Vec<u32>, RunnerError> {
    attempt_numbers(run).map_err(unreadable(&run.attempts()))
}

/// Leaves of a run's checkpoints what its next attempt may need: none after success, otherwise the newest and one
/// before it, in case that one is damaged. Newest are those of later attempts, then those of more steps. Temporary files that killed
/// attempts left go too.
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

/// Whether this is the name of a file that is written into an attempt's folder as a whole.
fn is_written_here(file: &str) -> bool {
    CheckpointName::parse(file).is_some() || ["lease", "orders.json", "weights.safetensors"].contains(&file)
}

/// The last lines of a log; nothing when there is none.
pub(crate) fn log_tail(path: &Path) -> Result<String, RunnerError> {
    const BYTES: u64 = 4096;
    const LINES: usize = 10;
    let read_end = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let end = match read_end() {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Vec::new(),
        end => end.map_err(unreadable(path))?,
    };
    let text = String::from_utf8_lossy(&end).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LINES)..].join("\n"))
}

/// The names in a folder that are text; none when it does not exist.
fn names_in(path: &Path) -> Result<Vec<String>, RunnerError> {
    match fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => Ok(entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect()),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(RunnerError::Unreadable { path: path.to_owned(), source }),
    }
}
