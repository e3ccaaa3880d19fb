//! The weights of single epochs that a run keeps: those of its best epoch, and those of its last ones.
//!
//! Each file is named by its epoch and a digest of its bytes. A file that does not match its digest is not used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sweep_protocol::{EpochWeightsName, Measurement, write_atomically};

use crate::checkpoint::{CheckpointError, serialize};
use crate::watched::Watched;

/// The epochs whose weights a run keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepConfig {
    /// The quantity that decides which epoch is the best. The run then reports the deployed form of the weights of that
    /// epoch, and `weights.safetensors` has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Watched>,
    /// Keep the weights of this many last epochs, each in a file of its own. Files from before an interruption are in
    /// the folder of the attempt that wrote them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl KeepConfig {
    /// Returns the best epoch of these measurements, if the best one is kept.
    pub(crate) fn best(&self, measured: &[Measurement]) -> Option<u32> {
        self.best?.best(measured)
    }

    /// Whether the weights of `epoch`, which just ended, are needed.
    pub(crate) fn wants(&self, epoch: u32, measured: &[Measurement]) -> bool {
        self.last > 0 || self.best(measured) == Some(epoch)
    }

    /// Whether the weights of `epoch` may still be needed after `now`. A run may continue from the checkpoint of the
    /// epoch before, so what was the best then is kept too.
    fn still_wants(&self, epoch: u32, now: u32, measured: &[Measurement]) -> bool {
        let before: Vec<Measurement> = measured.iter().filter(|m| m.epoch.is_none_or(|e| e < now)).copied().collect();
        let best = [self.best(measured), self.best(&before)];
        epoch + self.last > now || best.contains(&Some(epoch))
    }
}

/// Writes the weights of an epoch into `folder`.
pub(crate) fn save(folder: &Path, epoch: u32, tensors: &[(String, Tensor)]) -> Result<(), CheckpointError> {
    let bytes = serialize(tensors, None)?;
    let path = folder.join(EpochWeightsName::of(epoch, &bytes).to_string());
    write_atomically(&path, &bytes).map_err(|source| CheckpointError::Write { path, source })
}

/// Deletes the weights in `folder` that are not needed after epoch `now`.
pub(crate) fn prune(
    folder: &Path,
    keep: &KeepConfig,
    (now, measured): (u32, &[Measurement]),
) -> Result<(), CheckpointError> {
    for (epoch, path) in files(folder) {
        if !keep.still_wants(epoch, now, measured) {
            std::fs::remove_file(&path).map_err(|source| CheckpointError::Write { path, source })?;
        }
    }
    Ok(())
}

/// Returns the weights of an epoch from the first of these folders that has them intact.
pub(crate) fn load<'a>(folders: impl IntoIterator<Item = &'a PathBuf>, epoch: u32) -> Option<BTreeMap<String, Tensor>> {
    let mut candidates = folders.into_iter().flat_map(|folder| files(folder)).filter(|(of, _)| *of == epoch);
    candidates.find_map(|(_, path)| {
        let bytes = std::fs::read(&path).ok()?;
        let name = EpochWeightsName::parse(path.file_name()?.to_str()?)?;
        let is_intact = EpochWeightsName::of(epoch, &bytes) == name;
        let tensors = is_intact.then(|| candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).ok())??;
        Some(tensors.into_iter().collect())
    })
}

/// Returns the weights of single epochs in a folder.
fn files(folder: &Path) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = |path: PathBuf| Some((EpochWeightsName::parse(path.file_name()?.to_str()?)?.epoch, path));
    entries.filter_map(named).collect()
}
