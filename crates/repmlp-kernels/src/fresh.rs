//! Memory for results that a kernel writes exactly once. Clearing it first would cost another pass over memory.
#![expect(unsafe_code, reason = "memory counts as numbers once it is written")]

use std::mem::{ManuallyDrop, MaybeUninit};

/// Returns memory for `count` numbers, all unwritten.
pub(crate) fn unwritten<T: Copy>(count: usize) -> Vec<MaybeUninit<T>> {
    let mut room = Vec::with_capacity(count);
    // SAFETY: the capacity suffices, and a `MaybeUninit` may hold anything.
    unsafe { room.set_len(count) };
    room
}

/// Turns numbers into memory for other numbers.
pub(crate) fn room<T: Copy>(numbers: Vec<T>) -> Vec<MaybeUninit<T>> {
    let mut numbers = ManuallyDrop::new(numbers);
    // SAFETY: pointer, length and capacity come from a vector that is not dropped. Its element type has the same
    // layout, and the new one may hold anything.
    unsafe { Vec::from_raw_parts(numbers.as_mut_ptr().cast(), numbers.len(), numbers.capacity()) }
}

/// Turns memory that is fully written into numbers.
///
/// # Safety
/// All numbers are written.
pub(crate) unsafe fn written<T: Copy>(room: Vec<MaybeUninit<T>>) -> Vec<T> {
    let mut room = ManuallyDrop::new(room);
    // SAFETY: pointer, length and capacity come from a vector that is not dropped. Its element type has the same
    // layout. The caller guarantees that all numbers are written.
    unsafe { Vec::from_raw_parts(room.as_mut_ptr().cast(), room.len(), room.capacity()) }
}

/// Writes a number to every place.
#[inline(always)]
pub(crate) fn write_all<T: Copy>(to: &mut [MaybeUninit<T>], from: impl ExactSizeIterator<Item = T>) {
    assert_eq!(to.len(), from.len(), "a place would stay unwritten");
    for (to, number) in to.iter_mut().zip(from) {
        to.write(number);
    }
}
