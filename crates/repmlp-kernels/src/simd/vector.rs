//! What a loop needs of a register, whichever the processor has, and how loops are compiled for it.
#![expect(unsafe_code, reason = "vector instructions, and addresses that tensors were checked to have")]

use std::f64::consts::LN_2;

use candle_core::WithDType;

use crate::simd::Plain;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2F32, Avx2F64, Avx512F32, Avx512F64};

/// Most lanes of a vector.
pub(crate) const MOST_LANES: usize = 16;
/// Most rows of a [`TapTile`] of two vectors or more.
pub(crate) const MOST_ROWS: usize = 12;

/// A number type with a vector type for each instruction set.
pub(crate) trait Number: WithDType {
    /// Its vector without particular instructions.
    type Plain: Vector<Number = Self>;
    /// Its AVX2 vector.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Vector<Number = Self>;
    /// Its AVX-512 vector.
    #[cfg(target_arch = "x86_64")]
    type Avx512: Vector<Number = Self>;

    /// A number so large that nothing but whole numbers is added to it without rounding, and so small that all whole numbers are.
    const ROUNDER: Self;
    /// 2 to this power and all below is taken for 0.
    const LEAST_POWER: Self;
    /// 2^r ≈ 1 + Σ cᵢ·rⁱ for −½ ≤ r ≤ ½: the coefficients, the last power's first.
    const EXP2: &'static [Self];

    /// self·2^n where `rounded` is `ROUNDER` + n.
    fn times_power(self, rounded: Self) -> Self;
}

impl Number for f32 {
    type Plain = Plain<f32, 8>;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = Avx2F32;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = Avx512F32;

    const ROUNDER: Self = 12_582_912.0;
    const LEAST_POWER: Self = -127.0;
    const EXP2: &'static [Self] = &EXP2_F32;

    #[inline(always)]
    fn times_power(self, rounded: Self) -> Self {
        Self::from_bits(self.to_bits().wrapping_add(rounded.to_bits() << 23))
    }
}

/// The polynomial of this degree, with the function's value and slope at 0, whose largest relative error is least: 1.05e-7 (found by
/// Lawson's algorithm).
const EXP2_F32: [f32; 5] = [0.0013300607, 0.009669691, 0.055505585, 0.24022283, std::f32::consts::LN_2];

impl Number for f64 {
    type Plain = Plain<f64, 4>;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = Avx2F64;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = Avx512F64;

    const ROUNDER: Self = 6_755_399_441_055_744.0;
    const LEAST_POWER: Self = -1023.0;
    const EXP2: &'static [Self] = &EXP2_F64;

    #[inline(always)]
    fn times_power(self, rounded: Self) -> Self {
        Self::from_bits(self.to_bits().wrapping_add(rounded.to_bits() << 52))
    }
}

/// Taylor's series, (ln 2)ⁱ/i!; what it leaves out is below 5e-18.
const EXP2_F64: [f64; 13] = {
    let mut coefficients = [1.0; 13];
    let (mut i, mut coefficient) = (1, 1.0);
    while i <= 13 {
        coefficient *= LN_2 / i as f64;
        coefficients[13 - i] = coefficient;
        i += 1;
    }
    coefficients
};

/// Runs a body that is generic in the vector type, for the instruction set.
macro_rules! for_instruction_set {
    ($set:expr, $T:ty, $V:ident => $body:expr) => {
        match $set {
            $crate::simd::InstructionSet::Plain => {
                type $V<T> = <T as $crate::simd::Number>::Plain;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::simd::InstructionSet::Avx2 => {
                type $V<T> = <T as $crate::simd::Number>::Avx2;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::simd::InstructionSet::Avx512 => {
                type $V<T> = <T as $crate::simd::Number>::Avx512;
                $body
            }
        }
    };
}
pub(crate) use for_instruction_set;

/// A loop over vectors that is compiled with the features of their instruction set.
pub(crate) trait VectorLoop<V: Vector> {
    /// What it comes to.
    type Result;

    /// Runs it; to be inlined always.
    ///
    /// # Safety
    /// The instruction set of `V`, and what the implementation says of its addresses.
    unsafe fn run(self) -> Self::Result;
}

/// [`Vector::compiled`] for the features of an instruction set.
macro_rules! compiled {
    ($features:literal) => {
        unsafe fn compiled<L: $crate::simd::VectorLoop<Self>>(work: L) -> L::Result {
            #[target_feature(enable = $features)]
            unsafe fn compiled<V: $crate::simd::Vector, L: $crate::simd::VectorLoop<V>>(work: L) -> L::Result {
                // SAFETY: the caller's promise.
                unsafe { work.run() }
            }
            // SAFETY: the processor has the features, the trait says; the rest is the caller's promise.
            unsafe { compiled::<Self, L>(work) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use compiled;

/// Functions that the compiler makes vector loops of, once for each instruction set: `fn name[generics](arguments) -> result { .. }`
/// gets the set as its first argument. What the body calls must be inlined into it. (A closure handed to a function that has the
/// features is mostly not.)
macro_rules! for_each_set {
    ($($(#[$attribute:meta])* $visibility:vis fn $name:ident[$($generics:tt)*]($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        $(#[$attribute])*
        $visibility fn $name<$($generics)*>(set: $crate::simd::InstructionSet, $($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain<$($generics)*>($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$($generics)*>($($argument: $type),*) $(-> $result)? {
                plain($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            fn avx512<$($generics)*>($($argument: $type),*) $(-> $result)? {
                plain($($argument),*)
            }
            #[cfg_attr(
                target_arch = "x86_64",
                expect(unsafe_code, reason = "a variant is made where the processor has its features")
            )]
            match set {
                $crate::simd::InstructionSet::Plain => plain($($argument),*),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: this variant is made where the processor has the features.
                $crate::simd::InstructionSet::Avx2 => unsafe { avx2($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::simd::InstructionSet::Avx512 => unsafe { avx512($($argument),*) },
            }
        }
    )*};
}
pub(crate) use for_each_set;

/// A register full of numbers.
///
/// # Safety
/// Every method needs a processor with the instruction set of the implementation; where it takes an address, that of as many
/// numbers as it says, aligned as numbers are.
pub(crate) trait Vector: Copy {
    /// What it holds.
    type Number: Number;
    /// How many.
    const LANES: usize;
    /// Most rows of a [`TapTile`] of two vectors or more: with two they fill the registers.
    const ROWS: usize;
    /// Most rows of the first and of the second kind of a [`DotTile`].
    const DOTS: (usize, usize);

    /// Zeros.
    unsafe fn zero() -> Self;
    /// The number at an address in every lane.
    unsafe fn splat(from: *const Self::Number) -> Self;
    /// `LANES` numbers.
    unsafe fn load(from: *const Self::Number) -> Self;
    /// 1 ≤ `count` ≤ `LANES` numbers, then zeros; reads no further.
    unsafe fn load_first(from: *const Self::Number, count: usize) -> Self;
    /// The first numbers of a slice that is not empty, `LANES` at most, then zeros.
    #[inline(always)]
    unsafe fn load_some(from: &[Self::Number]) -> Self {
        debug_assert!(!from.is_empty(), "a vector has a number at least");
        // SAFETY: the instruction set is the caller's promise; the slice has as many numbers as are read.
        unsafe {
            if from.len() >= Self::LANES {
                Self::load(from.as_ptr())
            } else {
                Self::load_first(from.as_ptr(), from.len())
            }
        }
    }

    /// Brings the number at an address nearer; reads nothing, so that any address will do.
    unsafe fn prefetch(from: *const Self::Number);
    /// Writes `LANES` numbers.
    unsafe fn store(self, to: *mut Self::Number);
    /// Writes the first `count` numbers, 1 ≤ `count` ≤ `LANES`.
    unsafe fn store_first(self, to: *mut Self::Number, count: usize);
    /// Writes the first numbers of a slice that is not empty, `LANES` at most.
    #[inline(always)]
    unsafe fn store_some(self, to: &mut [Self::Number]) {
        debug_assert!(!to.is_empty(), "a vector has a number at least");
        // SAFETY: the instruction set is the caller's promise; the slice has as many numbers as are written.
        unsafe {
            if to.len() >= Self::LANES {
                self.store(to.as_mut_ptr());
            } else {
                self.store_first(to.as_mut_ptr(), to.len());
            }
        }
    }

    /// self·b + c.
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self;
    /// The larger number of each lane; that of `other` where either is none.
    unsafe fn max(self, other: Self) -> Self;
    /// self·2^n for each lane, where `rounded` is [`Number::ROUNDER`] + n.
    unsafe fn times_power(self, rounded: Self) -> Self;
    /// The sum of all lanes.
    unsafe fn sum(self) -> Self::Number;

    /// The numbers of both in turns: the first halves, then the second.
    unsafe fn zip(self, other: Self) -> (Self, Self);

    /// Runs a loop compiled for the instruction set.
    unsafe fn compiled<L: VectorLoop<Self>>(work: L) -> L::Result;
}

/// Whether so many lanes leave no more than a quarter of their vectors empty.
pub(crate) fn fills<V: Vector>(lanes: usize) -> bool {
    lanes.next_multiple_of(V::LANES) * 3 <= lanes * 4
}

/// 0 of a vector's numbers.
pub(crate) fn zero<V: Vector>() -> V::Number {
    V::Number::from_f64(0.0)
}
