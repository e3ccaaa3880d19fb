//! Checkpoints: everything that a run needs to continue as if it had never stopped.
//!
//! A checkpoint is a safetensors file. Its name holds the step and a digest of its bytes. It is written to a temporary
//! file, synced and renamed. A file that does not match its digest is skipped, and the checkpoint before it is used.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use sweep_protocol::{Arithmetic, CheckpointName, Measurement, write_atomically};

use crate::train::TRAINER_VERSION;

/// Everything in a checkpoint except the tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointHeader {
    /// Steps done since the run started.
    pub step: u64,
    /// Digest of the data that the run uses.
    pub data_fingerprint: String,
    /// Version of the trainer that wrote the checkpoint.
    pub trainer_version: u32,
    /// Arithmetic of the attempt that wrote the checkpoint.
    pub arithmetic: Option<Arithmetic>,
    /// Bits of the running sums (`f64`) of the epoch: loss, correct labels, labels that count, seconds, seconds waited.
    pub sums: [u64; 5],
    /// All measurements of the run so far, in order. No journal line is needed to continue.
    pub measured: Vec<Measurement>,
}

/// A checkpoint cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused to write the file.
    #[error("checkpoint {} cannot be written", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Cause of the failure.
        source: io::Error,
    },
    /// The tensors cannot be serialised.
    #[error("checkpoint cannot be serialised")]
    Serialize(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The weights of the best epoch are not there, or are damaged. The next attempt starts from the beginning.
    #[error("the weights of epoch {epoch}, the best one, are missing or damaged in {}", .folder.display())]
    Lost {
        /// The folder of the attempt.
        folder: PathBuf,
        /// The epoch.
        epoch: u32,
    },
    /// The file is intact, but this run cannot continue from it.
    #[error("checkpoint {} does not fit this run: {reason}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Reason why it does not fit.
        reason: String,
    },
}

/// An intact checkpoint.
pub(crate) struct Checkpoint {
    pub(crate) path: PathBuf,
    pub(crate) header: CheckpointHeader,
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

const HEADER: &str = "header";

/// Returns the bytes of a safetensors file.
pub(crate) fn serialize(
    tensors: &[(String, Tensor)],
    header: Option<&CheckpointHeader>,
) -> Result<Vec<u8>, CheckpointError> {
    let fault = |e: Box<dyn std::error::Error + Send + Sync>| CheckpointError::Serialize(e);
    let metadata = match header {
        Some(header) => {
            let text = serde_json::to_string(header).map_err(|e| fault(e.into()))?;
            Some([(HEADER.to_owned(), text)].into())
        }
        None => None,
    };
    let tensors = tensors.iter().map(|(name, tensor)| (name, tensor));
    safetensors::serialize(tensors, metadata).map_err(|e| fault(e.into()))
}

/// Writes a checkpoint into `folder` and returns its file name.
pub(crate) fn save(
    folder: &Path,
    header: &CheckpointHeader,
    tensors: &[(String, Tensor)],
) -> Result<String, CheckpointError> {
    let bytes = serialize(tensors, Some(header))?;
    let name = CheckpointName::of(header.step, &bytes).to_string();
    let path = folder.join(&name);
    write_atomically(&path, &bytes).map_err(|source| CheckpointError::Write { path, source })?;
    Ok(name)
}

/// Writes only the tensors, as `file` in `folder`.
pub(crate) fn save_weights(folder: &Path, file: &str, tensors: &[(String, Tensor)]) -> Result<(), CheckpointError> {
    let path = folder.join(file);
    write_atomically(&path, &serialize(tensors, None)?).map_err(|source| CheckpointError::Write { path, source })
}

/// Number of checkpoints that are kept while an attempt runs: the newest, and one more in case the newest is damaged.
const KEPT: usize = 2;

/// Deletes all checkpoints of a folder except the [`KEPT`] newest.
pub(crate) fn prune(folder: &Path) -> Result<(), CheckpointError> {
    let mut all = candidates(std::slice::from_ref(&folder.to_owned()));
    all.truncate(all.len().saturating_sub(KEPT));
    for (_, path) in all {
        std::fs::remove_file(&path).map_err(|source| CheckpointError::Write { path, source })?;
    }
    Ok(())
}

/// Returns step and path of every checkpoint in these folders, sorted by step.
fn candidates(folders: &[PathBuf]) -> Vec<(u64, PathBuf)> {
    let mut candidates = Vec::new();
    // At equal steps, the first folder wins: folders of later attempts come first.
    for folder in folders.iter().rev() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            candidates.extend(name_of(&path).map(|name| (name.step, path)));
        }
    }
    candidates.sort_by_key(|(step, _)| *step);
    candidates
}

fn name_of(path: &Path) -> Option<CheckpointName> {
    CheckpointName::parse(path.file_name()?.to_str()?)
}

/// Result of [`newest`].
pub(crate) struct Newest {
    pub(crate) found: Option<Checkpoint>,
    /// Newer files, or files with the same step, that cannot be used.
    pub(crate) passed_over: Vec<PassedOver>,
}

/// A checkpoint that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PassedOver {
    pub(crate) path: PathBuf,
    /// Reason, worded as the end of a sentence that starts with the path.
    pub(crate) why: String,
}

/// Finds the checkpoint with the most steps in these folders. It must be intact, written by this trainer version, and
/// computed with this arithmetic. Another arithmetic would mix two kinds of rounding in one run. `misses` returns what
/// a run needs besides a checkpoint and does not have.
pub(crate) fn newest(
    folders: &[PathBuf],
    arithmetic: &Arithmetic,
    misses: impl Fn(&CheckpointHeader) -> Option<String>,
) -> Newest {
    let mut candidates = candidates(folders);
    let mut passed_over = Vec::new();
    while let Some((_, path)) = candidates.pop() {
        let why = match load(&path) {
            Some(Loaded::Ours(checkpoint)) if checkpoint.header.arithmetic.as_ref() == Some(arithmetic) => {
                match misses(&checkpoint.header) {
                    None => return Newest { found: Some(*checkpoint), passed_over },
                    Some(missing) => format!("cannot be used without {missing}"),
                }
            }
            Some(Loaded::Ours(checkpoint)) => {
                let other =
                    checkpoint.header.arithmetic.map_or_else(|| "unknown".to_owned(), |other| other.to_string());
                format!("was computed with another arithmetic ({other}; this attempt uses {arithmetic})")
            }
            Some(Loaded::OfAnotherTrainer) => "was written by another version of the trainer".to_owned(),
            None => "is damaged".to_owned(),
        };
        passed_over.push(PassedOver { path, why });
    }
    Newest { found: None, passed_over }
}

/// An intact file.
enum Loaded {
    Ours(Box<Checkpoint>),
    /// It belongs to another trainer version, or lacks data that this version needs. The rest of its header is not
    /// read.
    OfAnotherTrainer,
}

/// The part of a header that every trainer version writes. `measured` is missing in early checkpoints of trainer 6.
#[derive(Deserialize)]
struct Writer {
    trainer_version: u32,
    measured: Option<serde::de::IgnoredAny>,
}

/// Returns `None` if the file is damaged or incomplete.
fn load(path: &Path) -> Option<Loaded> {
    let bytes = std::fs::read(path).ok()?;
    let name = name_of(path)?;
    if CheckpointName::of(name.step, &bytes) != name {
        return None;
    }
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).ok()?;
    let header = metadata.metadata().as_ref()?.get(HEADER)?;
    let writer: Writer = serde_json::from_str(header).ok()?;
    if writer.trainer_version != TRAINER_VERSION || writer.measured.is_none() {
        return Some(Loaded::OfAnotherTrainer);
    }
    let header = serde_json::from_str(header).ok()?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &candle_core::Device::Cpu).ok()?;
    let tensors = tensors.into_iter().collect();
    Some(Loaded::Ours(Box::new(Checkpoint { path: path.to_owned(), header, tensors })))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use sweep_protocol::Metric;

    use super::*;

    fn arithmetic(kernels: &str) -> Arithmetic {
        format!("cpu {kernels} candle-1+kernels-1").parse().unwrap()
    }

    fn header(step: u64) -> CheckpointHeader {
        let measured =
            Measurement { metric: Metric::Loss, split: None, form: None, epoch: Some(1), value: 1.0372208042144775 };
        CheckpointHeader {
            step,
            data_fingerprint: "f".into(),
            trainer_version: TRAINER_VERSION,
            arithmetic: Some(arithmetic("avx2")),
            sums: [1, 2, 3, 4, 5],
            measured: vec![measured],
        }
    }

    fn tensors(value: f32) -> Vec<(String, Tensor)> {
        vec![("a".to_owned(), Tensor::full(value, (2, 3), &Device::Cpu).unwrap())]
    }

    #[test]
    fn a_checkpoint_cut_anywhere_falls_back_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        save(folder.path(), &header(5), &tensors(1.0)).unwrap();
        let name = save(folder.path(), &header(12), &tensors(2.0)).unwrap();
        let path = folder.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(newest(&folders, &arithmetic("avx2"), |_| None).found.unwrap().header, header(12));
        for length in [0, 1, 7, 8, 20, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let Newest { found, passed_over } = newest(&folders, &arithmetic("avx2"), |_| None);
            assert_eq!(found.unwrap().header, header(5), "cut at {length}");
            assert_eq!(passed_over, [PassedOver { path: path.clone(), why: "is damaged".to_owned() }]);
        }
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert_eq!(newest(&folders, &arithmetic("avx2"), |_| None).found.unwrap().header.step, 5);
    }

    /// Every mutation of a checkpoint is noticed. The file is then skipped, and no part of it is used.
    #[test]
    fn mutated_checkpoints_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        let name = save(folder.path(), &header(12), &tensors(2.0)).unwrap();
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut state = 2105_u64;
        let mut drawn = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for round in 0..600 {
            let mut bytes = whole.clone();
            let at = drawn(bytes.len());
            match drawn(5) {
                0 => bytes.truncate(at),
                1 => bytes[at..].fill(0),
                2 => bytes[at] ^= 1 << drawn(8),
                3 => drop(bytes.drain(at..(at + 1 + drawn(40)).min(whole.len()))),
                _ => bytes.extend_from_slice(&whole[..=at]),
            }
            let is_same = bytes == whole;
            std::fs::write(&path, bytes).unwrap();
            let Newest { found, passed_over } = newest(&folders, &arithmetic("avx2"), |_| None);
            assert_eq!((found.is_some(), passed_over.len()), (is_same, usize::from(!is_same)), "round {round}");
        }
    }

    #[test]
    fn the_newest_two_are_kept_and_other_trainer_versions_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        for step in [5, 12, 100] {
            save(folder.path(), &header(step), &tensors(1.0)).unwrap();
        }
        prune(folder.path()).unwrap();
        let folders = [folder.path().to_owned()];
        let steps: Vec<u64> = candidates(&folders).into_iter().map(|(step, _)| step).collect();
        assert_eq!(steps, [12, 100]);
        let foreign = CheckpointHeader { trainer_version: TRAINER_VERSION + 1, ..header(200) };
        save(folder.path(), &foreign, &tensors(2.0)).unwrap();
        assert_eq!(newest(&folders, &arithmetic("avx2"), |_| None).found.unwrap().header.step, 100);
    }

    #[test]
    fn a_checkpoint_of_another_arithmetic_is_skipped_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        save(folder.path(), &header(5), &tensors(1.0)).unwrap();
        let Newest { found, passed_over } = newest(&folders, &arithmetic("avx512"), |_| None);
        assert!(found.is_none());
        let why = "was computed with another arithmetic (cpu avx2 candle-1+kernels-1; this attempt uses cpu avx512 \
             candle-1+kernels-1)";
        assert_eq!(passed_over[0].why, why);
        assert!(newest(&folders, &arithmetic("avx2"), |_| None).found.is_some());
    }

    #[test]
    fn steps_are_compared_as_numbers_over_all_folders() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        save(a.path(), &header(9), &tensors(1.0)).unwrap();
        save(b.path(), &header(10), &tensors(2.0)).unwrap();
        let found = newest(&[a.path().to_owned(), b.path().to_owned()], &arithmetic("avx2"), |_| None).found.unwrap();
        assert_eq!(found.header.step, 10);
        assert_eq!(found.tensors["a"].to_vec2::<f32>().unwrap()[0], [2.0; 3]);
        assert!(newest(&[a.path().join("missing")], &arithmetic("avx2"), |_| None).found.is_none());
    }
}
