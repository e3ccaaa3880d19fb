//! The Local Perceptron (paper section 3.2): convolutions on the partition map, while training only.

use candle_core::{Result, Tensor};

use crate::blocks::rep_mlp::{Partitioning, RepMlpShape};
use crate::layers::{ConvBn, Normed};
use crate::reparam::{conv_to_fc, fuse_bn};
use crate::vars::Scope;

/// One K×K convolution with FC3's groups and its batch norm. Names: `repconvK.conv`, `repconvK.bn`.
pub(crate) struct LocalBranch {
    conv_bn: ConvBn,
    partitioning: Partitioning,
}

impl LocalBranch {
    /// Name of the branch of kernel K.
    pub(crate) fn name(kernel: usize) -> String {
        format!("repconv{kernel}")
    }

    /// The branch of kernel K.
    ///
    /// # Errors
    /// When a name is taken.
    pub(crate) fn new(shape: RepMlpShape, kernel: usize, scope: &Scope<'_>) -> Result<Self> {
        let conv_bn = ConvBn::new(shape.conv(kernel), &scope.enter(&Self::name(kernel)))?;
        Ok(Self { conv_bn, partitioning: shape.partitioning })
    }

    /// Partitions (C, h, w, M), which are maps of h×w with M images, → (O, h, w, M).
    pub(crate) fn normed(&self) -> Normed<'_> {
        self.conv_bn.normed()
    }

    /// What the branch adds to FC3: weight (O·h·w, C/g·h·w) and bias (O·h·w).
    ///
    /// # Errors
    /// Those of candle.
    pub(crate) fn reparameterize(&self) -> Result<(Tensor, Tensor)> {
        let (kernel, bias) = fuse_bn(&self.conv_bn.conv.weight, &self.conv_bn.bn)?;
        let (outputs, pixels) = (bias.dim(0)?, self.partitioning.pixels());
        let bias = bias.unsqueeze(1)?.expand((outputs, pixels))?.flatten_all()?;
        Ok((conv_to_fc(&kernel, (self.partitioning.h, self.partitioning.w))?, bias))
    }
}
