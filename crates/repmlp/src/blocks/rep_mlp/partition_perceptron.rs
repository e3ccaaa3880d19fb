//! The Partition Perceptron (paper section 3.2): FC3 on each partition, with batch norm behind it.

use candle_core::{Result, Tensor};

use crate::Mode;
use crate::blocks::rep_mlp::{Partitioning, RepMlpShape};
use crate::layers::{BatchNorm, ConvBn};
use crate::reparam::fuse_bn;
use crate::vars::{Init, Scope};

/// What mixes the pixels of a partition.
pub(crate) enum PartitionPerceptron {
    /// FC3 and its norm: the paper's.
    Fc3(Fc3),
    /// A convolution on the partition map in its place: Table 1 row D.
    Conv(ConvBn),
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

    /// Partitions (C, h·w, M) → (O, h·w, M).
    ///
    /// # Errors
    /// Those of candle.
    pub(crate) fn forward(&self, partitions: &Tensor, mode: Mode) -> Result<Tensor> {
        let y = grouped_fc(&self.weight, partitions, self.groups)?;
        let (o, pixels, m) = y.dims3()?;
        self.bn.forward(&y.reshape((o * pixels, m))?, mode)?.reshape((o, pixels, m))
    }

    /// Weight (O·h·w, C/g·h·w) and bias (O·h·w) with the norm in them.
    ///
    /// # Errors
    /// Those of candle.
    pub(crate) fn reparameterize(&self) -> Result<(Tensor, Tensor)> {
        fuse_bn(&self.weight, &self.bn)
    }
}

/// An FC layer with groups on each partition: weight (O·h·w, C/g·h·w), partitions (C, h·w, M) → (O, h·w, M).
///
/// Channels are slowest on both sides, so group k sees exactly the channels that a convolution's group k sees.
///
/// # Errors
/// When the sizes do not fit.
pub(crate) fn grouped_fc(weight: &Tensor, partitions: &Tensor, groups: usize) -> Result<Tensor> {
    let (c, pixels, m) = partitions.dims3()?;
    let (rows, columns) = weight.dims2()?;
    weight
        .reshape((groups, rows / groups, columns))?
        .matmul(&partitions.reshape((groups, c / groups * pixels, m))?)?
        .reshape((rows / pixels, pixels, m))
}

/// A convolution on the partition map: partitions (C, h·w, M) are maps of h×w with M images.
///
/// # Errors
/// When the sizes do not fit.
pub(crate) fn on_partition_map(
    partitions: &Tensor,
    partitioning: Partitioning,
    conv: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (c, _, m) = partitions.dims3()?;
    let y = conv(&partitions.reshape((c, partitioning.h, partitioning.w, m))?)?;
    y.reshape((y.dim(0)?, partitioning.pixels(), m))
}
