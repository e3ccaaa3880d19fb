//! Writes the tensors of a network with the names and shapes that PyTorch code expects.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use repmlp::models::{ModelConfig, Task};

use crate::error::InteropError;
use crate::import::{Import, StoredForm, build};
use crate::names::Naming;

/// Converts a complete import to `form`, with the names of `naming`.
///
/// A training form can be exported as a deployed form. The opposite is impossible.
///
/// # Errors
/// When the training form of a deployed network is requested, or `naming` has no name for a tensor.
pub fn export(
    import: &Import,
    (config, task): (&ModelConfig, Task),
    (naming, form): (Naming, StoredForm),
) -> Result<BTreeMap<String, Tensor>, InteropError> {
    let ours = match (import.form, form) {
        (StoredForm::Deployed, StoredForm::Training) => return Err(InteropError::Merged),
        (StoredForm::Training, StoredForm::Deployed) => merged(import, (config, task))?,
        _ => import.values.clone(),
    };
    let (mut exported, mut unnamed) = (BTreeMap::new(), Vec::new());
    for (name, tensor) in ours {
        match naming.from_ours(&name) {
            Some(theirs) => {
                exported.insert(theirs, as_pytorch_has_it(&name, tensor)?);
            }
            None => unnamed.push(name),
        }
    }
    if unnamed.is_empty() {
        return Ok(exported);
    }
    Err(InteropError::Unnamed { naming: naming.name(), names: unnamed })
}

/// Merges a complete import of the training form. The tensors have our names.
///
/// # Errors
/// When the network cannot be built or the merge fails.
pub(crate) fn merged(
    import: &Import,
    (config, task): (&ModelConfig, Task),
) -> Result<BTreeMap<String, Tensor>, InteropError> {
    let (model, vars) = build(config, task)?;
    vars.load(&import.values)?;
    Ok(model.reparameterize()?.tensors()?.into_iter().collect())
}

/// FC layers that are 1×1 convolutions in PyTorch code. Each entry is the end of our name.
const CONVOLUTIONS: &[&str] = &["fc3.weight", "mlp_add.fc1.weight", "mlp_add.fc2.weight"];

/// Whether a name, such as `features.….block.2.fc1.weight`, belongs to squeeze and excitation in torchvision. Its FC
/// layers are convolutions too.
fn excites(name: &str) -> bool {
    name.starts_with("features.") && (name.ends_with("fc1.weight") || name.ends_with("fc2.weight"))
}

fn as_pytorch_has_it(name: &str, tensor: Tensor) -> Result<Tensor, InteropError> {
    let is_convolution = excites(name) || CONVOLUTIONS.iter().any(|end| name.ends_with(end));
    match tensor.dims() {
        &[rows, columns] if is_convolution => Ok(tensor.reshape((rows, columns, 1, 1))?),
        _ => Ok(tensor),
    }
}

/// Writes tensors as a safetensors file. The file is written completely or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write_safetensors(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), InteropError> {
    // PyTorch's loaders expect this entry.
    let metadata = Some([("format".to_owned(), "pt".to_owned())].into());
    let bytes = safetensors::serialize(tensors.iter(), metadata)
        .map_err(|fault| InteropError::Tensors { path: path.to_owned(), reason: fault.to_string() })?;
    let beside = path.with_extension("safetensors.partial");
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|source| InteropError::Io { path: path.to_owned(), doing: "written", source })
}
