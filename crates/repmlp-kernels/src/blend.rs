//! Running means of a training, such as the statistics of batch norm.

use candle_core::{Result, Tensor, Var};

use crate::composed::put;

/// Moves a running mean towards new numbers: running ← (1 − share)·running + share·new.
///
/// # Errors
/// Fails when the shapes differ.
pub fn blend(running: &Var, new: &Tensor, share: f64) -> Result<()> {
    put(running, &((running.as_detached_tensor() * (1.0 - share))? + (new.detach() * share)?)?)
}
