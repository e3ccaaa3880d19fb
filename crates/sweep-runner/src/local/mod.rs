//! Attempts as processes of this machine. A process ends with its scheduler.

mod follow;
mod gpu;
pub(crate) mod memory;
pub(crate) mod process;
mod timing;
pub(crate) mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::launcher::{Launcher, Prepared};
use crate::{RunnerError, Slot};

pub use follow::LocalProcess;
pub use gpu::device_of_process;

pub(crate) use follow::raised_above;
pub use timing::{TimingEnd, time};

/// This machine as a place where attempts run.
#[derive(Clone, Debug)]
pub struct LocalMachine {
    /// Program that is started for every attempt.
    pub program: PathBuf,
    /// Name of the program in process lists, if it is not its path.
    pub name: Option<OsString>,
    /// Arguments of the program. The attempt's folder is added as the last one.
    pub arguments: Vec<OsString>,
    /// The slots; at least one.
    pub slots: Vec<Slot>,
    /// Time limit of one attempt.
    pub timeout: Option<Duration>,
    /// Time that an attempt has to stop after its time limit.
    pub grace: Duration,
}

impl Launcher for LocalMachine {
    type Process = LocalProcess;

    fn places(&self) -> usize {
        self.slots.len()
    }

    fn shares_memory(&self) -> bool {
        true
    }

    /// The user gave the limit for this call.
    fn retries_time_limits(&self) -> bool {
        false
    }

    fn slot(&self, place: usize) -> Slot {
        let Slot { device, threads } = &self.slots[place];
        Slot { device: device_of_process(device), threads: *threads }
    }

    async fn launch(&self, attempts: Vec<Prepared>) -> Result<Vec<LocalProcess>, RunnerError> {
        // Processes that were launched before a failure lose their standard input with this list, and end.
        attempts.iter().map(|attempt| LocalProcess::launch(self, attempt)).collect()
    }
}
