//! A 1×1 convolution with a stride and without padding. It becomes one without a stride, on the pixels that are read.

use candle_core::{Result, WithDType};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::conv::epilogue::ConvEpilogue;
use crate::conv::{ConvSizes, by_columns};
use crate::packing::copy_few;
use crate::simd::{InstructionSet, Number};

/// Returns the output (O, H', W', N).
pub(crate) fn forward<T: Number>(
    set: InstructionSet,
    x: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    epilogue: Option<&ConvEpilogue<'_, T>>,
) -> Result<Vec<T>> {
    by_columns::forward(set, &seen(x, sizes), weight, &sizes.of_seen()?, epilogue)
}

/// Returns the gradient of x (C, H, W, N), added to `onto` if given.
pub(crate) fn backward_x<T: Number>(
    set: InstructionSet,
    dy: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    onto: Option<Vec<T>>,
) -> Result<Vec<T>> {
    let of_seen = by_columns::backward_x(set, dy, weight, &sizes.of_seen()?, None)?;
    let mut dx = onto.unwrap_or_else(|| vec![T::zero(); sizes.inputs * sizes.input_map()]);
    dx.par_chunks_mut(sizes.input_map()).zip(of_seen.par_chunks(sizes.output_map())).for_each(|(dx, seen)| {
        for (place, pixel) in places(sizes).zip(seen.chunks_exact(sizes.images)) {
            dx[place..][..sizes.images].iter_mut().zip(pixel).for_each(|(dx, &number)| *dx += number);
        }
    });
    Ok(dx)
}

/// Returns the gradient of the weight.
pub(crate) fn backward_weight<T: Number>(set: InstructionSet, x: &[T], dy: &[T], sizes: &ConvSizes) -> Result<Vec<T>> {
    by_columns::backward_weight(set, &seen(x, sizes), dy, &sizes.of_seen()?)
}

/// Returns the index of the first number of each pixel that is read, within a channel.
fn places(sizes: &ConvSizes) -> impl Iterator<Item = usize> {
    let (rows, columns, images) = (sizes.rows, sizes.columns, sizes.images);
    let place = move |y, x| (rows.seen(y, 0) * columns.input + columns.seen(x, 0)) * images;
    (0..rows.output).flat_map(move |y| (0..columns.output).map(move |x| place(y, x)))
}

/// Returns the pixels that are read, (C, H', W', N).
fn seen<T: WithDType>(x: &[T], sizes: &ConvSizes) -> Vec<T> {
    let mut seen = vec![T::zero(); sizes.inputs * sizes.output_map()];
    seen.par_chunks_mut(sizes.output_map()).zip(x.par_chunks(sizes.input_map())).for_each(|(seen, x)| {
        for (pixel, place) in seen.chunks_exact_mut(sizes.images).zip(places(sizes)) {
            copy_few(pixel, &x[place..][..sizes.images]);
        }
    });
    seen
}
