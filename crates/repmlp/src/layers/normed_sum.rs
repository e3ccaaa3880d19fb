//! The sum of layers that read the same tensor and are each followed by batch norm. In training it is a single
//! operation that keeps no partial sums.

use candle_core::{Result, Tensor};
use repmlp_kernels::{Epilogue, LinearMap, normed_sum_with_epilogue, sum_with_epilogue};

use crate::Mode;
use crate::layers::BatchNorm;

/// A linear layer without a bias, followed by batch norm.
#[derive(Clone, Copy)]
pub(crate) struct Normed<'a> {
    pub(crate) map: LinearMap,
    pub(crate) weight: &'a Tensor,
    pub(crate) bn: &'a BatchNorm,
}

/// Computes Σ bn(map(x)) over `layers`, followed by `epilogue`.
///
/// # Errors
/// When `layers` is empty, or the outputs of the layers differ in shape.
pub(crate) fn normed_sum(x: &Tensor, layers: &[Normed<'_>], mode: Mode, epilogue: Epilogue<'_>) -> Result<Tensor> {
    match mode {
        Mode::Train(_) => {
            let branches: Vec<_> = layers.iter().map(|layer| layer.bn.behind(layer.map, layer.weight)).collect();
            let (y, moments) = normed_sum_with_epilogue(x, &branches, epilogue)?;
            for (layer, moments) in layers.iter().zip(&moments) {
                layer.bn.learn(moments, y.elem_count())?;
            }
            Ok(y)
        }
        // With fixed statistics nothing is kept. Each layer adds the sum of the layers before it in its epilogue.
        Mode::Evaluate => sum_with_epilogue(layers, epilogue, |layer, epilogue| {
            layer.bn.forward_with_epilogue(&layer.map.of(x, layer.weight)?, mode, epilogue)
        }),
    }
}
