//! The gradient of a convolution's weight without columns: sums over the places that a tap carries. Lanes of a vector are channels
//! of x, or of dy, where there are enough of them, else places.

mod channels;
mod dots;

use candle_core::Result;

use crate::conv::ConvSizes;
use crate::simd::{InstructionSet, Number, for_instruction_set};
use channels::LaneSide;

/// dW from x (C, H, W, N) and dy.
pub(crate) fn backward_weight<T: Number>(set: InstructionSet, x: &[T], dy: &[T], sizes: &ConvSizes) -> Result<Vec<T>> {
    for_instruction_set!(set, T, V => match LaneSide::of::<V<T>>(sizes) {
        Some(lanes) => channels::backward_weight::<V<T>>(lanes, x, dy, sizes),
        None => Ok(dots::backward_weight::<V<T>>(x, dy, sizes)),
    })
}
