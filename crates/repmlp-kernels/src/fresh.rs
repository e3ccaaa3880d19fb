//! New numbers that a kernel writes once: clearing them first would cost another pass over memory.
#![expect(unsafe_code, reason = "memory counts as numbers once it is written")]

use std::mem::{ManuallyDrop, MaybeUninit};

/// Room for `count` numbers, none of them written.
pub(crate) fn unwritten<T: Copy>(count: usize) -> Vec<MaybeUninit<T>> {
    let mut room = Vec::with_capacity(count);
    // SAFETY: the capacity is there, and a `MaybeUninit` may hold anything.
    unsafe { room.set_len(count) };
    room
}

/// Numbers as room for others.
pub(crate) fn room<T: Copy>(numbers: Vec<T>) -> Vec<MaybeUninit<T>> {
    let mut numbers = ManuallyDrop::new(numbers);
    // SAFETY: the parts are those of a vector that is not dropped, of a type with the same layout that may hold anything.
    unsafe { Vec::from_raw_parts(numbers.as_mut_ptr().cast(), numbers.len(), numbers.capacity()) }
}

/// The numbers.
///
/// # Safety
/// All of them are written.
pub(crate) unsafe fn written<T: Copy>(room: Vec<MaybeUninit<T>>) -> Vec<T> {
    let mut room = ManuallyDrop::new(room);
    // SAFETY: the parts are those of a vector that is not dropped, of a type with the same layout; the caller says that the
    // numbers are written.
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
