//! Events of an attempt, and events of its supervisor about it.
//!
//! There are two journals. The attempt writes [`Event`]s; the runner writes [`SupervisorEvent`]s. So an attempt that
//! dies without a last event is recorded too. Neither writer knows who reads its journal.

use serde::{Deserialize, Serialize};

use crate::{Arithmetic, FailureKind, Measurement, Predictions, RunId, Status, Tally};

/// Where and with what an attempt runs. All of this is recorded, but it is not part of the run's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Version of the trainer. It is raised by hand when a change of the trainer changes measurements.
    pub trainer_version: u32,
    /// Version and commit of the program.
    pub code: String,
    /// The device: `cpu`, `cuda:0`, …
    pub device: String,
    /// How numbers are computed. Absent in journals of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arithmetic: Option<Arithmetic>,
    /// Model of the processor, which affects throughput. Absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Number of threads that tensor operations may use.
    pub threads: usize,
    /// Name of the machine.
    pub host: String,
    /// Process id of the attempt.
    pub pid: u32,
    /// Names and digests of the data set, and of the weights that the run starts from, if any.
    pub data_fingerprint: String,
}

/// How an attempt ended, as the attempt itself reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// All requested values are measured.
    Succeeded,
    /// The model is trained and checked, and its throughput was to be measured by a later attempt. Only journals of
    /// earlier versions have this outcome; the next attempt continues the run to its end.
    AwaitsQuiet,
    /// The attempt stopped on request, after writing a checkpoint.
    Stopped,
    /// The attempt failed.
    Failed {
        /// Kind of failure.
        failure: FailureKind,
        /// What failed, and on which file or value.
        message: String,
    },
}

/// One event of an attempt: a line of `journal.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The attempt has loaded its data, has built its model, and starts.
    Started {
        /// Where and with what it runs.
        environment: Environment,
        /// Total number of epochs of the run.
        epochs: u32,
        /// Number of steps in one epoch.
        steps_per_epoch: u32,
        /// Number of steps already done in the checkpoint that the attempt starts from; 0 without one.
        resumed_at_step: u64,
    },
    /// The training has advanced. This event is for progress displays only and is not stored.
    Progressed {
        /// Number of completed epochs.
        epoch: u32,
        /// Number of steps since the run began.
        step: u64,
        /// Loss of the latest step.
        loss: f64,
    },
    /// Values were measured.
    Measured {
        /// The values, all measured at the same point of the training.
        measurements: Vec<Measurement>,
    },
    /// Values that earlier attempts measured before the checkpoint that this attempt starts from. The checkpoint
    /// carries them, so the journal of the last attempt holds everything that the run measured.
    Inherited {
        /// The values, in the order in which they were measured.
        measurements: Vec<Measurement>,
    },
    /// The network has classified the images of a split. A run reports it at its end, for the test images. Of several
    /// events for the same split and form, the latest counts. The tally does not count them: a run that lost this line
    /// is as good as one of an earlier version, which had no such line.
    Predicted {
        /// The true and the predicted classes.
        predictions: Predictions,
    },
    /// A checkpoint is on disk.
    Checkpointed {
        /// Number of steps since the run began.
        step: u64,
        /// File name in the attempt's folder.
        file: String,
    },
    /// Information for the user that does not change any result.
    Noticed {
        /// The information, in one sentence.
        text: String,
    },
    /// The last event of an attempt.
    Ended {
        /// How the attempt ended.
        outcome: Outcome,
        /// Number and digest of all values in this journal. Absent in journals of the first format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measured: Option<Tally>,
    },
}

/// Identifies one attempt of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptName {
    /// The run.
    pub run: RunId,
    /// Number of the attempt, counted from 1.
    pub attempt: u32,
}

/// Identifies a process uniquely, even if a later process has the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessStamp {
    /// Id of the machine's current boot, as its kernel reports it.
    pub boot: String,
    /// Start time of the process, in kernel ticks since the boot.
    pub start_ticks: u64,
}

/// One event of the runner about an attempt: a line of `supervisor.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SupervisorEvent {
    /// A process was started for the attempt.
    Launched {
        /// Process id.
        pid: u32,
        /// Slot that the process runs in, counted from 0.
        slot: u32,
        /// Identifies the process uniquely. Absent if the system does not provide this, and in journals of the first
        /// format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<ProcessStamp>,
        /// The attempt that was started; this ties the folder to its run. Absent in journals of the first format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<AttemptName>,
    },
    /// The attempt waits or runs in the queue of a cluster. It goes on when its scheduler ends.
    Submitted {
        /// The attempt; this ties the folder to its run.
        of: AttemptName,
        /// The cluster's name of the job, such as `1234`.
        job: String,
        /// Number of the task in a job of several tasks.
        task: u32,
    },
    /// The attempt is over. This event decides the run's status.
    Closed {
        /// The run's status now.
        status: Status,
        /// The reason, if the run did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Number of lines of the attempt's journal that count. An abandoned process may still write lines later; these
        /// do not count. Absent in journals of the first format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        journal_lines: Option<u64>,
        /// Number and digest of the values in these lines; this ties the journal to this supervisor. Absent in journals
        /// of the first format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measured: Option<Tally>,
    },
}
