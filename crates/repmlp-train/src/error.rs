//! Why an attempt can end badly, and which sort of failure that is.

use repmlp::ConfigFault;
use sweep_protocol::{FailureKind, SinkError};

use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::device::DeviceError;
use crate::start::StartError;

/// An attempt cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration cannot be trained.
    #[error("configuration: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<ConfigFault>),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The weights to start from cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The loss stopped being a number.
    #[error("the loss is {loss} at step {step} (epoch {epoch}); a lower learning rate or a longer warm-up may help")]
    Diverged {
        /// What it is.
        loss: f64,
        /// Steps done.
        step: u64,
        /// The epoch in which it happened, counted from 1.
        epoch: u64,
    },
    /// Both forms of the trained model disagree.
    #[error(
        "the merged model is not the trained one: computed in {precision}, the answers to an image differ by {share:.1e} of the largest \
         number, {allowed:.0e} is allowed"
    )]
    Equivalence {
        /// What they were computed in.
        precision: &'static str,
        /// Largest difference of an image as a share of the largest number of its answer.
        share: f64,
        /// Largest share that passes.
        allowed: f64,
    },
    /// A checkpoint cannot be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Nobody hears the attempt any more.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A tensor operation failed.
    #[error("tensor operation")]
    Tensor(#[from] candle_core::Error),
}

impl TrainError {
    /// Which sort of failure it is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Config(_) | Self::Device(_) => FailureKind::Config,
            Self::Data(_) | Self::Start(_) => FailureKind::Data,
            Self::Diverged { .. } => FailureKind::Diverged,
            Self::Equivalence { .. } => FailureKind::Equivalence,
            Self::Checkpoint(_) | Self::Sink(_) => FailureKind::Io,
            Self::Tensor(e) if is_out_of_memory(e) => FailureKind::Oom,
            Self::Tensor(_) => FailureKind::Crash,
        }
    }
}

/// Candle keeps a CUDA driver's refusal only as text.
fn is_out_of_memory(error: &candle_core::Error) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    text.contains("out of memory") || text.contains("out_of_memory")
}
