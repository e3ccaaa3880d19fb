//! The measurement of throughput: one process, with nothing beside it.

use std::path::Path;

use sweep_protocol::log_tail;
use tokio::sync::watch;

use super::worker::Worker;
use super::{LocalMachine, raised_above};
use crate::error::unreadable;
use crate::{Request, RunnerError, SchedulerLock, Slot};

/// How a measurement of throughput ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimingEnd {
    /// Its record is written.
    Done,
    /// It was stopped on request.
    Stopped,
    /// It failed. The text says how, and ends with the end of its log.
    Failed(String),
}

/// Measures throughput: starts the program of `local` with the file of its orders, and waits for its end. Nothing
/// else may run under the lock meanwhile. The output goes to `log`.
///
/// # Errors
/// When the process cannot be started, stopped or waited for.
pub async fn time(
    _lock: &SchedulerLock,
    local: &LocalMachine,
    (orders, log): (&Path, &Path),
    slot: &Slot,
    mut requests: watch::Receiver<Request>,
) -> Result<TimingEnd, RunnerError> {
    let mut worker = Worker::launch(local, slot, orders, log)?;
    let mut request = Request::Run;
    let exit = loop {
        tokio::select! {
            exit = worker.exit() => break exit?,
            raised = raised_above(&mut requests, request) => {
                request = raised;
                if request == Request::Kill { worker.kill()? } else { worker.ask_to_stop().await? }
            }
        }
    };
    if request != Request::Run {
        return Ok(TimingEnd::Stopped);
    }
    if exit.success() {
        return Ok(TimingEnd::Done);
    }
    let tail = log_tail(log).map_err(unreadable(log))?;
    let end = if tail.is_empty() { String::new() } else { format!("; its log ends with:\n{tail}") };
    Ok(TimingEnd::Failed(format!("{exit}{end}")))
}
