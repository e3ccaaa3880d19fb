//! A Python file that builds a network in PyTorch and loads its weights: a template with a description of the layers
//! in it.
//!
//! The file is self-contained, so that a user of PyTorch needs nothing of this program. `network.py` is its template;
//! it was checked against PyTorch with every layer and block, in both forms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{Device, Tensor};
use repmlp::layers::BatchNormSettings;
use repmlp::models::{Answer, ModelConfig, Task};
use repmlp::network::NodeDescription;
use serde::Serialize;

use crate::error::InteropError;
use crate::export::write_safetensors;
use crate::import::StoredForm;

/// The template, and the place of the description in it.
const TEMPLATE: &str = include_str!("network.py");
const PLACE: &str = "@DESCRIPTION@";

/// What a Python file says besides the layers of its network.
#[derive(Clone, Debug, PartialEq)]
pub struct PythonNotes {
    /// The run that the weights are from.
    pub run: String,
    /// The program that wrote the file.
    pub program: String,
    /// Name of the file of weights beside it.
    pub weights: String,
    /// Name of the file of test images beside it, if there is one.
    pub images: Option<String>,
    /// Names of the classes, if they are known.
    pub classes: Option<Vec<String>>,
    /// Means of the channels, in pixel values from 0 to 255.
    pub mean: Vec<f32>,
    /// Standard deviations of the channels, in pixel values.
    pub deviation: Vec<f32>,
    /// Test accuracy of the deployed form, if it was measured.
    pub accuracy: Option<f64>,
}

/// The description that is put into the template.
#[derive(Serialize)]
struct Description<'a> {
    run: &'a str,
    program: &'a str,
    weights: &'a str,
    images: Option<&'a str>,
    form: &'static str,
    answer: &'static str,
    input: Input,
    classes: Option<&'a [String]>,
    mean: &'a [f32],
    deviation: &'a [f32],
    batch_norm_eps: f64,
    recorded: Recorded,
    network: NodeDescription,
}

#[derive(Serialize)]
struct Input {
    channels: usize,
    height: usize,
    width: usize,
}

#[derive(Serialize)]
struct Recorded {
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
}

/// Writes test images as the network sees them before normalisation: pixels of this shape (N, C, H, W), the class of
/// each image, and the class that the run predicted for it.
///
/// # Errors
/// When the numbers do not fit, or the file cannot be written.
pub fn write_images(
    path: &Path,
    (shape, pixels): ([usize; 4], Vec<u8>),
    labels: Vec<u32>,
    predicted: Option<Vec<u32>>,
) -> Result<(), InteropError> {
    let count = labels.len();
    let mut tensors = BTreeMap::new();
    tensors.insert("images".to_owned(), Tensor::from_vec(pixels, &shape, &Device::Cpu)?);
    tensors.insert("labels".to_owned(), Tensor::from_vec(labels, count, &Device::Cpu)?);
    if let Some(predicted) = predicted {
        tensors.insert("predicted".to_owned(), Tensor::from_vec(predicted, count, &Device::Cpu)?);
    }
    write_safetensors(path, &tensors)
}

/// Leaves out the tensors that the Python file does not have: those of the auxiliary head, which only a training uses.
///
/// # Errors
/// When two variables of the network have the same name.
pub fn without_auxiliary(
    tensors: BTreeMap<String, Tensor>,
    (config, task): (&ModelConfig, Task),
    form: StoredForm,
) -> Result<BTreeMap<String, Tensor>, InteropError> {
    if form == StoredForm::Deployed {
        return Ok(tensors);
    }
    let described: BTreeSet<String> = config.described_variables(task)?.into_iter().collect();
    Ok(tensors.into_iter().filter(|(name, _)| described.contains(name)).collect())
}

/// Returns the text of the Python file for a form of a network.
///
/// # Errors
/// When the network has faults, or a block of another crate.
pub fn python_file(
    (config, task): (&ModelConfig, Task),
    form: StoredForm,
    notes: &PythonNotes,
) -> Result<String, InteropError> {
    let faults = config.faults(task);
    if !faults.is_empty() {
        return Err(InteropError::Config(faults));
    }
    let description = Description {
        run: &notes.run,
        program: &notes.program,
        weights: &notes.weights,
        images: notes.images.as_deref(),
        form: match form {
            StoredForm::Training => "training",
            StoredForm::Deployed => "deployed",
        },
        answer: match config.answer() {
            Answer::Logits => "logits",
            Answer::Embedding => "embedding",
            Answer::Map => "map",
        },
        input: Input { channels: task.channels, height: task.image.0, width: task.image.1 },
        classes: notes.classes.as_deref(),
        mean: &notes.mean,
        deviation: &notes.deviation,
        batch_norm_eps: BatchNormSettings::default().eps,
        recorded: Recorded { accuracy: notes.accuracy },
        network: config.description(task)?,
    };
    let json = serde_json::to_string_pretty(&description).map_err(InteropError::Description)?;
    let text = TEMPLATE.replacen(PLACE, &json, 1);
    Ok(format!("{text}{}", mark(&text)))
}

/// The last line of a Python file. It tells whether somebody has edited the file.
fn mark(text: &str) -> String {
    format!("# Written by a program; BLAKE3 of the lines above: {}\n", blake3::hash(text.as_bytes()).to_hex())
}

/// Whether a text is a file that [`python_file`] wrote, perhaps by another version, and that nobody has edited.
pub fn is_python_file(text: &str) -> bool {
    let end = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
    text[end..] == mark(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_leave_the_description() {
        // JSON escapes quotes, so three in a row never occur.
        for text in ["\"\"\"", "\"", "", "\\", "\\\"\"\"", "a\n\u{7f}é"] {
            let json = serde_json::to_string(&vec![text, text, ""]).unwrap();
            assert!(!json.contains("\"\"\""), "{json}");
        }
        assert_eq!(TEMPLATE.matches(PLACE).count(), 1);
    }

    #[test]
    fn an_edited_file_is_not_ours() {
        let text = "import torch\n";
        let file = format!("{text}{}", mark(text));
        assert!(is_python_file(&file));
        for other in [text, "", &file.replace("torch", "numpy"), &format!("{file}# mine\n"), &file[1..]] {
            assert!(!is_python_file(other), "{other}");
        }
    }
}
