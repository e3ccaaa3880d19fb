//! Reads files of named tensors: safetensors files, and state dicts written by `torch.save`.
//!
//! This module does not know networks. Names are kept, except that the prefix of data-parallel training is removed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::error::InteropError;
use crate::file::{open_file, read_file};
use crate::state_dict;

/// Prefix that `DataParallel` and `DistributedDataParallel` add to every name.
const PARALLEL_PREFIX: &str = "module.";

/// First bytes of a zip archive. `torch.save` writes zip archives since PyTorch 1.6.
const ZIP: &[u8] = b"PK";

/// Reads all tensors of a file, by name. A file with the extension `.safetensors` is a safetensors file; any other file
/// must be written by `torch.save`.
///
/// The state dict may be the whole file or be nested under `state_dict`, `model`, `model_state_dict`, `state_dict_ema`
/// or `net`. The prefix `module.` is removed from names.
///
/// # Errors
/// When the file cannot be read or contains no tensors.
pub fn read_checkpoint(path: &Path) -> Result<BTreeMap<String, Tensor>, InteropError> {
    let tensors = if path.extension().is_some_and(|kind| kind == "safetensors") {
        read_safetensors(path)?
    } else {
        read_state_dict(path)?
    };
    if tensors.is_empty() {
        return Err(fault(path, &"it has no tensors at the top level or under a usual key such as `state_dict`"));
    }
    let bare = |name: String| name.strip_prefix(PARALLEL_PREFIX).map_or(name.clone(), str::to_owned);
    Ok(tensors.into_iter().map(|(name, tensor)| (bare(name), tensor)).collect())
}

/// Reads all tensors of a safetensors file.
pub(crate) fn read_safetensors(path: &Path) -> Result<BTreeMap<String, Tensor>, InteropError> {
    let bytes = read_file(path, u64::MAX).map_err(io_fault(path))?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| fault(path, &e))?;
    Ok(tensors.into_iter().collect())
}

fn read_state_dict(path: &Path) -> Result<BTreeMap<String, Tensor>, InteropError> {
    let (mut file, metadata) = open_file(path).map_err(io_fault(path))?;
    if first_bytes(&mut file).map_err(io_fault(path))? != ZIP {
        let reason =
            "it is neither a .safetensors file nor an archive of torch.save; save it again with PyTorch 1.6 or later";
        return Err(fault(path, &reason));
    }
    state_dict::read(file, metadata.len()).map_err(|reason| fault(path, &reason))
}

fn first_bytes(file: &mut File) -> std::io::Result<[u8; 2]> {
    let mut first = [0; 2];
    match file.read_exact(&mut first) {
        Err(short) if short.kind() == std::io::ErrorKind::UnexpectedEof => {}
        other => other?,
    }
    file.rewind()?;
    Ok(first)
}

fn io_fault(path: &Path) -> impl FnOnce(std::io::Error) -> InteropError {
    |source| InteropError::Io { path: path.to_owned(), doing: "read", source }
}

fn fault(path: &Path, reason: &impl ToString) -> InteropError {
    InteropError::Tensors { path: path.to_owned(), reason: reason.to_string() }
}
