//! Files of named tensors, whoever wrote them: safetensors, and what `torch.save` makes of a state dict.
//!
//! Knows files, not networks: names stay as they are, but for the prefix that data-parallel training puts before them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use candle_core::pickle::PthTensors;
use candle_core::{Device, Tensor};

use crate::error::InteropError;

/// Keys that training scripts keep the state dict of a network under.
const NESTINGS: &[&str] = &["state_dict", "model", "model_state_dict", "state_dict_ema", "net"];

/// What `DataParallel` and its kin put before every name.
const PARALLEL_PREFIX: &str = "module.";

/// How a zip archive begins, and with it what `torch.save` has written since PyTorch 1.6.
const ZIP: &[u8] = b"PK";

/// All tensors of a file by name: `.safetensors`, or any other ending for what `torch.save` has written.
///
/// A state dict may lie under `state_dict`, `model` or the like; a prefix `module.` is taken off.
///
/// # Errors
/// When the file cannot be read or holds no tensors.
pub fn read_checkpoint(path: &Path) -> Result<BTreeMap<String, Tensor>, InteropError> {
    let tensors = if path.extension().is_some_and(|kind| kind == "safetensors") {
        read_safetensors(path)?
    } else {
        read_state_dict(path)?
    };
    if tensors.is_empty() {
        return Err(fault(path, &"there is none under any key that training scripts use"));
    }
    let bare = |name: String| name.strip_prefix(PARALLEL_PREFIX).map_or(name.clone(), str::to_owned);
    Ok(tensors.into_iter().map(|(name, tensor)| (bare(name), tensor)).collect())
}

/// All tensors of a safetensors file.
pub(crate) fn read_safetensors(path: &Path) -> Result<BTreeMap<String, Tensor>, InteropError> {
    let io_fault = |source| InteropError::Io { path: path.to_owned(), doing: "read", source };
    let bytes = std::fs::read(path).map_err(io_fault)?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| fault(path, &e))?;
    Ok(tensors.into_iter().collect())
}

fn read_state_dict(path: &Path) -> Result<BTreeMap<String, Tensor>, InteropError> {
    if first_bytes(path)? != ZIP {
        let reason = "it is neither safetensors nor an archive of torch.save; save it again with PyTorch 1.6 or later";
        return Err(fault(path, &reason));
    }
    let whole = PthTensors::new(path, None).map_err(|e| fault(path, &e))?;
    let nested = NESTINGS.iter().filter_map(|key| PthTensors::new(path, Some(key)).ok());
    let nested = nested.filter(|tensors| !tensors.tensor_infos().is_empty());
    // A script may keep single tensors, such as its best accuracy, beside the state dict: what is nested comes first.
    let state_dict = nested.into_iter().next().unwrap_or(whole);
    let mut tensors = BTreeMap::new();
    for name in state_dict.tensor_infos().keys() {
        if let Some(tensor) = state_dict.get(name).map_err(|e| fault(path, &format!("`{name}`: {e}")))? {
            tensors.insert(name.clone(), tensor);
        }
    }
    Ok(tensors)
}

fn first_bytes(path: &Path) -> Result<[u8; 2], InteropError> {
    let mut first = [0; 2];
    let read = File::open(path).and_then(|mut file| match file.read_exact(&mut first) {
        Err(short) if short.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
        other => other,
    });
    read.map(|()| first).map_err(|source| InteropError::Io { path: path.to_owned(), doing: "read", source })
}

fn fault(path: &Path, reason: &impl ToString) -> InteropError {
    InteropError::Tensors { path: path.to_owned(), reason: reason.to_string() }
}
