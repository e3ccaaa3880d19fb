//! The identity of a run: a digest of everything that can change its result.
//!
//! This module digests bytes and does not know their meaning. The caller provides the configuration in canonical form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// BLAKE3 digest (32 bytes) of a run's canonical configuration and seed. Its text form is 64 hexadecimal digits; its
/// short form is the first 10.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RunId([u8; 32]);

impl RunId {
    /// Number of digits in the short form. For 2^20 runs the chance of a collision is one in two million.
    pub const SHORT_DIGITS: usize = 10;

    /// Returns the identity of the run with this canonical configuration (JSON with sorted keys) and this seed.
    pub fn of(canonical_config: &str, seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"{\"config\":");
        hasher.update(canonical_config.as_bytes());
        hasher.update(format!(",\"seed\":{seed}}}").as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// Returns the first ten hexadecimal digits.
    pub fn short(&self) -> String {
        self.to_string()[..Self::SHORT_DIGITS].to_owned()
    }

    /// Whether the hexadecimal form starts with `prefix`. The case of letters does not matter.
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.to_string().starts_with(&prefix.to_ascii_lowercase())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written by hand for speed: an id is written for every value of a sweep.
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
        let text: String = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        f.write_str(&text)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({})", self.short())
    }
}

/// Error for a text that is not a run id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a run id: expected 64 hexadecimal digits")]
pub struct RunIdError(String);

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = || RunIdError(text.to_owned());
        if text.len() != 64 || !text.is_ascii() {
            return Err(fault());
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| fault())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for RunId {
    type Error = RunIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_depends_on_configuration_and_seed() {
        let id = RunId::of("{}", 0);
        assert_eq!(id, RunId::of("{}", 0));
        assert_ne!(id, RunId::of("{}", 1));
        assert_ne!(id, RunId::of("{\"a\":1}", 0));
    }

    #[test]
    fn text_form_round_trips_and_bad_text_is_refused() {
        let id = RunId::of("{}", 7);
        assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        assert!(id.starts_with(&id.short().to_uppercase()));
        for bad in ["", "xyz", &"g".repeat(64), &"é".repeat(32)] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }
}
