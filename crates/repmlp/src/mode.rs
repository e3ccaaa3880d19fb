//! Mode of a forward pass: training or evaluation, and the source of its random numbers.

/// How a forward pass through the training form treats batch norm and dropout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm uses the statistics of the batch and updates the running statistics. Dropout is active.
    Train(Draws),
    /// Batch norm uses the running statistics. Dropout is inactive. Gradients stop at every batch norm.
    Evaluate,
}

/// Keys of the random numbers of a training pass. A layer adds its own name to them.
///
/// No state is kept between passes. A run that is interrupted and continued therefore draws the same numbers as an
/// uninterrupted one. Networks without dropout draw no numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the current training step.
    pub step: u64,
}
