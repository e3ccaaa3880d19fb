//! Packing the data that a task works on: how much to pack, prefetching, and copies of a few vectors. Such copies are
//! very frequent. A function call for each would cost more than the copy itself.
#![expect(unsafe_code, reason = "vector instructions")]

use crate::simd::Vector;

/// Maximum count of numbers that a task keeps packed: a quarter of a megabyte of `f32`, half of a second-level cache.
pub(crate) const PACKED_NUMBERS: usize = 1 << 16;

/// How many pieces ahead of the current one packing prefetches. Pieces lie pages apart, so the processor does not
/// prefetch them by itself.
pub(crate) const AHEAD: usize = 4;

/// Like `copy_from_slice`, for short slices of equal length.
#[inline(always)]
pub(crate) fn copy_few<T: Copy>(to: &mut [T], from: &[T]) {
    debug_assert_eq!(to.len(), from.len(), "a number would be lost");
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut::<8>(), from.as_chunks::<8>());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}

/// Size of a cache line in bytes.
const CACHE_LINE: usize = 64;

/// Prefetches consecutive numbers that are needed soon.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(crate) unsafe fn prefetch<V: Vector>(numbers: &[V::Number]) {
    for number in numbers.iter().step_by(CACHE_LINE / size_of::<V::Number>()) {
        // SAFETY: guaranteed by the caller.
        unsafe { V::prefetch(number) };
    }
}
