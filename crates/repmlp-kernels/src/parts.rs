//! Sums that are split among tasks: into parts that depend on shapes alone, added in their order.

use std::ops::Range;

use candle_core::WithDType;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

/// Tasks that work is split into at least, where its targets alone give fewer: enough for many cores, few enough to cost nothing.
pub(crate) const TASKS: usize = 16;

/// So many things in `count` neighbouring parts that differ by one at most.
pub(crate) fn equal_parts(things: usize, count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).map(move |i| things * i / count..things * (i + 1) / count)
}

/// The size of the fewest parts of at most `most` things, of equal sizes, so that the last is no sliver.
pub(crate) fn equal_size(things: usize, most: usize) -> usize {
    things.div_ceil(things.div_ceil(most))
}

/// Parts of a sum of which there are `targets` independent ones.
pub(crate) fn parts_for(targets: usize) -> usize {
    TASKS.div_ceil(targets)
}

/// The first part plus all others, in their order.
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
