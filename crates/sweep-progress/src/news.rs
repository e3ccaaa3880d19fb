//! What a line of a journal means for a display that tells things one after another.

use sweep_protocol::{RunId, Status};

use crate::attempt::{Place, Told};

/// How an attempt begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Without a checkpoint.
    New,
    /// After this number of steps, from a checkpoint.
    AtStep(u64),
    /// All steps are done; the remaining measurements run.
    Trained,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// An attempt has loaded its data and starts.
    Began {
        /// The run.
        run: RunId,
        /// Where it runs.
        place: Place,
        /// Whether it continues from a checkpoint.
        begin: Begin,
    },
    /// An attempt has made steps.
    Advanced {
        /// The run.
        run: RunId,
        /// Loss of the latest step.
        loss: f64,
    },
    /// The accuracy after an epoch is measured.
    Measured {
        /// The run.
        run: RunId,
        /// The accuracy.
        told: Told,
    },
    /// An attempt tells something that changes no result.
    Noticed {
        /// The run.
        run: RunId,
        /// The information, in one sentence.
        text: String,
    },
    /// An attempt is over.
    Ended {
        /// The run.
        run: RunId,
        /// Number of the attempt.
        attempt: u32,
        /// The run's status now.
        status: Status,
        /// The reason, if the run did not succeed.
        message: Option<String>,
    },
    /// An attempt is far slower than the finished runs on the same device. This is told once for each attempt.
    Slow {
        /// The run.
        run: RunId,
        /// Where it runs.
        place: Place,
        /// Its seconds per unit of work, divided by the median of the finished runs.
        times: f64,
    },
}
