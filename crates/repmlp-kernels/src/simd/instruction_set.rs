//! The instruction set that loops use: the best that the processor has, or one that the environment names.

use std::fmt;
use std::sync::OnceLock;

use crate::simd::{Number, fills};

/// Proof that the processor has an instruction set. Only this module can create it, after it has asked the processor:
/// `unsafe` code relies on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Detected(());

/// An instruction set that the kernels are compiled for and the processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstructionSet {
    /// Rust without particular instructions.
    Plain,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Detected),
    /// AVX-512F, in addition to AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx512(Detected),
}

impl InstructionSet {
    /// Returns the best set of this processor, or the set that the environment names: `REPMLP_KERNELS=plain`, `avx2` or
    /// `avx512`. The variable is read once. The choice applies to the loops of this crate; candle's own products choose
    /// for themselves.
    pub(crate) fn get() -> Self {
        // An unknown name counts as no name. Programs refuse it earlier, with `check_environment`.
        *CHOSEN.get_or_init(|| Self::chosen(&environment()).or(Self::chosen("")).unwrap_or(Self::Plain))
    }

    /// Returns this set, or one with shorter vectors where `lanes` numbers do not fill its vectors. Reading and writing
    /// half of a vector is slower than a whole vector of half the length.
    pub(crate) fn for_lanes<T: Number>(self, lanes: usize) -> Self {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(Detected(())) if !fills::<T::Avx512>(lanes) => Self::Avx2(Detected(())),
            other => other,
        }
    }

    /// Returns the set of this name, or the best for an empty name. `None` where this processor lacks it.
    fn chosen(name: &str) -> Option<Self> {
        let all = Self::all();
        let found = if name.is_empty() { all.last() } else { all.iter().find(|set| set.name() == name) };
        found.copied()
    }

    fn name(self) -> String {
        let name = match self {
            Self::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        };
        name.to_owned()
    }

    /// Returns the sets that this processor has, the best last.
    pub(crate) fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            let wide = std::arch::is_x86_feature_detected!("avx512f").then_some(Self::Avx512(Detected(())));
            return [Self::Plain, Self::Avx2(Detected(()))].into_iter().chain(wide).collect();
        }
        vec![Self::Plain]
    }
}

/// The set that this process uses, once it has computed something.
static CHOSEN: OnceLock<InstructionSet> = OnceLock::new();

/// Version of the kernels' results. Raise it by hand when results change, even in the last digit.
pub const VERSION: u32 = 1;

/// Returns the names of the instruction sets that this processor has and the kernels support, the best last.
pub fn instruction_sets() -> Vec<String> {
    InstructionSet::all().into_iter().map(InstructionSet::name).collect()
}

/// Returns the name of the instruction set that the kernels of this process use.
pub fn instruction_set() -> String {
    InstructionSet::get().name()
}

/// Makes the kernels of this process use the instruction set of this name. Call it before any computation.
///
/// # Errors
/// Fails when this processor lacks the set, or when the process already uses another one.
pub fn choose_instruction_set(name: &str) -> Result<(), UnknownInstructionSet> {
    let unknown = || UnknownInstructionSet { name: name.to_owned() };
    let chosen = InstructionSet::chosen(name).ok_or_else(unknown)?;
    if *CHOSEN.get_or_init(|| chosen) == chosen { Ok(()) } else { Err(unknown()) }
}

/// Name of the environment variable that chooses an instruction set.
const VARIABLE: &str = "REPMLP_KERNELS";

fn environment() -> String {
    std::env::var(VARIABLE).unwrap_or_default()
}

/// Error: the chosen instruction set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownInstructionSet {
    name: String,
}

impl fmt::Display for UnknownInstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = instruction_sets().join(", ");
        write!(f, "{VARIABLE}=`{}`: this processor has {names}; name one of these or unset the variable", self.name)
    }
}

impl std::error::Error for UnknownInstructionSet {}

/// Checks the environment variable. Without this check, the kernels would ignore an unknown name and use the best set.
///
/// # Errors
/// Fails when the environment names an instruction set that this processor lacks.
pub fn check_environment() -> Result<(), UnknownInstructionSet> {
    check(environment())
}

fn check(name: String) -> Result<(), UnknownInstructionSet> {
    InstructionSet::chosen(&name).map(drop).ok_or(UnknownInstructionSet { name })
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
