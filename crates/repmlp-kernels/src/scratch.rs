//! Memory that a thread keeps between calls, so that small buffers cause no page faults.

use std::cell::RefCell;

use candle_core::WithDType;

thread_local! {
    static KEPT: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

/// Alignment in bytes of the memory that `with_scratch` lends: a cache line.
const ALIGNMENT: usize = 64;

/// Calls `work` with `count` numbers of unknown values, aligned to a cache line. Calls may be nested; an inner call
/// gets its own memory.
pub(crate) fn with_scratch<T: WithDType, R>(count: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    // The memory is taken, not borrowed: a nested call finds none and allocates.
    let mut kept = KEPT.take();
    let needed = (count * size_of::<T>() + ALIGNMENT).div_ceil(size_of::<f64>());
    if kept.len() < needed {
        kept = vec![0.0; needed];
    }
    let result = work(aligned(&mut kept, count));
    KEPT.set(kept);
    result
}

#[expect(unsafe_code, reason = "the same memory serves both number types")]
fn aligned<T: WithDType>(kept: &mut [f64], count: usize) -> &mut [T] {
    // SAFETY: kernels use `f32` and `f64`, and any bits are valid numbers of both types.
    let (_, numbers, _) = unsafe { kept.align_to_mut::<T>() };
    let skipped = numbers.as_ptr().align_offset(ALIGNMENT);
    &mut numbers[skipped..skipped + count]
}
