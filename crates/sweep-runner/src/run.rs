//! The main loop. It prepares and launches attempts, has them followed, and closes them. It stops on request, after a
//! failure if the options say so, or when it cannot go on.

use std::collections::{BTreeMap, BTreeSet};

use sweep_protocol::{AttemptName, RunId, Status, error_chain};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::launcher::{EndedBy, Followed, Launcher, Prepared, Process};
use crate::own_thread::on_own_thread;
use crate::record::Record;
use crate::schedule::{Policy, Schedule};
use crate::{
    OnFailure, Options, Request, Requests, RunnerError, SchedulerLock, Summary, Update, UpdateKind, WorkItem,
    attempt_folder,
};

/// Attempts that an earlier scheduler left running, by their runs, with the number of the attempt.
pub type Adopted<P> = BTreeMap<RunId, (u32, P)>;

/// Number of places up to which each attempt is followed on a thread of its own.
const MOST_THREADS: usize = 256;

/// An attempt that is no longer followed, and the place that it frees.
struct Gone {
    place: usize,
    name: AttemptName,
    /// The run's status and the memory that the attempt took, if it was closed.
    status: Result<Option<Closed>, RunnerError>,
}

/// The places that attempts can take.
struct Places {
    number: usize,
    /// Places below this one were used before.
    next: usize,
    free_again: BTreeSet<usize>,
}

impl Places {
    fn take(&mut self) -> Option<usize> {
        self.free_again.pop_first().or_else(|| {
            let place = self.next;
            self.next += usize::from(place < self.number);
            (place < self.number).then_some(place)
        })
    }

    fn give_back(&mut self, place: usize) {
        self.free_again.insert(place);
    }
}

/// Brings every item to its end. With one place the order is the given one; with several, the longest run starts first.
/// An item with an adopted attempt is only followed.
///
/// `requests` may be raised at any time, and runs may be pruned. The caller must keep receiving from the other end of
/// `updates` until this function returns, since the runner waits for the receiver.
///
/// # Errors
/// When a file cannot be written, the program cannot be started or the receiver of updates is dropped. Other attempts
/// are then stopped first, as on [`Request::Finish`].
pub async fn run<L: Launcher>(
    lock: &SchedulerLock,
    (items, adopted): (Vec<WorkItem>, Adopted<L::Process>),
    (launcher, options): (&L, &Options),
    requests: impl Into<Requests>,
    updates: mpsc::Sender<Update>,
) -> Result<Summary, RunnerError> {
    let Requests { to_all: mut requests, mut pruned } = requests.into();
    let mut killed = requests.clone();
    let policy = Policy {
        slots: launcher.places(),
        retries: options.retries,
        retries_time_limits: launcher.retries_time_limits(),
        shares_memory: launcher.shares_memory(),
        memory: options.memory,
    };
    let mut scheduler = Scheduler {
        lock,
        launcher,
        options,
        schedule: Schedule::new(items, policy),
        adopted,
        places: Places { number: launcher.places(), next: 0, free_again: BTreeSet::new() },
        request: Request::Run,
        attempts: BTreeMap::new(),
        updates,
        running: JoinSet::new(),
        fault: None,
    };
    loop {
        scheduler.raise(*requests.borrow_and_update());
        pruned.borrow_and_update().iter().for_each(|run| scheduler.prune(*run));
        // A cluster may take long to answer. The second request does not wait for it: the next call closes what was
        // prepared.
        let started = tokio::select! {
            started = scheduler.start() => started,
            Ok(_) = killed.wait_for(|request| *request == Request::Kill) => Ok(()),
        };
        if let Err(fault) = started {
            scheduler.end_with(fault);
        }
        tokio::select! {
            gone = scheduler.running.join_next() => {
                let Some(gone) = gone else { break };
                let gone = gone.expect("an attempt's task neither panics nor is aborted");
                if let Err(fault) = scheduler.take_back(gone).await {
                    scheduler.end_with(fault);
                }
            }
            Ok(()) = requests.changed() => {}
            Ok(()) = pruned.changed() => {}
        }
    }
    let interrupted = *requests.borrow() != Request::Run;
    scheduler.fault.map_or(Ok(Summary { counts: scheduler.schedule.into_counts(), interrupted }), Err)
}

/// The state of the main loop.
struct Scheduler<'a, L: Launcher> {
    lock: &'a SchedulerLock,
    launcher: &'a L,
    options: &'a Options,
    schedule: Schedule,
    adopted: Adopted<L::Process>,
    places: Places,
    /// The highest request to all attempts. The user, a failed run or an error here can raise it.
    request: Request,
    /// The channels that running attempts listen to.
    attempts: BTreeMap<RunId, watch::Sender<Request>>,
    updates: mpsc::Sender<Update>,
    running: JoinSet<Gone>,
    /// The first error.
    fault: Option<RunnerError>,
}

impl<L: Launcher> Scheduler<'_, L> {
    /// Prepares and launches what may start now.
    async fn start(&mut self) -> Result<(), RunnerError> {
        let mut attempts = Vec::new();
        while self.request == Request::Run
            && let Some(place) = self.places.take()
        {
            let Some(launch) = self.schedule.next() else {
                self.places.give_back(place);
                break;
            };
            let run = launch.item.run;
            if let Some((attempt, process)) = self.adopted.remove(&run) {
                self.follow((place, AttemptName { run, attempt }), process);
                continue;
            }
            let slot = self.launcher.slot(place);
            match attempt_folder::prepare(self.lock.layout(), &launch.item, &self.options.orders, slot) {
                Ok(name) => attempts.push((place, name)),
                Err(fault) => {
                    self.places.give_back(place);
                    self.give_up(AttemptName { run, attempt: 0 }, fault).await?;
                }
            }
        }
        if attempts.is_empty() {
            return Ok(());
        }
        let folder = |name: &AttemptName| self.lock.layout().run(name.run).attempt(name.attempt);
        let prepared = attempts.iter().map(|(place, name)| Prepared { place: *place, folder: folder(name) }).collect();
        let processes = self.launcher.launch(prepared).await?;
        attempts.into_iter().zip(processes).for_each(|(attempt, process)| self.follow(attempt, process));
        Ok(())
    }

    fn follow(&mut self, (place, name): (usize, AttemptName), process: L::Process) {
        let mut record = Record::new(self.lock.layout(), name, self.updates.clone());
        let (request, requests) = watch::channel(self.request);
        self.attempts.insert(name.run, request);
        let follow = async move { follow_and_close(process, &mut record, requests).await };
        let has_own_thread = self.places.number <= MOST_THREADS;
        self.running.spawn(async move {
            let status = if has_own_thread { on_own_thread(follow).await } else { follow.await };
            Gone { place, name, status }
        });
    }

    async fn take_back(&mut self, Gone { place, name, status }: Gone) -> Result<(), RunnerError> {
        let run = name.run;
        self.places.give_back(place);
        self.attempts.remove(&run);
        match status {
            Ok(Some((Status::Cancelled, EndedBy::Cluster, _))) if self.request == Request::Run => {
                self.schedule.put_back(run);
            }
            Ok(Some((status, _, memory))) => {
                let has_failed = self.schedule.take_back(run, status, memory);
                if has_failed && self.options.on_failure == OnFailure::Stop {
                    self.raise(Request::Finish);
                }
            }
            Ok(None) => {}
            Err(fault) => self.give_up(name, fault).await?,
        }
        Ok(())
    }

    /// Gives up a run whose folder cannot be used. The others go on. Returns an error that concerns them too.
    async fn give_up(
        &mut self,
        AttemptName { run, attempt }: AttemptName,
        fault: RunnerError,
    ) -> Result<(), RunnerError> {
        if !fault.is_of_run(&self.lock.layout().run(run)) {
            return Err(fault);
        }
        self.schedule.give_up(run);
        if self.options.on_failure == OnFailure::Stop {
            self.raise(Request::Finish);
        }
        let kind = match fault.is_of_removed() {
            true => UpdateKind::Removed,
            false => UpdateKind::Unusable(error_chain(&fault)),
        };
        self.updates.send(Update { run, attempt, kind }).await.map_err(|_| RunnerError::Unheard)
    }

    fn end_with(&mut self, fault: RunnerError) {
        self.fault.get_or_insert(fault);
        self.raise(Request::Finish);
    }

    fn raise(&mut self, to: Request) {
        self.request = to.max(self.request);
        self.attempts.values().for_each(|attempt| raise(attempt, to));
    }

    /// Stops the attempt of a run, and starts none of it any more.
    fn prune(&mut self, run: RunId) {
        self.schedule.leave_out(run);
        self.attempts.get(&run).into_iter().for_each(|attempt| raise(attempt, Request::Prune));
    }
}

fn raise(attempt: &watch::Sender<Request>, to: Request) {
    attempt.send_if_modified(|request| {
        let is_higher = to > *request;
        *request = to.max(*request);
        is_higher
    });
}

/// Status of an attempt, what ended it, and its largest memory.
type Closed = (Status, EndedBy, Option<u64>);

/// Follows a process to its end and closes its attempt. Returns nothing if the process goes on without this scheduler.
/// After an error the attempt stays open until the next scheduler closes it.
async fn follow_and_close(
    process: impl Process,
    record: &mut Record,
    requests: watch::Receiver<Request>,
) -> Result<Option<Closed>, RunnerError> {
    match process.follow(record, requests).await? {
        Followed::Ended { end, memory } => Ok(Some((record.close(&end).await?, end.by, memory))),
        Followed::Left => Ok(None),
    }
}
