//! Splitting sums among tasks. The parts depend on shapes alone and are added in their order.

use std::ops::Range;

use candle_core::WithDType;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

/// Minimum number of tasks. A sum is split where its independent results alone give fewer. The number is large enough
/// for many cores and small enough to cost nothing.
pub(crate) const TASKS: usize = 16;

/// Splits `things` into `count` consecutive ranges. Their lengths differ by at most one.
pub(crate) fn equal_parts(things: usize, count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).map(move |i| things * i / count..things * (i + 1) / count)
}

/// Returns the size of equal parts: as few parts as possible, each with at most `most` things. So the last part is not
/// much smaller than the others.
pub(crate) fn equal_size(things: usize, most: usize) -> usize {
    things.div_ceil(things.div_ceil(most))
}

/// Number of parts to split each sum into, given the number of independent sums.
pub(crate) fn parts_for(targets: usize) -> usize {
    TASKS.div_ceil(targets)
}

/// Adds all parts to the first, in their order.
pub(crate) fn sum_parts<T: WithDType>(mut parts: Vec<T>, count: usize) -> Vec<T> {
    const BLOCK: usize = 1 << 12;
    let length = parts.len() / count;
    let (sum, rest) = parts.split_at_mut(length);
    for part in rest.chunks(length) {
        sum.par_chunks_mut(BLOCK).zip(part.par_chunks(BLOCK)).for_each(|(sum, part)| {
            sum.iter_mut().zip(part).for_each(|(sum, &part)| *sum += part);
        });
    }
    parts.truncate(length);
    parts
}
