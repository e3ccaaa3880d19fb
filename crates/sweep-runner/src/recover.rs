//! Ends and closes the attempts of a dead scheduler, so that none stays `running` for ever.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use sweep_protocol::{
    AttemptLayout, AttemptName, Event, JournalLine, JournalReader, JournalWriter, Lease, ProcessStamp, ResultsLayout,
    RunId, RunLayout, Status, SupervisorEvent, Tally,
};
use tokio::time::{interval, timeout};

use crate::error::unwritable;
use crate::local::{process, worker};
use crate::{RunnerError, SchedulerLock, attempt_folder, closing, record};

/// Interval at which a killed process is checked.
const POLL: Duration = Duration::from_millis(20);
/// Longest wait for a killed process to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open attempt that a cluster runs or will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The attempt.
    pub of: AttemptName,
    /// The cluster's name of the job.
    pub job: String,
    /// Number of the task in the job.
    pub task: u32,
}

/// Returns the open attempts of these runs that were submitted to a cluster, one of each run.
///
/// # Errors
/// When a file cannot be read.
pub fn submitted(layout: &ResultsLayout, runs: &[RunId]) -> Result<Vec<Submitted>, RunnerError> {
    let found = runs.iter().map(|&run| or_none_of_run(submitted_of(&layout.run(run)), &layout.run(run)));
    found.filter_map(Result::transpose).collect()
}

/// Turns an error that concerns this run alone into nothing. Such a run is not closed and not adopted; when it is
/// attempted next, it fails and the reason is said.
fn or_none_of_run<T>(found: Result<Option<T>, RunnerError>, run: &RunLayout) -> Result<Option<T>, RunnerError> {
    found.or_else(|fault| if fault.is_of_run(run) { Ok(None) } else { Err(fault) })
}

/// Returns the last attempt of a run if it was submitted and is open. Attempts that a cluster has started since, and
/// that no scheduler has seen, do not count.
fn submitted_of(run: &RunLayout) -> Result<Option<Submitted>, RunnerError> {
    for attempt in attempt_folder::attempts_of(run)?.into_iter().rev() {
        let lines = or_none_of_run(lines_about(&run.attempt(attempt)).map(Some), run)?.unwrap_or_default();
        match lines.into_iter().next_back().map(|line| line.event) {
            // The folder of a run that was copied names another run.
            Some(SupervisorEvent::Submitted { of, job, task }) => {
                let is_its = run.root().file_name().is_some_and(|name| name == of.run.to_string().as_str());
                return Ok(is_its.then_some(Submitted { of, job, task }));
            }
            Some(_) => return Ok(None),
            None => {}
        }
    }
    Ok(None)
}

/// An attempt that was found open and is now closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The attempt's run.
    pub run: RunId,
    /// The attempt's number.
    pub attempt: u32,
    /// The status that it was closed with.
    pub status: Status,
}

/// Closes every open attempt of these runs, with the outcome that the attempt reported or as cancelled. Before that it
/// revokes the attempt's lease and kills a process that still works on it. An attempt with a lost closing line in its
/// supervisor's journal is closed again in the same way. Runs with an attempt in the queue of a cluster are left alone:
/// the attempt goes on without a scheduler. So are attempts whose files cannot be used, though their processes are
/// killed.
///
/// # Errors
/// When a file cannot be read or written, or a process cannot be killed.
pub async fn recover(lock: &SchedulerLock, runs: &[RunId]) -> Result<Vec<Recovered>, RunnerError> {
    let mut recovered = Vec::new();
    for &run in runs {
        let layout = lock.layout().run(run);
        let attempts = attempt_folder::attempts_of(&layout).map(Some);
        let attempts = or_none_of_run(attempts, &layout)?.unwrap_or_default();
        if or_none_of_run(submitted_of(&layout), &layout)?.is_some() {
            continue;
        }
        for attempt in attempts {
            // A folder with neither orders nor a supervisor's journal is not an attempt.
            let folder = layout.attempt(attempt);
            if ![folder.orders(), folder.supervisor()].iter().any(|file| file.exists()) {
                continue;
            }
            let closed = async {
                let status = close_if_open(&folder).await?;
                status.iter().try_for_each(|status| attempt_folder::tidy(&layout, *status))?;
                Ok(status)
            };
            let closed = or_none_of_run(closed.await, &layout)?;
            recovered.extend(closed.map(|status| Recovered { run, attempt, status }));
        }
    }
    Ok(recovered)
}

/// Returns the lines of an attempt's supervisor.
fn lines_about(attempt: &AttemptLayout) -> Result<Vec<JournalLine<SupervisorEvent>>, RunnerError> {
    Ok(JournalReader::new(&attempt.supervisor()).read_new()?.lines)
}

async fn close_if_open(folder: &AttemptLayout) -> Result<Option<Status>, RunnerError> {
    let (mut launched, mut left) = (None, closing::Left::Prepared);
    let lines = lines_about(folder).inspect_err(|_| worker::kill_remains(folder.root()))?;
    for line in lines {
        left = closing::Left::Launched;
        match line.event {
            SupervisorEvent::Launched { pid, process, .. } => launched = Some((pid, process)),
            SupervisorEvent::Submitted { .. } => {}
            SupervisorEvent::Closed { .. } => return Ok(None),
        }
    }
    // A lease that is not a file holds nobody's token.
    if !folder.lease().is_dir() {
        Lease::revoke(&folder.lease()).map_err(unwritable(&folder.lease()))?;
    }
    if let Some((pid, process)) = launched {
        end_survivor(pid, process.as_ref(), folder).await?;
    }
    worker::kill_remains(folder.root());
    let mut journal = JournalReader::<Event>::new(&folder.journal());
    let lines = journal.read_durable()?.lines;
    let mut measured = Tally::default();
    lines.iter().for_each(|line| record::add(&mut measured, &line.event));
    let last_word = lines.into_iter().next_back().and_then(|line| match line.event {
        Event::Ended { outcome, .. } => Some(outcome),
        _ => None,
    });
    let closing = closing::of_orphan(last_word.as_ref(), left);
    let status = closing.status;
    JournalWriter::open(&folder.supervisor())?.append(closing.into_event(journal.next_seq(), measured))?;
    Ok(Some(status))
}

async fn end_survivor(pid: u32, known: Option<&ProcessStamp>, folder: &AttemptLayout) -> Result<(), RunnerError> {
    let is_ours =
        || works_on(pid, folder.root()) && known.is_none_or(|known| process::stamp(pid).as_ref() == Some(known));
    if !is_ours() {
        return Ok(());
    }
    let survivor = || RunnerError::Survivor { pid, path: folder.root().to_owned() };
    worker::kill_group(pid).map_err(|_| survivor())?;
    let gone = async {
        let mut poll = interval(POLL);
        while is_ours() {
            poll.tick().await;
        }
    };
    timeout(PATIENCE, gone).await.map_err(|_| survivor())
}

/// Whether the process is alive and was started for this folder, according to its command line. Without `/proc` the
/// answer is no. The process then notices itself that its scheduler died.
fn works_on(pid: u32, folder: &Path) -> bool {
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command_line.split(|&byte| byte == 0).any(|argument| argument == folder.as_os_str().as_bytes())
}
