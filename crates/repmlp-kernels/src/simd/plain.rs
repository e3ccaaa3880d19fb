//! Vectors as arrays, for any processor. The compiler chooses the instructions.
#![expect(unsafe_code, reason = "vector instructions, on addresses that the caller promises")]

use std::array;

use crate::simd::{Number, Vector, VectorLoop};

/// A vector of `LANES` numbers.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Plain<T, const LANES: usize>([T; LANES]);

// No method needs an instruction set. The caller guarantees the addresses, as the trait demands.
impl<T: Number, const LANES: usize> Vector for Plain<T, LANES> {
    type Number = T;
    const LANES: usize = LANES;
    const ROWS: usize = 6;
    const DOTS: (usize, usize) = (4, 3);

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
    unsafe fn prefetch(_from: *const T) {}

    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller gives the address of LANES numbers, which is an array of them.
        unsafe { *to.cast::<[T; LANES]>() = self.0 };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut T, count: usize) {
        for (lane, &number) in self.0[..count].iter().enumerate() {
            // SAFETY: the caller gives the address of `count` numbers.
            unsafe { *to.add(lane) = number };
        }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self {
        Self(array::from_fn(|lane| self.0[lane] * b.0[lane] + c.0[lane]))
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        Self(array::from_fn(|lane| if self.0[lane] > other.0[lane] { self.0[lane] } else { other.0[lane] }))
    }

    #[inline(always)]
    unsafe fn times_power(self, rounded: Self) -> Self {
        Self(array::from_fn(|lane| self.0[lane].times_power(rounded.0[lane])))
    }

    #[inline(always)]
    unsafe fn sum(self) -> T {
        self.0.into_iter().fold(T::zero(), |sum, x| sum + x)
    }

    #[inline(always)]
    unsafe fn zip(self, other: Self) -> (Self, Self) {
        let of = |start: usize| {
            array::from_fn(|lane| if lane % 2 == 0 { self.0[start + lane / 2] } else { other.0[start + lane / 2] })
        };
        (Self(of(0)), Self(of(LANES / 2)))
    }

    unsafe fn compiled<L: VectorLoop<Self>>(work: L) -> L::Result {
        // SAFETY: guaranteed by the caller.
        unsafe { work.run() }
    }
}
