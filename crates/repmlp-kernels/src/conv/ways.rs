//! The passes over slices. The sizes decide how each is computed.

use candle_core::{Result, bail};

use crate::conv::epilogue::ConvEpilogue;
use crate::conv::{ConvSizes, Way, by_columns, depthwise, direct, direct_weight, subsampled, winograd};
use crate::simd::{InstructionSet, Number};

/// Returns the output, with the epilogue applied.
pub(crate) fn forward<T: Number>(
    x: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    epilogue: Option<&ConvEpilogue<'_, T>>,
) -> Result<Vec<T>> {
    let (x, weight) = (&*sizes.factors.of(x), &*sizes.factors.of(weight));
    match sizes.way() {
        Way::Columns => by_columns::forward(InstructionSet::get(), x, weight, sizes, epilogue),
        Way::Subsampled => subsampled::forward(InstructionSet::get(), x, weight, sizes, epilogue),
        Way::Depthwise => Ok(depthwise::forward(x, weight, sizes, epilogue)),
        Way::Direct => direct::forward(InstructionSet::get(), x, weight, sizes, epilogue),
        Way::Winograd => winograd::forward(InstructionSet::get(), x, weight, sizes, epilogue),
    }
}

/// Returns the gradient of x, added to `onto` if given.
pub(crate) fn backward_x<T: Number>(dy: &[T], weight: &[T], sizes: &ConvSizes, onto: Option<Vec<T>>) -> Result<Vec<T>> {
    let count = sizes.inputs * sizes.input_map();
    if let Some(onto) = onto.as_ref().filter(|onto| onto.len() != count) {
        bail!("a gradient of {count} numbers cannot be added to {} numbers", onto.len());
    }
    let (dy, weight) = (&*sizes.factors.of(dy), &*sizes.factors.of(weight));
    match sizes.way() {
        Way::Columns => by_columns::backward_x(InstructionSet::get(), dy, weight, sizes, onto),
        Way::Subsampled => subsampled::backward_x(InstructionSet::get(), dy, weight, sizes, onto),
        Way::Depthwise => {
            let dx = onto.unwrap_or_else(|| vec![T::zero(); count]);
            Ok(depthwise::backward_x(dy, weight, sizes, dx))
        }
        Way::Direct => direct::backward_x(InstructionSet::get(), dy, weight, sizes, onto),
        Way::Winograd => winograd::backward_x(InstructionSet::get(), dy, weight, sizes, onto),
    }
}

/// Returns the gradient of the weight.
pub(crate) fn backward_weight<T: Number>(x: &[T], dy: &[T], sizes: &ConvSizes) -> Result<Vec<T>> {
    let (x, dy) = (&*sizes.factors.of(x), &*sizes.factors.of(dy));
    match sizes.way() {
        Way::Columns => by_columns::backward_weight(InstructionSet::get(), x, dy, sizes),
        Way::Subsampled => subsampled::backward_weight(InstructionSet::get(), x, dy, sizes),
        Way::Depthwise => Ok(depthwise::backward_weight(x, dy, sizes)),
        Way::Direct => direct_weight::backward_weight(InstructionSet::get(), x, dy, sizes),
        Way::Winograd => winograd::backward_weight(InstructionSet::get(), x, dy, sizes),
    }
}
