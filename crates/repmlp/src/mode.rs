//! Whether a forward pass learns, and what its randomness hangs on.

/// How a pass through the training form treats batch norm and dropout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Normalise with the batch's statistics and update the running ones; leave out what is drawn to be left out.
    Train(Draws),
    /// Normalise with the running statistics and leave nothing out; nothing is learnt: gradients stop at every batch norm.
    Evaluate,
}

/// What the randomness of a training pass hangs on, besides a layer's name: nothing is remembered from pass to pass, so that a
/// training that goes on draws what it would have drawn. Networks without dropout draw nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// The run's.
    pub seed: u64,
    /// The training's step that the pass is a part of.
    pub step: u64,
}
