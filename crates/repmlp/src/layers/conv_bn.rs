//! A convolution with batch norm behind it; deployed, a convolution with a bias.

use candle_core::{Result, Tensor};

use crate::Mode;
use crate::cost::{Account, Position};
use crate::layers::{BatchNorm, Conv2d, ConvShape};
use crate::reparam::fuse_bn;
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

    /// (C, H, W, N) → (O, H, W, N).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.bn.forward(&self.conv.forward(x_chwn)?, mode)
    }

    /// One convolution that does the same with the running statistics.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reparameterize(&self) -> Result<Conv2d> {
        let (weight, bias) = fuse_bn(&self.conv.weight, &self.bn)?;
        Ok(Conv2d { weight, bias: Some(bias), groups: self.conv.groups })
    }

    /// What the pair costs on a map of `pixels` pixels.
    pub fn account(shape: ConvShape, pixels: usize, at: Position<'_>, account: &mut Account) {
        let weights = shape.outputs * shape.fan_in();
        account.weights_with_bn(at, weights, shape.outputs, weights * pixels);
    }
}
