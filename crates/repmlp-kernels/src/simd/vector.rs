//! What loops need of a vector register, for any instruction set, and how loops are compiled for it.
#![expect(unsafe_code, reason = "vector instructions, and addresses that tensors were checked to have")]

use std::f64::consts::LN_2;

use candle_core::WithDType;

use crate::simd::Plain;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2F32, Avx2F64, Avx512F32, Avx512F64};

/// Maximum number of lanes of a vector.
pub(crate) const MOST_LANES: usize = 16;
/// Maximum rows of a [`TapTile`] of two vectors or more.
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

    /// Adding this number rounds to a whole number. It is so large that fractions are rounded away, and so small that
    /// whole numbers are not.
    const ROUNDER: Self;
    /// 2 to the power of this number or less counts as 0.
    const LEAST_POWER: Self;
    /// Coefficients cᵢ of 2^r ≈ 1 + Σ cᵢ·rⁱ for −½ ≤ r ≤ ½, the highest power first.
    const EXP2: &'static [Self];

    /// Returns self·2^n, where `rounded` is `ROUNDER` + n.
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

/// A polynomial with the exact value and slope at 0. Among those of its degree, its maximum relative error is the
/// smallest: 1.05e-7. Lawson's algorithm found it.
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

/// The Taylor series, (ln 2)ⁱ/i!. Its truncation error is below 5e-18.
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

/// Runs a body with the vector type of the instruction set. The body is generic in that type.
macro_rules! for_instruction_set {
    ($set:expr, $T:ty, $V:ident => $body:expr) => {
        match $set {
            $crate::simd::InstructionSet::Plain => {
                type $V<T> = <T as $crate::simd::Number>::Plain;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::simd::InstructionSet::Avx2(_) => {
                type $V<T> = <T as $crate::simd::Number>::Avx2;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::simd::InstructionSet::Avx512(_) => {
                type $V<T> = <T as $crate::simd::Number>::Avx512;
                $body
            }
        }
    };
}
pub(crate) use for_instruction_set;

/// A loop over vectors that is compiled with the features of their instruction set.
pub(crate) trait VectorLoop<V: Vector> {
    /// Result of the loop.
    type Result;

    /// Runs the loop. Implementations are always inlined.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`. The implementation's demands on its addresses are met.
    unsafe fn run(self) -> Self::Result;
}

/// Implements [`Vector::compiled`] for the features of an instruction set.
macro_rules! compiled {
    ($features:literal) => {
        unsafe fn compiled<L: $crate::simd::VectorLoop<Self>>(work: L) -> L::Result {
            #[target_feature(enable = $features)]
            unsafe fn compiled<V: $crate::simd::Vector, L: $crate::simd::VectorLoop<V>>(work: L) -> L::Result {
                // SAFETY: guaranteed by the caller.
                unsafe { work.run() }
            }
            // SAFETY: the trait demands a processor with these features. The caller guarantees the rest.
            unsafe { compiled::<Self, L>(work) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use compiled;

/// Functions with loops that the compiler vectorises, compiled once for each instruction set. A function
/// `fn name[generics](arguments) -> result { .. }` gets the set as its first argument. Everything that the body calls
/// must be inlined into it. (A closure passed to a function with the features is mostly not inlined.)
macro_rules! for_each_set {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident[$($generics:tt)*]($($argument:ident: $type:ty),* $(,)?)
        $(-> $result:ty)? $body:block
    )*) => {$(
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
                expect(unsafe_code, reason = "a variant exists only where the processor has its features")
            )]
            match set {
                $crate::simd::InstructionSet::Plain => plain($($argument),*),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: this variant exists only where the processor has the features.
                $crate::simd::InstructionSet::Avx2(_) => unsafe { avx2($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: this variant exists only where the processor has the features.
                $crate::simd::InstructionSet::Avx512(_) => unsafe { avx512($($argument),*) },
            }
        }
    )*};
}
pub(crate) use for_each_set;

/// A register full of numbers.
///
/// # Safety
/// Every method needs a processor with the instruction set of the implementation. An address must be that of as many
/// numbers as the method says, aligned as numbers are.
pub(crate) trait Vector: Copy {
    /// Type of the numbers.
    type Number: Number;
    /// Count of numbers.
    const LANES: usize;
    /// Maximum rows of a [`TapTile`] of two vectors or more. With two vectors, they fill the registers.
    const ROWS: usize;
    /// Maximum rows of the first and of the second kind of a [`DotTile`].
    const DOTS: (usize, usize);

    /// Returns zeros.
    unsafe fn zero() -> Self;
    /// Returns the number at an address, in every lane.
    unsafe fn splat(from: *const Self::Number) -> Self;
    /// Reads `LANES` numbers.
    unsafe fn load(from: *const Self::Number) -> Self;
    /// Reads 1 ≤ `count` ≤ `LANES` numbers and nothing beyond. The other lanes are 0.
    unsafe fn load_first(from: *const Self::Number, count: usize) -> Self;
    /// Reads the first numbers of a non-empty slice, at most `LANES`. The other lanes are 0.
    #[inline(always)]
    unsafe fn load_some(from: &[Self::Number]) -> Self {
        debug_assert!(!from.is_empty(), "a vector needs at least one number");
        // SAFETY: the caller guarantees the instruction set, and the slice has as many numbers as are read.
        unsafe {
            if from.len() >= Self::LANES {
                Self::load(from.as_ptr())
            } else {
                Self::load_first(from.as_ptr(), from.len())
            }
        }
    }

    /// Prefetches the number at an address. It reads nothing, so any address is allowed.
    unsafe fn prefetch(from: *const Self::Number);
    /// Writes `LANES` numbers.
    unsafe fn store(self, to: *mut Self::Number);
    /// Writes the first `count` numbers, 1 ≤ `count` ≤ `LANES`.
    unsafe fn store_first(self, to: *mut Self::Number, count: usize);
    /// Writes the first numbers of a non-empty slice, at most `LANES`.
    #[inline(always)]
    unsafe fn store_some(self, to: &mut [Self::Number]) {
        debug_assert!(!to.is_empty(), "a vector needs at least one number");
        // SAFETY: the caller guarantees the instruction set, and the slice has as many numbers as are written.
        unsafe {
            if to.len() >= Self::LANES {
                self.store(to.as_mut_ptr());
            } else {
                self.store_first(to.as_mut_ptr(), to.len());
            }
        }
    }

    /// Returns self·b + c.
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self;
    /// Returns the larger number of each lane, or that of `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// Returns self·2^n for each lane, where `rounded` is [`Number::ROUNDER`] + n.
    unsafe fn times_power(self, rounded: Self) -> Self;
    /// Returns the sum of all lanes.
    unsafe fn sum(self) -> Self::Number;

    /// Interleaves the numbers of both: first the first halves, then the second halves.
    unsafe fn zip(self, other: Self) -> (Self, Self);

    /// Runs a loop that is compiled for the instruction set.
    unsafe fn compiled<L: VectorLoop<Self>>(work: L) -> L::Result;
}

/// Whether this many lanes leave at most a quarter of their vectors empty.
pub(crate) fn fills<V: Vector>(lanes: usize) -> bool {
    lanes.next_multiple_of(V::LANES) * 3 <= lanes * 4
}

/// Returns 0 as a number of the vector's type.
pub(crate) fn zero<V: Vector>() -> V::Number {
    V::Number::from_f64(0.0)
}
