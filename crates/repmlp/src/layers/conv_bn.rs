//! A convolution followed by batch norm. In the deployed form it is one convolution with a bias.

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::Epilogue;

use crate::Mode;
use crate::cost::{Account, LayerCost};
use crate::layers::{BatchNorm, Conv2d, ConvShape, Normed, normed_sum};
use crate::reparam::{fuse_bn, fuse_bn_before_fc};
use crate::vars::Scope;

/// A convolution followed by batch norm. Their names are `conv` and `bn`.
pub struct ConvBn {
    /// The convolution, without a bias.
    pub conv: Conv2d,
    /// Batch norm over O channels.
    pub bn: BatchNorm,
}

impl ConvBn {
    /// Creates convolution and batch norm with their variables in `scope`.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn new(shape: ConvShape, scope: &Scope<'_>) -> Result<Self> {
        Ok(Self {
            conv: Conv2d::without_bias(shape, &scope.enter("conv"))?,
            bn: BatchNorm::new(shape.outputs, &scope.enter("bn"))?,
        })
    }

    /// Forward pass: (C, H, W, N) → (O, H', W', N).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward_with_epilogue(x_chwn, mode, Epilogue::None)
    }

    /// Like [`Self::forward`], followed by `epilogue`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(crate) fn forward_with_epilogue(&self, x_chwn: &Tensor, mode: Mode, epilogue: Epilogue<'_>) -> Result<Tensor> {
        normed_sum(x_chwn, &[self.normed()], mode, epilogue)
    }

    /// Returns convolution and batch norm as a term of [`normed_sum`].
    pub(crate) fn normed(&self) -> Normed<'_> {
        Normed { map: self.conv.shape().map(), weight: &self.conv.weight, bn: &self.bn }
    }

    /// Returns one convolution that computes the same with the running statistics.
    ///
    /// # Errors
    /// When candle fails.
    pub fn reparameterize(&self) -> Result<Conv2d> {
        let (weight, bias) = fuse_bn(&self.conv.weight, &self.bn)?;
        Ok(self.conv.with(weight, Some(bias)))
    }

    /// Returns one 1×1 convolution that computes the same as `before` followed by this convolution and its batch norm.
    ///
    /// # Errors
    /// When the convolution is not 1×1. With padding, merging would be wrong: `before` does not act on the zeros of the
    /// padding.
    pub fn reparameterize_behind(&self, before: &BatchNorm) -> Result<Conv2d> {
        if !self.conv.shape().is_pointwise() {
            bail!("batch norm can be merged into a dense 1x1 convolution after it, not into {:?}", self.conv.shape());
        }
        let merged = self.reparameterize()?;
        let Some(bias) = &merged.bias else { bail!("the merged convolution has no bias") };
        let weight = merged.weight.flatten_from(1)?;
        let (weight, bias) = fuse_bn_before_fc(&weight, bias, before, 1)?;
        Ok(self.conv.with(weight.reshape(merged.weight.shape())?, Some(bias)))
    }

    /// Adds the costs of convolution and batch norm on a grid of `maps` maps (rows, columns), each of size `map`. Adds
    /// nothing if the kernel does not fit into the map.
    pub fn account(shape: ConvShape, map: (usize, usize), maps: (usize, usize), at: &str, account: &mut Account) {
        let (o, i, k, _) = shape.weight_dims();
        let Some((h, w)) = shape.output_map(map) else { return };
        let (h, w) = (h * maps.0, w * maps.1);
        let flops = shape.weights() * h * w;
        account.add(LayerCost {
            name: at.to_owned(),
            shape: vec![o, i, k, k],
            params: shape.weights() + account.norm_params(o),
            flops,
            padding_flops: flops - shape.flops_inside(map) * maps.0 * maps.1,
            activation_flops: 0,
            output: [o, h, w],
            // The outputs of the convolution and of the norm.
            kept: 2 * o * h * w,
        });
    }
}
