//! A process of this machine, from its start to its end: it is followed, and stopped on request or at its time limit.

use std::future::pending;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use sweep_protocol::{AttemptLayout, EXIT_UNWRITABLE_JOURNAL, SupervisorEvent};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::memory::{self, MemoryWatch};
use super::worker::{self, Worker};
use super::{LocalMachine, process};
use crate::launcher::{Ended, EndedBy, Followed, Prepared, Process};
use crate::record::Record;
use crate::{Request, RunnerError};

/// Interval at which journals are read.
const POLL: Duration = Duration::from_millis(100);

/// The running process of an attempt.
pub struct LocalProcess {
    worker: Worker,
    folder: AttemptLayout,
    slot: u32,
    timeout: Option<Duration>,
    grace: Duration,
    /// Kills for memory that the kernel had counted before the process started.
    kills_before: Option<u64>,
    memory: MemoryWatch,
    /// Why the process was asked to stop.
    stopped: Option<EndedBy>,
}

/// When the runner must act on an attempt that takes too long.
enum Limit {
    None,
    Stop(Instant),
    Kill(Instant),
}

impl LocalProcess {
    pub(super) fn launch(local: &LocalMachine, attempt: &Prepared) -> Result<Self, RunnerError> {
        let kills_before = memory::kills();
        let slot = &local.slots[attempt.place];
        let worker = Worker::launch(local, slot, attempt.folder.root(), &attempt.folder.log())?;
        Ok(Self {
            worker,
            folder: attempt.folder.clone(),
            slot: u32::try_from(attempt.place).unwrap_or(u32::MAX),
            timeout: local.timeout,
            grace: local.grace,
            kills_before,
            memory: MemoryWatch::new(),
            stopped: None,
        })
    }

    /// Follows the process until it has ended and everything that it reported is passed on.
    async fn supervise(
        &mut self,
        record: &mut Record,
        requests: &mut watch::Receiver<Request>,
    ) -> Result<ExitStatus, RunnerError> {
        let pid = self.worker.pid();
        let launched =
            SupervisorEvent::Launched { pid, slot: self.slot, process: process::stamp(pid), of: Some(record.name()) };
        record.say(launched).await?;
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A time that the clock cannot hold is no limit.
        let end = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut limit = end.map_or(Limit::None, Limit::Stop);
        let mut request = Request::Run;
        loop {
            tokio::select! {
                exit = self.worker.exit() => {
                    let exit = exit?;
                    record.follow().await?;
                    return Ok(exit);
                }
                _ = poll.tick() => {
                    self.memory.look(pid);
                    record.follow().await?;
                    if !record.is_followed() {
                        self.worker.kill()?;
                    }
                }
                raised = raised_above(requests, request) => {
                    request = raised;
                    let by = if request == Request::Prune { EndedBy::Pruning } else { EndedBy::Request };
                    self.stopped = self.stopped.or(Some(by));
                    if request == Request::Kill { self.worker.kill()? } else { self.worker.ask_to_stop().await? }
                }
                () = limit.reached() => {
                    self.stopped = self.stopped.or(Some(EndedBy::TimeLimit));
                    limit = match limit {
                        Limit::Stop(_) => {
                            self.worker.ask_to_stop().await?;
                            Limit::Kill(Instant::now() + self.grace)
                        }
                        Limit::Kill(_) | Limit::None => {
                            self.worker.kill()?;
                            Limit::None
                        }
                    };
                }
            }
        }
    }

    /// Says what ended the process.
    fn ended_by(&self, exit: ExitStatus) -> EndedBy {
        const SIGKILL: i32 = 9;
        let was_out_of_memory = || memory::kills() > self.kills_before || self.memory.suspects();
        match self.stopped {
            Some(by) => by,
            None if exit.code() == Some(EXIT_UNWRITABLE_JOURNAL.into()) => EndedBy::UnwritableJournal,
            None if exit.signal() == Some(SIGKILL) && was_out_of_memory() => EndedBy::Memory,
            None => EndedBy::Itself,
        }
    }
}

impl Process for LocalProcess {
    /// After an error no process is left. The attempt then stays open until the next scheduler closes it.
    async fn follow(
        mut self,
        record: &mut Record,
        mut requests: watch::Receiver<Request>,
    ) -> Result<Followed, RunnerError> {
        let exit = match self.supervise(record, &mut requests).await {
            Ok(exit) => exit,
            Err(fault) => {
                self.worker.kill()?;
                self.worker.exit().await?;
                return Err(fault);
            }
        };
        worker::kill_remains(self.folder.root());
        let by = self.ended_by(exit);
        let limit = self.timeout.filter(|_| by == EndedBy::TimeLimit);
        let how = limit.map_or_else(|| exit.to_string(), |limit| format!("which was {:.3} s", limit.as_secs_f64()));
        let end = Ended { by, how };
        Ok(Followed::Ended { end, memory: Some(self.memory.peak()) })
    }
}

impl Limit {
    async fn reached(&self) {
        match self {
            Self::None => pending().await,
            Self::Stop(at) | Self::Kill(at) => sleep_until(*at).await,
        }
    }
}

/// Waits until a higher request than `so_far` arrives.
pub(crate) async fn raised_above(requests: &mut watch::Receiver<Request>, so_far: Request) -> Request {
    let raised = requests.wait_for(|&request| request > so_far).await.map(|request| *request);
    match raised {
        Ok(request) => request,
        Err(_) => pending().await, // the sender is gone: no request can arrive any more
    }
}
