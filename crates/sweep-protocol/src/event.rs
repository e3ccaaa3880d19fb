//! What an attempt says of itself, and what its supervisor says of it.
//!
//! Two voices, two journals: the attempt writes [`Event`]s, the runner writes [`SupervisorEvent`]s, so that a death
//! without a word is on record too. Neither knows who listens.

use serde::{Deserialize, Serialize};

use crate::{Arithmetic, FailureKind, Measurement, RunId, Status, Tally};

/// Where an attempt runs: everything that is recorded but is no part of a run's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Raised by hand when a change of the trainer changes measurements.
    pub trainer_version: u32,
    /// Version and commit of the program.
    pub code: String,
    /// `cpu`, `cuda:0`, …
    pub device: String,
    /// How its numbers are computed; absent in journals of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arithmetic: Option<Arithmetic>,
    /// Model of the processor, which throughput depends on; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Threads that tensor operations may use.
    pub threads: usize,
    /// Name of the machine.
    pub host: String,
    /// Process id of the attempt.
    pub pid: u32,
    /// Names and digests of the set that the run sees, and of the weights that it starts from if it does.
    pub data_fingerprint: String,
}

/// How an attempt ended, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Everything that was asked for is measured.
    Succeeded,
    /// Trained and checked; only the throughput is missing, and it must be measured without neighbours.
    AwaitsQuiet,
    /// Stopped on request after a checkpoint.
    Stopped,
    /// Gave up.
    Failed {
        /// Which sort of failure.
        failure: FailureKind,
        /// What failed and on what.
        message: String,
    },
}

/// One thing that an attempt says. Lines of `journal.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The attempt has its data and model and begins.
    Started {
        /// Where it runs.
        environment: Environment,
        /// Epochs that the run is to have.
        epochs: u32,
        /// Steps of one epoch.
        steps_per_epoch: u32,
        /// Steps that an earlier attempt's checkpoint had done.
        resumed_at_step: u64,
    },
    /// Some steps further. For eyes only: nothing of it is stored.
    Progressed {
        /// Epochs completed.
        epoch: u32,
        /// Steps done since the run began.
        step: u64,
        /// Loss of the latest step.
        loss: f64,
    },
    /// Values were measured.
    Measured {
        /// All of one moment.
        measurements: Vec<Measurement>,
    },
    /// Values that earlier attempts measured before the checkpoint that this attempt goes on from. The checkpoint carries them,
    /// so that the journal of the attempt that ends a run holds everything that the run measured.
    Inherited {
        /// In the order in which they were measured.
        measurements: Vec<Measurement>,
    },
    /// The state is on disk.
    Checkpointed {
        /// Steps done since the run began.
        step: u64,
        /// File name in the attempt's folder.
        file: String,
    },
    /// Something that a person should know and that changes no result.
    Noticed {
        /// In one sentence.
        text: String,
    },
    /// The last event of an attempt.
    Ended {
        /// How.
        outcome: Outcome,
        /// Number and digest of all values that this journal holds; absent in journals of the first format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measured: Option<Tally>,
    },
}

/// Which attempt of which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptName {
    /// The run.
    pub run: RunId,
    /// Counted from 1.
    pub attempt: u32,
}

/// What tells a process from every other, also from a later one with the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessStamp {
    /// The machine's boot, as its kernel names it.
    pub boot: String,
    /// When the process started, in the kernel's ticks since the boot.
    pub start_ticks: u64,
}

/// One thing that the runner says of an attempt. Lines of `supervisor.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SupervisorEvent {
    /// A process was started for the attempt.
    Launched {
        /// Its process id.
        pid: u32,
        /// Slot it runs in, counted from 0.
        slot: u32,
        /// Which process that is; absent where the system does not say, and in journals of the first format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<ProcessStamp>,
        /// Whose attempt it is: ties the folder to its run. Absent in journals of the first format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<AttemptName>,
    },
    /// The attempt is over; this decides the run's status.
    Closed {
        /// Where the run stands now.
        status: Status,
        /// Why, when it did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Lines of the attempt's journal that count: what a process that was given up writes later lies beyond them. Absent in
        /// journals of the first format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        journal_lines: Option<u64>,
        /// What these lines measured: ties the journal to this supervisor. Absent in journals of the first format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measured: Option<Tally>,
    },
}
