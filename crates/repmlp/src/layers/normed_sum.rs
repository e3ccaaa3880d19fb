//! The sum of layers that read one tensor, each with batch norm behind it: while training one operation, which keeps no partial
//! sums.

use candle_core::{Result, Tensor};
use repmlp_kernels::{Epilogue, LinearMap, normed_sum_with_epilogue, sum_with_epilogue};

use crate::Mode;
use crate::layers::BatchNorm;

/// A layer without a bias, and the norm behind it.
#[derive(Clone, Copy)]
pub(crate) struct Normed<'a> {
    pub(crate) map: LinearMap,
    pub(crate) weight: &'a Tensor,
    pub(crate) bn: &'a BatchNorm,
}

/// Σ bn(map(x)), and what follows.
///
/// # Errors
/// When there are none, or their outputs differ in shape.
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
        // With fixed statistics nothing is kept: each adds what those before it came to.
        Mode::Evaluate => sum_with_epilogue(layers, epilogue, |layer, epilogue| {
            layer.bn.forward_with_epilogue(&layer.map.of(x, layer.weight)?, mode, epilogue)
        }),
    }
}
