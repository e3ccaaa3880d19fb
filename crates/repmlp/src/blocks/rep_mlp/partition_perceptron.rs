//! The Partition Perceptron (paper section 3.2): FC3 on each partition, followed by batch norm.

use candle_core::{Result, Tensor};
use repmlp_kernels::LinearMap;

use crate::blocks::rep_mlp::RepMlpShape;
use crate::layers::{BatchNorm, ConvBn, Normed};
use crate::reparam::fuse_bn;
use crate::vars::{Init, Scope};

/// The layer that mixes the pixels of a partition.
pub(crate) enum PartitionPerceptron {
    /// FC3 with its norm, as in the paper.
    Fc3(Fc3),
    /// A convolution on the partition instead of FC3 (Table 1 row D).
    Conv(ConvBn),
}

impl PartitionPerceptron {
    /// Returns the layer as a term of [`crate::layers::normed_sum`]: partitions (C, h, w, M) → (O, h, w, M).
    pub(crate) fn normed(&self) -> Normed<'_> {
        match self {
            Self::Fc3(fc3) => fc3.normed(),
            Self::Conv(conv) => conv.normed(),
        }
    }
}

/// FC3 with g groups and without a bias, followed by batch norm over its O·h·w outputs. Names of its parts: `fc3`,
/// `fc3_bn`.
pub(crate) struct Fc3 {
    weight: Tensor,
    bn: BatchNorm,
    groups: usize,
}

impl Fc3 {
    /// Creates FC3 and its norm with their variables in `scope`.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub(crate) fn new(shape: RepMlpShape, scope: &Scope<'_>) -> Result<Self> {
        let RepMlpShape { inputs, outputs, groups, partitioning } = shape;
        let (rows, columns) = (outputs * partitioning.pixels(), inputs / groups * partitioning.pixels());
        Ok(Self {
            weight: scope.enter("fc3").parameter("weight", (rows, columns), Init::FanIn(columns))?,
            bn: BatchNorm::new(rows, &scope.enter("fc3_bn"))?,
            groups,
        })
    }

    /// Returns FC3 and its norm as a term of [`crate::layers::normed_sum`]: partitions (C, h, w, M) → (O, h, w, M).
    ///
    /// Channels are the first dimension of input and output. Group k of FC3 therefore sees the same channels as group k
    /// of a convolution.
    pub(crate) fn normed(&self) -> Normed<'_> {
        Normed { map: LinearMap::GroupedFc { groups: self.groups }, weight: &self.weight, bn: &self.bn }
    }

    /// Returns the weight (O·h·w, C/g·h·w) and bias (O·h·w) with the norm merged into them.
    ///
    /// # Errors
    /// When candle fails.
    pub(crate) fn reparameterize(&self) -> Result<(Tensor, Tensor)> {
        fuse_bn(&self.weight, &self.bn)
    }
}
