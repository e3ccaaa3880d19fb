//! The Local Perceptron (paper section 3.2): convolutions on the partition map, while training only.

use candle_core::{Result, Tensor};

use crate::Mode;
use crate::blocks::rep_mlp::RepMlpShape;
use crate::blocks::rep_mlp::partition_perceptron::grouped_fc;
use crate::layers::{ConvBn, ConvShape};
use crate::reparam::{conv_to_fc, fuse_bn, tap_matrix};
use crate::vars::Scope;

/// One K×K convolution with FC3's groups and its batch norm. Names: `repconvK.conv`, `repconvK.bn`.
///
/// It is computed as the FC kernel that it will become (Eq. 15), one product for each group: the same numbers, and on a
/// CPU many times faster than a convolution on many small maps.
pub(crate) struct LocalBranch {
    conv_bn: ConvBn,
    taps: Tensor,
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
        let conv = ConvShape { inputs: shape.inputs, outputs: shape.outputs, kernel, groups: shape.groups };
        let conv_bn = ConvBn::new(conv, &scope.enter(&Self::name(kernel)))?;
        let weight = &conv_bn.conv.weight;
        let partition = (shape.partitioning.h, shape.partitioning.w);
        let taps = tap_matrix(kernel, partition, weight.dtype(), weight.device())?;
        Ok(Self { conv_bn, taps })
    }

    /// Partitions (C, h·w, M) → (O, h·w, M).
    ///
    /// # Errors
    /// Those of candle.
    pub(crate) fn forward(&self, partitions: &Tensor, mode: Mode) -> Result<Tensor> {
        let (_, pixels, _) = partitions.dims3()?;
        let fc = conv_to_fc(&self.conv_bn.conv.weight, &self.taps, pixels)?;
        self.conv_bn.bn.forward(&grouped_fc(&fc, partitions, self.conv_bn.conv.groups)?, mode)
    }

    /// What the branch adds to FC3: weight (O·h·w, C/g·h·w) and bias (O·h·w).
    ///
    /// # Errors
    /// Those of candle.
    pub(crate) fn reparameterize(&self, pixels: usize) -> Result<(Tensor, Tensor)> {
        let (kernel, bias) = fuse_bn(&self.conv_bn.conv.weight, &self.conv_bn.bn)?;
        let outputs = bias.dim(0)?;
        let bias = bias.unsqueeze(1)?.expand((outputs, pixels))?.flatten_all()?;
        Ok((conv_to_fc(&kernel, &self.taps, pixels)?, bias))
    }
}
