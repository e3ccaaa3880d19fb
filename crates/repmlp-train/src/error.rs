//! Errors of an attempt, and their kinds.

use repmlp::ConfigFault;
use sweep_protocol::{FailureKind, SinkError};

use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::device::DeviceError;
use crate::start::StartError;

/// An attempt failed.
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
    /// The loss is not a finite number.
    #[error("the loss is {loss} at step {step} (epoch {epoch}); a lower learning rate or a longer warm-up may help")]
    Diverged {
        /// The loss.
        loss: f64,
        /// Number of steps done.
        step: u64,
        /// The epoch, counted from 1.
        epoch: u64,
    },
    /// Both forms of the trained model differ.
    #[error(
        "the merged model differs from the trained one: in {precision}, the outputs for an image differ by {share:.1e} \
         of their largest number, but at most {allowed:.0e} is allowed"
    )]
    Equivalence {
        /// Precision of the comparison.
        precision: &'static str,
        /// Largest difference for an image, as a share of the largest number in its output.
        share: f64,
        /// Largest allowed share.
        allowed: f64,
    },
    /// A checkpoint cannot be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An event cannot be recorded, or the attempt may no longer write.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A tensor operation failed.
    #[error("tensor operation")]
    Tensor(#[from] candle_core::Error),
}

impl TrainError {
    /// Returns the kind of failure.
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

/// Candle keeps errors of the CUDA driver only as text.
fn is_out_of_memory(error: &candle_core::Error) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    text.contains("out of memory") || text.contains("out_of_memory")
}
