//! Bringing together what a task works on: how much, and copies of a few vectors, of which there are very many: a call for each would
//! cost more than the copy.
#![expect(unsafe_code, reason = "vector instructions")]

use crate::simd::Vector;

/// Numbers that a task keeps packed: a quarter of a megabyte of `f32`, half a second-level cache.
pub(crate) const PACKED_NUMBERS: usize = 1 << 16;

/// Pieces that lie ahead of the one that is brought together, and are asked for: they are pages apart, and no processor sees them
/// coming.
pub(crate) const AHEAD: usize = 4;

/// As `copy_from_slice`, for slices of the same few numbers.
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

/// Bytes.
const CACHE_LINE: usize = 64;

/// Asks for neighbouring numbers that are needed soon.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub(crate) unsafe fn prefetch<V: Vector>(numbers: &[V::Number]) {
    for number in numbers.iter().step_by(CACHE_LINE / size_of::<V::Number>()) {
        // SAFETY: the caller's promise.
        unsafe { V::prefetch(number) };
    }
}
