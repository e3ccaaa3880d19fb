//! The files of a run's folder: its configuration, orders for a new attempt, checkpoints, the end of a log.
//!
//! Knows names and formats, not processes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sweep_protocol::{AttemptLayout, ResultsLayout, RunLayout, Status, write_atomically};

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
    fs::create_dir_all(run.attempts()).map_err(unwritable(&run.attempts()))?;
    keep_config(&run.config(), item)?;

    let earlier = attempt_numbers(&run)?;
    let number = earlier.last().map_or(1, |last| last + 1);
    let folder = run.attempt(number);
    fs::create_dir(folder.root()).map_err(unwritable(folder.root()))?;

    let resume_from: Vec<PathBuf> = earlier.iter().rev().map(|&n| run.attempt(n).root().to_owned()).collect();
    let fault = |source| RunnerError::Orders { path: folder.orders(), source };
    let mut orders = options.orders.clone();
    orders.insert("device".to_owned(), slot.device.as_str().into());
    orders.insert("threads".to_owned(), slot.threads.into());
    orders.insert("resume_from".to_owned(), serde_json::to_value(resume_from).map_err(fault)?);
    orders.insert("throughput".to_owned(), serde_json::to_value(throughput).map_err(fault)?);
    let text = serde_json::to_vec_pretty(&orders).map_err(fault)?;
    write_atomically(&folder.orders(), &text).map_err(unwritable(&folder.orders()))?;
    Ok(NewAttempt { number, folder })
}

/// Writes what the run's identity is the digest of, byte for byte; or finds it written.
fn keep_config(path: &Path, item: &WorkItem) -> Result<(), RunnerError> {
    let text = format!("{{\"config\":{},\"seed\":{}}}", item.config_json, item.seed);
    match fs::read(path) {
        Ok(found) if found == text.as_bytes() => Ok(()),
        Ok(_) => Err(RunnerError::OtherRun { path: path.to_owned() }),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            write_atomically(path, text.as_bytes()).map_err(unwritable(path))
        }
        Err(source) => Err(RunnerError::Unreadable { path: path.to_owned(), source }),
    }
}

/// The numbers of a run's attempts, in order.
pub(crate) fn attempt_numbers(run: &RunLayout) -> Result<Vec<u32>, RunnerError> {
    let names = names_in(&run.attempts())?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Leaves of a run's checkpoints what its next attempt may need: none after success, otherwise the newest and one
/// before it, in case that one is damaged. Newest are those of later attempts, then those of more steps.
pub(crate) fn tidy(run: &RunLayout, status: Status) -> Result<(), RunnerError> {
    let keep = if status == Status::Succeeded { 0 } else { 2 };
    let mut checkpoints = Vec::new();
    for number in attempt_numbers(run)? {
        let folder = run.attempt(number);
        let is_checkpoint = |name: &String| name.starts_with("checkpoint-") && name.ends_with(".safetensors");
        let names = names_in(folder.root())?.into_iter().filter(is_checkpoint);
        // A longer name has more digits, so this order is that of the steps with and without leading zeros.
        checkpoints.extend(names.map(|name| (number, name.len(), name)));
    }
    checkpoints.sort();
    for (number, _, name) in checkpoints.iter().rev().skip(keep) {
        let path = run.attempt(*number).root().join(name);
        fs::remove_file(&path).map_err(unwritable(&path))?;
    }
    Ok(())
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
    let text = String::from_utf8_lossy(&read_end().map_err(unreadable(path))?).into_owned();
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
