//! Turns signals into requests to stop.

use anyhow::Result;
use chrono::{DateTime, Local};
use sweep_runner::Request;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::progress::Voice;

/// What is printed on the first and second request to stop.
pub(crate) type Words = [&'static str; 2];

/// Words for attempts on this machine.
pub(crate) const ON_THIS_MACHINE: Words =
    ["stopping: attempts write a checkpoint; interrupt again to kill them", "killing all attempts"];

/// Words for attempts on a cluster.
pub(crate) const ON_A_CLUSTER: Words = [
    "stopping: submitted runs go on, the next `run` follows them, `cancel` ends them; interrupt again to stop at once",
    "stopping at once",
];

/// Handles signals. The first Ctrl-C asks attempts to write a checkpoint and stop, and the second kills them. SIGTERM
/// has the same effect, and so has SIGHUP when the terminal is lost. Under `nohup`, SIGHUP stays ignored. The time
/// `until` counts as the first Ctrl-C.
pub(crate) async fn listen(
    requests: watch::Sender<Request>,
    (voice, words): (Voice, Words),
    until: Option<DateTime<Local>>,
) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    let mut hang_up = if ignores_hang_up() { None } else { signal(SignalKind::hangup()).ok() };
    for (request, word) in [Request::Finish, Request::Kill].into_iter().zip(words) {
        let hung_up = async {
            match &mut hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        let is_over = async {
            match until.filter(|_| request == Request::Finish) {
                Some(time) => tokio::time::sleep((time - Local::now()).to_std().unwrap_or_default()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = tokio::signal::ctrl_c() => {}
            () = is_over => voice.say("the time of --until has come"),
            Some(()) = terminate.recv() => {}
            Some(()) = hung_up => {}
        }
        voice.say(word);
        requests.send_modify(|current| *current = request.max(*current));
    }
}

/// Whether the process ignores SIGHUP, signal 1.
pub(crate) fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// The signals that end a command which shows something until the user leaves.
pub(crate) struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
}

impl Ends {
    /// Listens to the signals from now on.
    pub(crate) fn new() -> Result<Self> {
        let hang_up = if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) };
        let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        Ok(Self { interrupt: interrupt?, terminate: terminate?, hang_up })
    }

    /// Waits for one of them.
    pub(crate) async fn come(&mut self) {
        let hung_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = hung_up => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
