//! The Partition Perceptron (paper section 3.2): FC3 on each partition, with batch norm behind it.

use candle_core::{Result, Tensor};
use repmlp_kernels::LinearMap;

use crate::blocks::rep_mlp::RepMlpShape;
use crate::layers::{BatchNorm, ConvBn, Normed};
use crate::reparam::fuse_bn;
use crate::vars::{Init, Scope};

/// What mixes the pixels of a partition.
pub(crate) enum PartitionPerceptron {
    /// FC3 and its norm: the paper's.
    Fc3(Fc3),
    /// A convolution on the partition map in its place: Table 1 row D.
    Conv(ConvBn),
}

impl PartitionPerceptron {
    /// Partitions (C, h, w, M) → (O, h, w, M).
    pub(crate) fn normed(&self) -> Normed<'_> {
        match self {
            Self::Fc3(fc3) => fc3.normed(),
            Self::Conv(conv) => conv.normed(),
        }
    }
}

/// FC3 with g groups, no bias, and batch norm over its O·h·w outputs. Names: `fc3`, `fc3_bn`.
pub(crate) struct Fc3 {
    weight: Tensor,
    bn: BatchNorm,
    groups: usize,
}

impl Fc3 {
    /// For partitions of h×w.
    ///
    /// # Errors
    /// When a name is taken.
    pub(crate) fn new(shape: RepMlpShape, scope: &Scope<'_>) -> Result<Self> {
        let RepMlpShape { inputs, outputs, groups, partitioning } = shape;
        let (rows, columns) = (outputs * partitioning.pixels(), inputs / groups * partitioning.pixels());
        Ok(Self {
            weight: scope.enter("fc3").parameter("weight", (rows, columns), Init::FanIn(columns))?,
            bn: BatchNorm::new(rows, &scope.enter("fc3_bn"))?,
            groups,
        })
    }

    /// Partitions (C, h, w, M) → (O, h, w, M).
    ///
    /// Channels are slowest on both sides, so group k sees exactly the channels that a convolution's group k sees.
    pub(crate) fn normed(&self) -> Normed<'_> {
        Normed { map: LinearMap::GroupedFc { groups: self.groups }, weight: &self.weight, bn: &self.bn }
    }

    /// Weight (O·h·w, C/g·h·w) and bias (O·h·w) with the norm in them.
    ///
    /// # Errors
    /// Those of candle.
    pub(crate) fn reparameterize(&self) -> Result<(Tensor, Tensor)> {
        fuse_bn(&self.weight, &self.bn)
    }
}
