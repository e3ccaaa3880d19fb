//! A slice of FC3 before and after merging: how one output of a RepMLP block depends on the pixels of a partition, as
//! in Figure 4 of the paper.
//!
//! This module knows weights. It does not know how they are drawn.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use repmlp::models::{ModelConfig, Task};
use repmlp::network::Fc3Shape;

use crate::error::InteropError;
use crate::export::merged;
use crate::import::{Import, StoredForm};

/// An output of FC3: a channel and a place in the partition, each counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fc3Point {
    /// Output channel.
    pub channel: usize,
    /// Row of the partition.
    pub y: usize,
    /// Column of the partition.
    pub x: usize,
}

/// The weights between one output of FC3 and the pixels of the first input channel of its group.
#[derive(Clone, Debug, PartialEq)]
pub struct Fc3Slice {
    /// Name of the block.
    pub layer: String,
    /// Sizes of FC3's weight as the slice views it: (O, h, w, C/g, h, w).
    pub view: [usize; 6],
    /// The output.
    pub point: Fc3Point,
    /// Weights of the training form, row by row: (h, w).
    pub before: Vec<Vec<f64>>,
    /// Weights of the deployed form, with batch norm and the local branches merged into FC3: (h, w).
    pub after: Vec<Vec<f64>>,
}

impl Fc3Slice {
    /// Takes the slice `[channel, y, x, 0, :, :]` of FC3 of a block. `import` is complete. The default block is the
    /// first one; the default point is channel 0 in the middle of the partition.
    ///
    /// # Errors
    /// When the import is of the deployed form, the network has no such block, FC3 has no such output, or the merge
    /// fails.
    pub fn of(
        import: &Import,
        (config, task): (&ModelConfig, Task),
        layer: Option<&str>,
        point: Option<Fc3Point>,
    ) -> Result<Self, InteropError> {
        if import.form == StoredForm::Deployed {
            return Err(InteropError::MergedFc3);
        }
        let (layer, shape) = chosen(config.fc3s(task), layer)?;
        let Fc3Shape { outputs, inputs, h, w } = shape;
        let point = point.unwrap_or(Fc3Point { channel: 0, y: h / 2, x: w / 2 });
        if point.channel >= outputs || point.y >= h || point.x >= w {
            return Err(InteropError::OutsideFc3 { layer, point, sizes: [outputs, h, w] });
        }
        let view = [outputs, h, w, inputs, h, w];
        let name = if layer.is_empty() { "fc3.weight".to_owned() } else { format!("{layer}.fc3.weight") };
        let slice = |tensors: &BTreeMap<String, Tensor>| -> Result<Vec<Vec<f64>>, InteropError> {
            let weight = tensors.get(&name).ok_or_else(|| missing(&name))?;
            let row = weight.reshape((outputs * h * w, inputs, h, w))?;
            let row = row.get((point.channel * h + point.y) * w + point.x)?.get(0)?;
            Ok(row.to_dtype(DType::F64)?.to_vec2()?)
        };
        let (before, after) = (slice(&import.values)?, slice(&merged(import, (config, task))?)?);
        Ok(Self { layer, view, point, before, after })
    }
}

/// Returns the named block, or the first one.
fn chosen(mut blocks: Vec<(String, Fc3Shape)>, layer: Option<&str>) -> Result<(String, Fc3Shape), InteropError> {
    if blocks.is_empty() {
        return Err(InteropError::NoFc3);
    }
    let Some(layer) = layer else { return Ok(blocks.swap_remove(0)) };
    match blocks.iter().position(|(name, _)| name == layer) {
        Some(place) => Ok(blocks.swap_remove(place)),
        None => {
            let known = blocks.into_iter().map(|(name, _)| name).collect();
            Err(InteropError::UnknownFc3 { layer: layer.to_owned(), known })
        }
    }
}

fn missing(name: &str) -> InteropError {
    candle_core::Error::Msg(format!("no tensor for the variable `{name}`")).into()
}

/// Returns ln(|w| / min |w|) of each weight, as Figure 4 of the paper shows them. The minimum is that of all weights
/// but zeros, which have no such value. A constant factor, such as that of batch norm, changes nothing.
pub fn log_ratios(weights: &[Vec<f64>]) -> Vec<Vec<Option<f64>>> {
    let sizes = || weights.iter().flatten().map(|weight| weight.abs()).filter(|size| *size > 0.0 && size.is_finite());
    let least = sizes().fold(f64::INFINITY, f64::min);
    let value = |weight: &f64| Some((weight.abs() / least).ln()).filter(|value| value.is_finite());
    weights.iter().map(|row| row.iter().map(value).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_logarithms_of_ratios_to_the_smallest_weight() {
        let e = std::f64::consts::E;
        let values = log_ratios(&[vec![-0.5, 0.5 * e], vec![0.0, -0.5 * e * e]]);
        let wanted = [[Some(0.0), Some(1.0)], [None, Some(2.0)]];
        for (value, wanted) in values.iter().flatten().zip(wanted.iter().flatten()) {
            assert!(value.is_some() == wanted.is_some(), "{values:?}");
            assert!((value.unwrap_or_default() - wanted.unwrap_or_default()).abs() < 1e-12, "{values:?}");
        }
        assert_eq!(log_ratios(&[vec![0.0, f64::NAN]]), [[None, None]]);
    }
}
