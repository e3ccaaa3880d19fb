//! Vectors of a processor, chosen at run time: loops written over [`Vector`] by hand, which all products and convolutions come down
//! to, and loops over elements that the compiler makes vectors of (`for_each_set`).
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
mod transpose;

use std::fmt;
use std::sync::OnceLock;

use candle_core::WithDType;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{Avx2F32, Avx2F64};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512F32, Avx512F64};
pub(crate) use dot_tile::{DotRun, DotTile, dots};
pub(crate) use plain::Plain;
pub(crate) use tap_tile::{Segment, Steps, TapTile, most_rows, most_vectors, sum_taps};
pub(crate) use transpose::{transpose, transposed};

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
/// Most rows of a [`TapTile`] of two vectors or more.
pub(crate) const MOST_ROWS: usize = 12;

impl InstructionSet {
    /// The best that this processor has, or one that it has and the environment names: `REPMLP_KERNELS=plain`, `avx2` or
    /// `avx512`; read once. It holds for the loops of this crate: candle's own products choose for themselves.
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

/// The environment chooses an instruction set that this processor lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownInstructionSet {
    name: String,
}

impl fmt::Display for UnknownInstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = InstructionSet::all().into_iter().map(InstructionSet::name).collect();
        let names = names.join(", ");
        write!(f, "{VARIABLE}=`{}`: this processor has {names}; leave it out for the best", self.name)
    }
}

impl std::error::Error for UnknownInstructionSet {}

/// An error where the environment chooses an instruction set that this processor lacks; kernels would take the best.
///
/// # Errors
/// See above.
pub fn check_environment() -> Result<(), UnknownInstructionSet> {
    check(environment())
}

fn check(name: String) -> Result<(), UnknownInstructionSet> {
    InstructionSet::chosen(&name).map(drop).ok_or(UnknownInstructionSet { name })
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
use compiled;

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
    /// Brings the number at an address nearer; reads nothing, so that any address will do.
    unsafe fn prefetch(from: *const Self::Number);
    /// Writes `LANES` numbers.
    unsafe fn store(self, to: *mut Self::Number);
    /// Writes the first `count` numbers, 1 ≤ `count` ≤ `LANES`.
    unsafe fn store_first(self, to: *mut Self::Number, count: usize);
    /// self·b + c.
    unsafe fn multiply_add(self, b: Self, c: Self) -> Self;
    /// The sum of all lanes.
    unsafe fn sum(self) -> Self::Number;

    /// The numbers of both in turns: the first halves, then the second.
    unsafe fn zip(self, other: Self) -> (Self, Self);

    /// Runs a loop compiled for the instruction set.
    unsafe fn compiled<L: VectorLoop<Self>>(work: L) -> L::Result;
}

/// 0 of a vector's numbers.
pub(crate) fn zero<V: Vector>() -> V::Number {
    V::Number::from_f64(0.0)
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
        let message = check("avx3".to_owned()).unwrap_err().to_string();
        assert!(message.contains("REPMLP_KERNELS=`avx3`: this processor has plain"), "{message}");
    }
}
