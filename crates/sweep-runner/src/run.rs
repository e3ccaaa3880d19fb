//! The main loop. It fills slots with attempts and handles their ends. It stops on request, after a failure if the
//! options say so, or when it cannot go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use sweep_protocol::{RunId, Status};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::attempt::Attempt;
use crate::own_thread::on_own_thread;
use crate::schedule::{Policy, Schedule};
use crate::{OnFailure, Options, Request, RunnerError, SchedulerLock, Summary, Update, WorkItem};

/// An attempt that has ended, and the slot that it frees.
struct Ended {
    slot: usize,
    run: RunId,
    /// The run's status, and the memory that the attempt took.
    status: Result<(Status, u64), RunnerError>,
}

/// Brings every item to its end. With one slot the order is the given one; with several, the longest run starts first.
///
/// `requests` may be raised at any time. The caller must keep receiving from the other end of `updates` until this
/// function returns, since the runner waits for the receiver.
///
/// # Errors
/// When a file cannot be written, the program cannot be started or the receiver of updates is dropped. Other attempts
/// are then stopped first, as on [`Request::Finish`].
pub async fn run(
    lock: &SchedulerLock,
    items: Vec<WorkItem>,
    options: Options,
    mut requests: watch::Receiver<Request>,
    updates: mpsc::Sender<Update>,
) -> Result<Summary, RunnerError> {
    let policy = Policy { slots: options.slots.len(), retries: options.retries, memory: options.memory };
    let mut schedule = Schedule::new(items, policy);
    let mut free: BTreeSet<usize> = (0..options.slots.len()).collect();
    let options = Arc::new(options);
    // The channel that attempts listen to. The user, a failed run or an error here can raise it.
    let (relay, relayed) = watch::channel(Request::Run);
    let mut running = JoinSet::new();
    let mut fault = None;
    loop {
        raise(&relay, *requests.borrow_and_update());
        while *relay.borrow() == Request::Run
            && let Some(&slot) = free.first()
            && let Some(launch) = schedule.next()
        {
            free.remove(&slot);
            let attempt = Attempt {
                layout: lock.layout().clone(),
                options: Arc::clone(&options),
                item: launch.item,
                slot,
                request: relayed.clone(),
                updates: updates.clone(),
            };
            let run = attempt.item.run;
            running.spawn(async move { Ended { slot, run, status: on_own_thread(attempt.carry_out()).await } });
        }
        tokio::select! {
            ended = running.join_next() => {
                let Some(ended) = ended else { break };
                let ended = ended.expect("an attempt's task neither panics nor is aborted");
                free.insert(ended.slot);
                match ended.status {
                    Ok((status, memory)) => {
                        let has_failed = schedule.take_back(ended.run, status, Some(memory));
                        if has_failed && options.on_failure == OnFailure::Stop {
                            raise(&relay, Request::Finish);
                        }
                    }
                    Err(first) => {
                        fault.get_or_insert(first);
                        raise(&relay, Request::Finish);
                    }
                }
            }
            Ok(()) = requests.changed() => {}
        }
    }
    let interrupted = *requests.borrow() != Request::Run;
    fault.map_or(Ok(Summary { counts: schedule.into_counts(), interrupted }), Err)
}

fn raise(relay: &watch::Sender<Request>, to: Request) {
    relay.send_if_modified(|request| {
        let raised = to > *request;
        *request = to.max(*request);
        raised
    });
}
