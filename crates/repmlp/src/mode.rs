//! Whether a forward pass learns.

/// How a pass through the training form treats batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Normalise with the batch's statistics and update the running ones.
    Train,
    /// Normalise with the running statistics; nothing is learnt: gradients stop at every batch norm.
    Evaluate,
}
