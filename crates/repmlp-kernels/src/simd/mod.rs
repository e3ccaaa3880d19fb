//! Vectors of a processor, chosen at run time: two loops written over [`Vector`] by hand, which all convolutions come down to, and
//! loops over elements that the compiler makes vectors of (`for_each_set`).
//!
//! Both are written once; each instruction set compiles them with its own features. It knows numbers and addresses, no
//! convolution.
#![expect(unsafe_code, reason = "vector instructions, and loops over addresses that tensors were checked to have")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dot_tile;
mod plain;
mod tap_tile;

use std::sync::OnceLock;

use candle_core::{Result, WithDType, bail};

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{Avx2F32, Avx2F64};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512F32, Avx512F64};
pub(crate) use dot_tile::{DOT_INPUTS, DOT_OUTPUTS, DotRun, DotTile};
pub(crate) use plain::Plain;
pub(crate) use tap_tile::{Segment, Steps, TAP_ROWS, TapTile};

/// What the kernels are compiled for and the processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstructionSet {
    /// Rust without any particular instruction.
    Plain,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F, and what AVX2 has.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Most lanes of a vector.
pub(crate) const MOST_LANES: usize = 16;

impl InstructionSet {
    /// The best that this processor has, or one that it has and the environment names: `REPMLP_KERNELS=plain`, `avx2` or
    /// `avx512`; read once. The products of the `gemm` crate choose for themselves.
    pub(crate) fn get() -> Self {
        static CHOSEN: OnceLock<InstructionSet> = OnceLock::new();
        // A name that means none has been refused by `check_environment` wherever somebody could hear of it.
        *CHOSEN.get_or_init(|| Self::chosen(&environment()).or(Self::chosen("")).unwrap_or(Self::Plain))
    }

    /// The one of this name, or the best where there is no name; none where this processor lacks it.
    fn chosen(name: &str) -> Option<Self> {
        let all = Self::all();
        let found = if name.is_empty() { all.last() } else { all.iter().find(|set| set.name() == name) };
        found.copied()
    }

    fn name(self) -> String {
        format!("{self:?}").to_ascii_lowercase()
    }

    /// Those that this processor has, the best last.
    pub(crate) fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            let wide = std::arch::is_x86_feature_detected!("avx512f").then_some(Self::Avx512);
            return [Self::Plain, Self::Avx2].into_iter().chain(wide).collect();
        }
        vec![Self::Plain]
    }
}

/// Name of the variable that chooses an instruction set.
const VARIABLE: &str = "REPMLP_KERNELS";

fn environment() -> String {
    std::env::var(VARIABLE).unwrap_or_default()
}

/// An error where the environment chooses an instruction set that this processor lacks; kernels would take the best.
///
/// # Errors
/// See above.
pub fn check_environment() -> Result<()> {
    check(&environment())
}

fn check(name: &str) -> Result<()> {
    if InstructionSet::chosen(name).is_none() {
        let names: Vec<String> = InstructionSet::all().into_iter().map(InstructionSet::name).collect();
        bail!("{VARIABLE}=`{name}`: this processor has {}; leave it out for the best", names.join(", "));
    }
    Ok(())
}

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
}

impl Number for f32 {
    type Plain = Plain<f32, 8>;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = Avx2F32;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = Avx512F32;
}

impl Number for f64 {
    type Plain = Plain<f64, 4>;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = Avx2F64;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = Avx512F64;
}

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

/// The two loops over a vector, compiled with its features.
macro_rules! tiles {
    ($V:ident, $T:ty, $features:literal) => {
        unsafe fn tap_tile<const ROWS: usize, const VECTORS: usize>(tile: &$crate::simd::TapTile<'_, $T>) {
            #[target_feature(enable = $features)]
            unsafe fn compiled<const ROWS: usize, const VECTORS: usize>(tile: &$crate::simd::TapTile<'_, $T>) {
                // SAFETY: the caller's promise.
                unsafe { $crate::simd::tap_tile::tap_tile::<$V, ROWS, VECTORS>(tile) }
            }
            // SAFETY: the processor has the features, the trait says; the rest is the caller's promise.
            unsafe { compiled::<ROWS, VECTORS>(tile) }
        }

        unsafe fn dot_tile<const OUTPUTS: usize, const INPUTS: usize>(
            tile: &$crate::simd::DotTile<'_, $T>,
        ) -> [[$T; $crate::simd::DOT_INPUTS]; $crate::simd::DOT_OUTPUTS] {
            #[target_feature(enable = $features)]
            unsafe fn compiled<const OUTPUTS: usize, const INPUTS: usize>(
                tile: &$crate::simd::DotTile<'_, $T>,
            ) -> [[$T; $crate::simd::DOT_INPUTS]; $crate::simd::DOT_OUTPUTS] {
                // SAFETY: the caller's promise.
                unsafe { $crate::simd::dot_tile::dot_tile::<$V, OUTPUTS, INPUTS>(tile) }
            }
            // SAFETY: the processor has the features, the trait says; the rest is the caller's promise.
            unsafe { compiled::<OUTPUTS, INPUTS>(tile) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
use tiles;

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

    /// Zeros.
    unsafe fn zero() -> Self;
    /// The number at an address in every lane.
    unsafe fn splat(from: *const Self::Number) -> Self;
    /// `LANES` numbers.
    unsafe fn load(from: *const Self::Number) -> Self;
    /// `count` < `LANES` numbers, then zeros; reads no further.
    unsafe fn load_first(from: *const Self::Number, count: usize) -> Self;
    /// Writes `LANES` numbers.
    unsafe fn store(self, to: *mut Self::Number);
    /// self·b + c.
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self;
    /// The sum of all lanes.
    unsafe fn sum(self) -> Self::Number;

    /// [`tap_tile::tap_tile`] compiled for the instruction set.
    unsafe fn tap_tile<const ROWS: usize, const VECTORS: usize>(tile: &TapTile<'_, Self::Number>);
    /// [`dot_tile::dot_tile`] compiled for the instruction set.
    unsafe fn dot_tile<const OUTPUTS: usize, const INPUTS: usize>(
        tile: &DotTile<'_, Self::Number>,
    ) -> [[Self::Number; DOT_INPUTS]; DOT_OUTPUTS];
}

#[cfg(test)]
mod tests {
    use super::{InstructionSet, check};

    #[test]
    fn a_set_is_chosen_by_name_and_others_are_refused() {
        assert_eq!(InstructionSet::chosen(""), InstructionSet::all().last().copied());
        for set in InstructionSet::all() {
            assert_eq!(InstructionSet::chosen(&set.name()), Some(set));
        }
        let message = check("avx3").unwrap_err().to_string();
        assert!(message.contains("REPMLP_KERNELS=`avx3`: this processor has plain"), "{message}");
    }
}
