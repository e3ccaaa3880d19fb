//! The gradient of a convolution's weight without columns: for each tap, sums over the positions that it connects.
//! Lanes of a vector hold channels of x or of dy where these fill vectors, and positions otherwise.

mod channels;
mod dots;

use candle_core::Result;

use crate::conv::ConvSizes;
use crate::simd::{InstructionSet, Number, for_instruction_set};
use channels::LaneSide;

/// Computes dW from x (C, H, W, N) and dy.
pub(crate) fn backward_weight<T: Number>(set: InstructionSet, x: &[T], dy: &[T], sizes: &ConvSizes) -> Result<Vec<T>> {
    for_instruction_set!(set, T, V => match LaneSide::of::<V<T>>(sizes) {
        Some(lanes) => channels::backward_weight::<V<T>>(lanes, x, dy, sizes),
        None => Ok(dots::backward_weight::<V<T>>(x, dy, sizes)),
    })
}
