//! Sums of products that registers hold: what all five products of attention come down to.
#![expect(unsafe_code, reason = "loops over addresses that the caller promises")]

use crate::simd::Vector;

/// Keys of a tile.
pub(super) const KEYS: usize = 4;

/// One side of a product: vectors, or numbers that stand for a vector each, and how many of them lie between neighbours.
pub(super) struct Side<T> {
    pub(super) at: *const T,
    /// Between terms.
    pub(super) term: usize,
    /// Between rows.
    pub(super) row: usize,
}

/// `sums[b][a]` += Σ `left[term][a]`·`right[term][b]`; the left side has vectors, the right side too unless it is `SHARED`.
///
/// # Safety
/// The instruction set of `V`; both sides lie in memory.
#[inline(always)]
pub(super) unsafe fn add_products<V: Vector, const A: usize, const B: usize, const SHARED: bool>(
    sums: &mut [[V; A]; B],
    terms: usize,
    left: &Side<V::Number>,
    right: &Side<V::Number>,
) {
    let right_lanes = if SHARED { 1 } else { V::LANES };
    // SAFETY: the caller's promise; the addresses stay in the sides, or one term behind.
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

/// As many rows of as many vectors, one after another.
///
/// # Safety
/// The instruction set of `V`; the vectors lie in memory.
#[inline(always)]
pub(super) unsafe fn load_tile<V: Vector, const A: usize, const B: usize>(from: *const V::Number) -> [[V; A]; B] {
    // SAFETY: the caller's promise.
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
/// As for [`load_tile`], and no other thread writes to this memory.
#[inline(always)]
pub(super) unsafe fn store_tile<V: Vector, const A: usize, const B: usize>(tile: &[[V; A]; B], to: *mut V::Number) {
    // SAFETY: the caller's promise.
    unsafe {
        for (b, row) in tile.iter().enumerate() {
            for (a, vector) in row.iter().enumerate() {
                vector.store(to.add((b * A + a) * V::LANES));
            }
        }
    }
}

/// The number in every lane.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn splat<V: Vector>(number: V::Number) -> V {
    // SAFETY: the caller's promise; the address is that of a number.
    unsafe { V::splat(&raw const number) }
}

/// a + b.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn add<V: Vector>(a: V, b: V) -> V {
    use candle_core::WithDType;
    // SAFETY: the caller's promise.
    unsafe { a.multiply_add(splat(V::Number::from_f64(1.0)), b) }
}

/// a − b.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn subtract<V: Vector>(a: V, b: V) -> V {
    use candle_core::WithDType;
    // SAFETY: the caller's promise.
    unsafe { b.multiply_add(splat(V::Number::from_f64(-1.0)), a) }
}

/// a·b.
///
/// # Safety
/// The instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector>(a: V, b: V) -> V {
    // SAFETY: the caller's promise.
    unsafe { a.multiply_add(b, V::zero()) }
}
