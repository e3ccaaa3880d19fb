//! One attempt, from its new folder to its closing line: it is launched, followed, and stopped on request or at its
//! time limit.

use std::future::pending;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use sweep_protocol::{ResultsLayout, Status, SupervisorEvent, log_tail};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::attempt_folder;
use crate::error::unreadable;
use crate::oom::MemoryWatch;
use crate::record::Record;
use crate::verdict::{self, Cause, Evidence};
use crate::worker::Worker;
use crate::{Options, Request, RunnerError, Update, WorkItem, oom, process, worker};

/// Interval at which journals are read.
const POLL: Duration = Duration::from_millis(100);

/// An attempt that is ready to start.
pub(crate) struct Attempt {
    pub(crate) layout: ResultsLayout,
    pub(crate) options: Arc<Options>,
    pub(crate) item: WorkItem,
    pub(crate) slot: usize,
    pub(crate) request: watch::Receiver<Request>,
    pub(crate) updates: mpsc::Sender<Update>,
}

/// When the runner must act on an attempt that takes too long.
enum Limit {
    None,
    Stop(Instant),
    Kill(Instant),
}

/// How a process ended.
struct End {
    exit: ExitStatus,
    stopped: Option<Cause>,
    memory: MemoryWatch,
}

impl Attempt {
    /// Carries out the attempt. Returns the run's status afterwards, and the largest memory that it held. After an
    /// error no process is left. The attempt then stays open until the next scheduler closes it.
    pub(crate) async fn carry_out(mut self) -> Result<(Status, u64), RunnerError> {
        let slot = &self.options.slots[self.slot];
        let new = attempt_folder::prepare(&self.layout, &self.item, &self.options, slot)?;
        let mut record = Record::open(self.item.run, new.number, &new.folder, self.updates.clone())?;
        let kills_before = oom::kills();
        let mut worker = Worker::launch(&self.options, slot.threads, new.folder.root(), &new.folder.log())?;
        let end = match self.supervise(&mut worker, &mut record).await {
            Ok(end) => end,
            Err(fault) => {
                worker.kill()?;
                worker.exit().await?;
                return Err(fault);
            }
        };
        worker::kill_remains(new.folder.root());
        let closing = verdict::of_ended(&Evidence {
            outcome: record.outcome(),
            exit: end.exit,
            stopped: end.stopped,
            killed_for_memory: oom::kills() > kills_before || end.memory.suspects(),
            log_tail: log_tail(&new.folder.log()).map_err(unreadable(&new.folder.log()))?,
        });
        let status = closing.status;
        let (lines, measured) = record.passed_on();
        record.say(closing.into_event(lines, measured)).await?;
        attempt_folder::tidy(&self.layout.run(self.item.run), status)?;
        Ok((status, end.memory.peak()))
    }

    /// Follows the process until it has ended and everything that it reported is passed on.
    async fn supervise(&mut self, worker: &mut Worker, record: &mut Record) -> Result<End, RunnerError> {
        let slot = u32::try_from(self.slot).unwrap_or(u32::MAX);
        let pid = worker.pid();
        record
            .say(SupervisorEvent::Launched { pid, slot, process: process::stamp(pid), of: Some(record.name()) })
            .await?;
        let mut memory = MemoryWatch::new();
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut limit = self.options.timeout.map_or(Limit::None, |timeout| Limit::Stop(Instant::now() + timeout));
        let mut request = Request::Run;
        let mut stopped = None;
        loop {
            tokio::select! {
                exit = worker.exit() => {
                    let exit = exit?;
                    record.follow().await?;
                    return Ok(End { exit, stopped, memory });
                }
                _ = poll.tick() => {
                    memory.look(pid);
                    record.follow().await?;
                    if !record.is_followed() {
                        worker.kill()?;
                    }
                }
                raised = raised_above(&mut self.request, request) => {
                    request = raised;
                    stopped = stopped.or(Some(Cause::Request));
                    if request == Request::Kill { worker.kill()? } else { worker.ask_to_stop().await? }
                }
                () = limit.reached() => {
                    stopped = stopped.or(Some(Cause::Timeout));
                    limit = match limit {
                        Limit::Stop(_) => {
                            worker.ask_to_stop().await?;
                            Limit::Kill(Instant::now() + self.options.grace)
                        }
                        Limit::Kill(_) | Limit::None => {
                            worker.kill()?;
                            Limit::None
                        }
                    };
                }
            }
        }
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
