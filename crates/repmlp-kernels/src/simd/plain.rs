//! Vectors as arrays: what any processor has, and what its compiler makes of it.

use std::array;

use crate::simd::{DOT_INPUTS, DOT_OUTPUTS, DotTile, Number, TapTile, Vector, dot_tile, tap_tile};

/// `LANES` numbers.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Plain<T, const LANES: usize>([T; LANES]);

// No method needs an instruction set; addresses are the caller's promise, as the trait has it.
impl<T: Number, const LANES: usize> Vector for Plain<T, LANES> {
    type Number = T;
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([T::zero(); LANES])
    }

    #[inline(always)]
    unsafe fn splat(from: *const T) -> Self {
        // SAFETY: the caller gives the address of a number.
        Self([unsafe { *from }; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller gives the address of LANES numbers, which is an array of them.
        Self(unsafe { *from.cast::<[T; LANES]>() })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const T, count: usize) -> Self {
        // SAFETY: the caller gives the address of `count` numbers, and no other is read.
        Self(array::from_fn(|lane| if lane < count { unsafe { *from.add(lane) } } else { T::zero() }))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller gives the address of LANES numbers, which is an array of them.
        unsafe { *to.cast::<[T; LANES]>() = self.0 };
    }

    #[inline(always)]
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
        Self(array::from_fn(|lane| self.0[lane] * b.0[lane] + c.0[lane]))
    }

    #[inline(always)]
    unsafe fn sum(self) -> T {
        self.0.into_iter().fold(T::zero(), |sum, x| sum + x)
    }

    unsafe fn tap_tile<const ROWS: usize, const VECTORS: usize>(tile: &TapTile<'_, T>) {
        // SAFETY: the caller's promise.
        unsafe { tap_tile::tap_tile::<Self, ROWS, VECTORS>(tile) }
    }

    unsafe fn dot_tile<const OUTPUTS: usize, const INPUTS: usize>(
        tile: &DotTile<'_, T>,
    ) -> [[T; DOT_INPUTS]; DOT_OUTPUTS] {
        // SAFETY: the caller's promise.
        unsafe { dot_tile::dot_tile::<Self, OUTPUTS, INPUTS>(tile) }
    }
}
