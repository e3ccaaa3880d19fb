//! The sum of layers that read one tensor, each with batch norm behind it: while training one operation, which keeps no partial
//! sums.

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::{LinearMap, Then, conv2d, grouped_fc, normed_sum_then};

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
pub(crate) fn normed_sum(x: &Tensor, layers: &[Normed<'_>], mode: Mode, then: Then<'_>) -> Result<Tensor> {
    match mode {
        Mode::Train => {
            let branches: Vec<_> = layers.iter().map(|layer| layer.bn.behind(layer.map, layer.weight)).collect();
            let (y, moments) = normed_sum_then(x, &branches, then)?;
            for (layer, moments) in layers.iter().zip(&moments) {
                layer.bn.learn(moments, y.elem_count())?;
            }
            Ok(y)
        }
        Mode::Evaluate => evaluate(x, layers, mode, then),
    }
}

/// With fixed statistics nothing is kept: each adds what those before it came to.
fn evaluate(x: &Tensor, layers: &[Normed<'_>], mode: Mode, then: Then<'_>) -> Result<Tensor> {
    let Some((last, others)) = layers.split_last() else { bail!("a sum of no layers") };
    let of = |layer: &Normed<'_>, then: Then<'_>| {
        let z = match layer.map {
            LinearMap::Conv2d(geometry) => conv2d(x, layer.weight, geometry)?,
            LinearMap::GroupedFc { groups } => grouped_fc(x, layer.weight, groups)?,
        };
        layer.bn.forward_then(&z, mode, then)
    };
    let mut sum: Option<Tensor> = None;
    for layer in others {
        sum = Some(of(layer, sum.as_ref().map_or(Then::Nothing, Then::Add))?);
    }
    match (then, &sum) {
        (then, None) => of(last, then),
        (Then::Nothing | Then::Relu, Some(sum)) => of(last, then.plus(sum)?),
        (then, Some(sum)) => then.after(&of(last, Then::Add(sum))?),
    }
}
