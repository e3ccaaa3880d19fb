//! Which instruction set the loops are compiled for: the best that the processor has, or one that the environment names.

use std::fmt;
use std::sync::OnceLock;

use crate::simd::{Number, fills};

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

impl InstructionSet {
    /// The best that this processor has, or one that it has and the environment names: `REPMLP_KERNELS=plain`, `avx2` or
    /// `avx512`; read once. It holds for the loops of this crate: candle's own products choose for themselves.
    pub(crate) fn get() -> Self {
        // A name that means none has been refused by `check_environment` wherever somebody could hear of it.
        *CHOSEN.get_or_init(|| Self::chosen(&environment()).or(Self::chosen("")).unwrap_or(Self::Plain))
    }

    /// The same, or one with shorter vectors where so many lanes do not fill its own: the first half of a vector is read and written
    /// slower than a whole one that is half as long.
    pub(crate) fn for_lanes<T: Number>(self, lanes: usize) -> Self {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 if !fills::<T::Avx512>(lanes) => Self::Avx2,
            other => other,
        }
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

/// What this process computes with, once it has computed.
static CHOSEN: OnceLock<InstructionSet> = OnceLock::new();

/// Raised by hand when a kernel's results change by as much as a last digit.
pub const VERSION: u32 = 1;

/// Names of the instruction sets that this processor has and the kernels can use, the best last.
pub fn instruction_sets() -> Vec<String> {
    InstructionSet::all().into_iter().map(InstructionSet::name).collect()
}

/// The name of the one that the kernels of this process use.
pub fn instruction_set() -> String {
    InstructionSet::get().name()
}

/// Makes the kernels of this process use the one of this name. To be called before anything is computed.
///
/// # Errors
/// When this processor lacks it, or another one is in use already.
pub fn choose_instruction_set(name: &str) -> Result<(), UnknownInstructionSet> {
    let unknown = || UnknownInstructionSet { name: name.to_owned() };
    let chosen = InstructionSet::chosen(name).ok_or_else(unknown)?;
    if *CHOSEN.get_or_init(|| chosen) == chosen { Ok(()) } else { Err(unknown()) }
}

/// Name of the variable that chooses an instruction set.
const VARIABLE: &str = "REPMLP_KERNELS";

fn environment() -> String {
    std::env::var(VARIABLE).unwrap_or_default()
}

/// An instruction set is chosen that this processor lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownInstructionSet {
    name: String,
}

impl fmt::Display for UnknownInstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = instruction_sets().join(", ");
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
