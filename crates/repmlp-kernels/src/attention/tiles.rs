//! Sums of products in registers. All five products of attention use them.
#![expect(unsafe_code, reason = "loops over addresses that the caller promises")]

use crate::simd::Vector;

/// Keys per tile.
pub(super) const KEYS: usize = 4;

/// One operand of a product, with the strides of its elements. An element is a vector, or a number that is copied into
/// all lanes.
pub(super) struct Side<T> {
    pub(super) at: *const T,
    /// Distance between terms.
    pub(super) term: usize,
    /// Distance between rows.
    pub(super) row: usize,
}

/// Adds products: `sums[b][a]` += Σ `left[term][a]`·`right[term][b]`. The left side has vectors. The right side has
/// numbers if `SHARED`, and vectors otherwise.
///
/// # Safety
/// The processor has the instruction set of `V`. Both sides lie in memory.
#[inline(always)]
pub(super) unsafe fn add_products<V: Vector, const A: usize, const B: usize, const SHARED: bool>(
    sums: &mut [[V; A]; B],
    terms: usize,
    left: &Side<V::Number>,
    right: &Side<V::Number>,
) {
    let right_lanes = if SHARED { 1 } else { V::LANES };
    // SAFETY: guaranteed by the caller. The addresses stay inside the sides, or one term past their end.
    unsafe {
        let (mut left_at, mut right_at) = (left.at, right.at);
        for _ in 0..terms {
            let mut column = [V::zero(); A];
            for (a, vector) in column.iter_mut().enumerate() {
                *vector = V::load(left_at.add(a * left.row * V::LANES));
            }
            for (b, sums) in sums.iter_mut().enumerate() {
                let at = right_at.add(b * right.row * right_lanes);
                let factor = if SHARED { V::splat(at) } else { V::load(at) };
                for (sum, &vector) in sums.iter_mut().zip(&column) {
                    *sum = vector.multiply_add(factor, *sum);
                }
            }
            left_at = left_at.wrapping_add(left.term * V::LANES);
            right_at = right_at.wrapping_add(right.term * right_lanes);
        }
    }
}

/// Reads a tile of `B` rows with `A` vectors each, one after another.
///
/// # Safety
/// The processor has the instruction set of `V`. The vectors lie in memory.
#[inline(always)]
pub(super) unsafe fn load_tile<V: Vector, const A: usize, const B: usize>(from: *const V::Number) -> [[V; A]; B] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut tile = [[V::zero(); A]; B];
        for (b, row) in tile.iter_mut().enumerate() {
            for (a, vector) in row.iter_mut().enumerate() {
                *vector = V::load(from.add((b * A + a) * V::LANES));
            }
        }
        tile
    }
}

/// Writes a tile to memory.
///
/// # Safety
/// As for [`load_tile`]. In addition, no other thread writes to this memory.
#[inline(always)]
pub(super) unsafe fn store_tile<V: Vector, const A: usize, const B: usize>(tile: &[[V; A]; B], to: *mut V::Number) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        for (b, row) in tile.iter().enumerate() {
            for (a, vector) in row.iter().enumerate() {
                vector.store(to.add((b * A + a) * V::LANES));
            }
        }
    }
}

/// Returns the number in every lane.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn splat<V: Vector>(number: V::Number) -> V {
    // SAFETY: guaranteed by the caller. The address is that of a number.
    unsafe { V::splat(&raw const number) }
}

/// Returns a + b.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn add<V: Vector>(a: V, b: V) -> V {
    use candle_core::WithDType;
    // SAFETY: guaranteed by the caller.
    unsafe { a.multiply_add(splat(V::Number::from_f64(1.0)), b) }
}

/// Returns a − b.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn subtract<V: Vector>(a: V, b: V) -> V {
    use candle_core::WithDType;
    // SAFETY: guaranteed by the caller.
    unsafe { b.multiply_add(splat(V::Number::from_f64(-1.0)), a) }
}

/// Returns a·b.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector>(a: V, b: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { a.multiply_add(b, V::zero()) }
}
