//! The Local Perceptron (paper section 3.2): convolutions on each partition. They exist only in the training form.

use candle_core::{Result, Tensor};

use crate::blocks::rep_mlp::{Partitioning, RepMlpShape};
use crate::layers::{ConvBn, Normed};
use crate::reparam::{conv_to_fc, fuse_bn};
use crate::vars::Scope;

/// One K×K convolution with the groups of FC3, followed by batch norm. Names of its parts: `repconvK.conv`,
/// `repconvK.bn`.
pub(crate) struct LocalBranch {
    conv_bn: ConvBn,
    partitioning: Partitioning,
}

impl LocalBranch {
    /// Returns the name of the branch with kernel size K.
    pub(crate) fn name(kernel: usize) -> String {
        format!("repconv{kernel}")
    }

    /// Creates the branch with kernel size K.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub(crate) fn new(shape: RepMlpShape, kernel: usize, scope: &Scope<'_>) -> Result<Self> {
        let conv_bn = ConvBn::new(shape.conv(kernel), &scope.enter(&Self::name(kernel)))?;
        Ok(Self { conv_bn, partitioning: shape.partitioning })
    }

    /// Returns the branch as a term of [`crate::layers::normed_sum`]: partitions (C, h, w, M) → (O, h, w, M). Each of
    /// the M partitions is one h×w map.
    pub(crate) fn normed(&self) -> Normed<'_> {
        self.conv_bn.normed()
    }

    /// Returns the weight (O·h·w, C/g·h·w) and bias (O·h·w) that merging adds to FC3.
    ///
    /// # Errors
    /// When candle fails.
    pub(crate) fn reparameterize(&self) -> Result<(Tensor, Tensor)> {
        let (kernel, bias) = fuse_bn(&self.conv_bn.conv.weight, &self.conv_bn.bn)?;
        let (outputs, pixels) = (bias.dim(0)?, self.partitioning.pixels());
        let bias = bias.unsqueeze(1)?.expand((outputs, pixels))?.flatten_all()?;
        Ok((conv_to_fc(&kernel, (self.partitioning.h, self.partitioning.w))?, bias))
    }
}
