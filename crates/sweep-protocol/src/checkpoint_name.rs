//! The file name of a checkpoint: `checkpoint-<step>-<digest>.safetensors`. Trainers write these files; the runner
//! removes those that are no longer needed. Neither of them touches other files.

use std::fmt;

/// Number of hexadecimal digits in a checkpoint's digest.
const DIGEST_DIGITS: usize = 16;

/// The parts of a checkpoint's file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckpointName {
    /// Number of steps since the run began.
    pub step: u64,
    digest: String,
}

impl CheckpointName {
    /// Creates the name of a checkpoint file with these bytes.
    pub fn of(step: u64, bytes: &[u8]) -> Self {
        Self { step, digest: blake3::hash(bytes).to_hex()[..DIGEST_DIGITS].to_owned() }
    }

    /// Parses a file name. Returns `None` for other files.
    pub fn parse(name: &str) -> Option<Self> {
        let (step, digest) = name.strip_prefix("checkpoint-")?.strip_suffix(".safetensors")?.split_once('-')?;
        let is_digest = digest.len() == DIGEST_DIGITS && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let is_step = step.bytes().all(|byte| byte.is_ascii_digit());
        (is_digest && is_step).then(|| Some(Self { step: step.parse().ok()?, digest: digest.to_owned() }))?
    }
}

impl fmt::Display for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint-{:010}-{}.safetensors", self.step, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_other_files_are_not_checkpoints() {
        let name = CheckpointName::of(12, b"weights");
        assert_eq!(CheckpointName::parse(&name.to_string()), Some(name.clone()));
        assert_ne!(CheckpointName::of(12, b"other"), name);
        for other in [
            "checkpoint-mine.safetensors",
            "checkpoint-1-0123.safetensors",
            "checkpoint-+1-0123456789abcdef.safetensors",
            "checkpoint--0123456789abcdef.safetensors",
            "checkpoint-1-0123456789ABCDEF.safetensors",
            "checkpoint-1-0123456789abcdef.safetensors.7.tmp",
            "weights.safetensors",
        ] {
            assert_eq!(CheckpointName::parse(other), None, "{other}");
        }
    }
}
