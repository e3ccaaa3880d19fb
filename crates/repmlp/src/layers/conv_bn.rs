//! A convolution with batch norm behind it; deployed, a convolution with a bias.

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::Epilogue;

use crate::Mode;
use crate::cost::{Account, LayerCost};
use crate::layers::{BatchNorm, Conv2d, ConvShape, Normed, normed_sum};
use crate::reparam::{fuse_bn, fuse_bn_before_fc};
use crate::vars::Scope;

/// conv (`conv`) then batch norm (`bn`).
pub struct ConvBn {
    /// Without a bias.
    pub conv: Conv2d,
    /// Over O channels.
    pub bn: BatchNorm,
}

impl ConvBn {
    /// Both parts below `scope`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(shape: ConvShape, scope: &Scope<'_>) -> Result<Self> {
        Ok(Self {
            conv: Conv2d::without_bias(shape, &scope.enter("conv"))?,
            bn: BatchNorm::new(shape.outputs, &scope.enter("bn"))?,
        })
    }

    /// (C, H, W, N) → (O, H', W', N).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward_with_epilogue(x_chwn, mode, Epilogue::None)
    }

    /// The same and what follows it.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(crate) fn forward_with_epilogue(&self, x_chwn: &Tensor, mode: Mode, epilogue: Epilogue<'_>) -> Result<Tensor> {
        normed_sum(x_chwn, &[self.normed()], mode, epilogue)
    }

    /// The pair as a part of a sum.
    pub(crate) fn normed(&self) -> Normed<'_> {
        Normed { map: self.conv.shape().map(), weight: &self.conv.weight, bn: &self.bn }
    }

    /// One convolution that does the same with the running statistics.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reparameterize(&self) -> Result<Conv2d> {
        let (weight, bias) = fuse_bn(&self.conv.weight, &self.bn)?;
        Ok(self.conv.with(weight, Some(bias)))
    }

    /// One 1×1 convolution that does the same as `before` and this pair.
    ///
    /// # Errors
    /// When the convolution is not 1×1: zeros around the map would not have passed through `before`.
    pub fn reparameterize_behind(&self, before: &BatchNorm) -> Result<Conv2d> {
        if !self.conv.shape().is_pointwise() {
            bail!("batch norm before a {:?} cannot be merged into it", self.conv.shape());
        }
        let merged = self.reparameterize()?;
        let Some(bias) = &merged.bias else { bail!("a merged convolution has a bias") };
        let weight = merged.weight.flatten_from(1)?;
        let (weight, bias) = fuse_bn_before_fc(&weight, bias, before, 1)?;
        Ok(self.conv.with(weight.reshape(merged.weight.shape())?, Some(bias)))
    }

    /// What the pair costs on `maps` maps, below and beside each other, of the size `map`; nothing where it does not fit.
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
            // Its own output and the norm's.
            kept: 2 * o * h * w,
        });
    }
}
