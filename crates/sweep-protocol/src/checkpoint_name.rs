//! File names of weights that trainers write: `checkpoint-<step>-<digest>.safetensors`, everything that a run needs to
//! continue, and `epoch-<epoch>-<digest>.safetensors`, the weights of an epoch that is kept. The runner removes
//! checkpoints that are no longer needed. Nothing touches other files.

use std::fmt;

/// Number of hexadecimal digits in a digest.
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
        Self { step, digest: digest(bytes) }
    }

    /// Parses a file name. Returns `None` for other files.
    pub fn parse(name: &str) -> Option<Self> {
        let (step, digest) = numbered("checkpoint-", name)?;
        Some(Self { step, digest })
    }
}

impl fmt::Display for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint-{:010}-{}.safetensors", self.step, self.digest)
    }
}

/// The parts of the file name of an epoch's weights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochWeightsName {
    /// The epoch, counted from 1.
    pub epoch: u32,
    digest: String,
}

impl EpochWeightsName {
    /// Creates the name of a file with these bytes.
    pub fn of(epoch: u32, bytes: &[u8]) -> Self {
        Self { epoch, digest: digest(bytes) }
    }

    /// Parses a file name. Returns `None` for other files.
    pub fn parse(name: &str) -> Option<Self> {
        let (epoch, digest) = numbered("epoch-", name)?;
        Some(Self { epoch: epoch.try_into().ok()?, digest })
    }
}

impl fmt::Display for EpochWeightsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch-{:04}-{}.safetensors", self.epoch, self.digest)
    }
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..DIGEST_DIGITS].to_owned()
}

/// Returns the number and the digest of a name that starts with `prefix`.
fn numbered(prefix: &str, name: &str) -> Option<(u64, String)> {
    let (number, digest) = name.strip_prefix(prefix)?.strip_suffix(".safetensors")?.split_once('-')?;
    let is_digest = digest.len() == DIGEST_DIGITS && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    (is_digest && is_number).then(|| Some((number.parse().ok()?, digest.to_owned())))?
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

    #[test]
    fn weights_of_an_epoch_are_no_checkpoints() {
        let name = EpochWeightsName::of(12, b"weights");
        assert_eq!(EpochWeightsName::parse(&name.to_string()), Some(name.clone()));
        assert_eq!(CheckpointName::parse(&name.to_string()), None);
        assert_eq!(EpochWeightsName::parse("epoch-4294967296-0123456789abcdef.safetensors"), None);
        assert_eq!(EpochWeightsName::parse(&CheckpointName::of(12, b"weights").to_string()), None);
    }
}
