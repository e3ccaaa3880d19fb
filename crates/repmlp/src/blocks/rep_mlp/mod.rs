//! The RepMLP block (paper section 3) in both forms.
//!
//! ```text
//! training:  x -> partition -> + Global Perceptron -> FC3-BN + Σ conv-BN -> restore
//! deployed:  x -> partition -> + FC2(ReLU(FC1))    -> FC3 with a bias    -> restore
//! ```
//! [`RepMlpBlock::reparameterize`] merges the convolutions into FC3.

mod config;
mod global_perceptron;
mod local_perceptron;
mod partition;
mod partition_perceptron;

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::{Epilogue, grouped_fc_with_epilogue};

pub use config::{GlobalPerceptronConfig, PaddingConfig, PartitionPerceptronConfig, RepMlpConfig};
pub(crate) use global_perceptron::{FcPair, GlobalPerceptron};
pub(crate) use local_perceptron::LocalBranch;
pub use partition::Partitioning;
pub(crate) use partition_perceptron::{Fc3, PartitionPerceptron};

use crate::Mode;
use crate::layers::{Conv2d, ConvBn, ConvShape, Normed, Visitor, normed_sum};
use crate::network::{DeployedBlock, TrainingBlock};
use crate::vars::{Scope, joined};

/// All sizes of a RepMLP block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepMlpShape {
    /// Input channels, C.
    pub inputs: usize,
    /// Output channels, O.
    pub outputs: usize,
    /// Groups, g.
    pub groups: usize,
    /// Size and number of the partitions.
    pub partitioning: Partitioning,
}

impl RepMlpShape {
    /// Sizes of a convolution on a partition, with the groups of FC3.
    pub(crate) fn conv(self, kernel: usize) -> ConvShape {
        ConvShape::same(self.inputs, self.outputs, kernel, self.groups)
    }
}

/// The training form.
pub struct RepMlpBlock {
    shape: RepMlpShape,
    global: Option<GlobalPerceptron>,
    partition: PartitionPerceptron,
    local: Vec<LocalBranch>,
}

/// The deployed form: FC1, FC2 and FC3 with biases.
#[derive(Clone)]
pub struct DeployedRepMlpBlock {
    shape: RepMlpShape,
    global: Option<FcPair>,
    partition: DeployedPartitionPerceptron,
}

/// Partition Perceptron and local branches after merging.
#[derive(Clone)]
enum DeployedPartitionPerceptron {
    /// FC3 with weight (O·h·w, C/g·h·w) and bias (O·h·w).
    Fc3 { weight: Tensor, bias: Tensor },
    /// The convolution of Table 1 row D.
    Conv(Conv2d),
}

impl RepMlpBlock {
    /// Creates a block with its variables in `scope`.
    ///
    /// # Errors
    /// When the configuration does not fit (see [`RepMlpConfig::faults`]) or a variable name is already used.
    pub fn new(config: &RepMlpConfig, shape: RepMlpShape, scope: &Scope<'_>) -> Result<Self> {
        if !shape.inputs.is_multiple_of(shape.groups) || !shape.outputs.is_multiple_of(shape.groups) {
            bail!("{} groups do not divide {} and {} channels", shape.groups, shape.inputs, shape.outputs);
        }
        let partitions = shape.partitioning.count();
        let global = config
            .global_reduction(partitions)
            .map(|reduction| GlobalPerceptron::new(shape.inputs, partitions, reduction, scope))
            .transpose()?;
        let partition = match config.partition_perceptron {
            PartitionPerceptronConfig::Fc {} => PartitionPerceptron::Fc3(Fc3::new(shape, scope)?),
            PartitionPerceptronConfig::Conv { kernel } => {
                PartitionPerceptron::Conv(ConvBn::new(shape.conv(kernel), &scope.enter("fc3_conv"))?)
            }
        };
        let local =
            config.local_kernels.iter().map(|&k| LocalBranch::new(shape, k, scope)).collect::<Result<Vec<_>>>()?;
        Ok(Self { shape, global, partition, local })
    }

    /// Forward pass: (C, H, W, N) → (O, H, W, N).
    ///
    /// # Errors
    /// When the map has a different size.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward_with_epilogue(x_chwn, mode, Epilogue::None)
    }

    /// Like [`Self::forward`], followed by `epilogue`.
    ///
    /// # Errors
    /// When the map has a different size.
    pub(crate) fn forward_with_epilogue(&self, x_chwn: &Tensor, mode: Mode, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let images = x_chwn.dim(3)?;
        let partitioning = self.shape.partitioning;
        let global = self.global.as_ref().map(|global| |pooled: &Tensor| global.forward(pooled, images, mode));
        let partitions = partitions(partitioning, x_chwn, global)?;
        let branches: Vec<Normed<'_>> =
            std::iter::once(self.partition.normed()).chain(self.local.iter().map(LocalBranch::normed)).collect();
        let (before, after) = around_restore(epilogue);
        let y = normed_sum(&partitions, &branches, mode, before)?;
        after.after(&partitioning.restore(&y)?)
    }

    /// Returns the deployed form, which computes the same function with the running statistics (paper section 3.4).
    ///
    /// # Errors
    /// When candle fails.
    pub fn reparameterize(&self) -> Result<DeployedRepMlpBlock> {
        let global = self.global.as_ref().map(GlobalPerceptron::reparameterize).transpose()?;
        let partition = match &self.partition {
            PartitionPerceptron::Conv(conv) => DeployedPartitionPerceptron::Conv(conv.reparameterize()?),
            PartitionPerceptron::Fc3(fc3) => {
                let (mut weight, mut bias) = fc3.reparameterize()?;
                for branch in &self.local {
                    let (more_weight, more_bias) = branch.reparameterize()?;
                    weight = (weight + more_weight)?;
                    bias = (bias + more_bias)?;
                }
                DeployedPartitionPerceptron::Fc3 { weight: weight.detach(), bias: bias.detach() }
            }
        };
        Ok(DeployedRepMlpBlock { shape: self.shape, global, partition })
    }
}

/// Partitions a map, and adds to each partition what the Global Perceptron computes from their means. Both forms share
/// this.
fn partitions(
    partitioning: Partitioning,
    x_chwn: &Tensor,
    global: Option<impl FnOnce(&Tensor) -> Result<Tensor>>,
) -> Result<Tensor> {
    let Some(global) = global else { return partitioning.partition(x_chwn) };
    let padded = partitioning.pad(x_chwn)?;
    partitioning.partition_plus(&padded, &global(&partitioning.pool(&padded)?)?)
}

/// Splits the epilogue of a block into the part before `restore` and the part after it. A `ReLU` alone can be applied
/// to the partitions; an addition needs the restored map.
fn around_restore(epilogue: Epilogue<'_>) -> (Epilogue<'_>, Epilogue<'_>) {
    match epilogue {
        Epilogue::Relu => (Epilogue::Relu, Epilogue::None),
        Epilogue::None | Epilogue::Add(_) | Epilogue::AddRelu(_) => (Epilogue::None, epilogue),
    }
}

impl DeployedRepMlpBlock {
    /// Forward pass: (C, H, W, N) → (O, H, W, N).
    ///
    /// # Errors
    /// When the map has a different size.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        self.forward_with_epilogue(x_chwn, Epilogue::None)
    }

    /// Like [`Self::forward`], followed by `epilogue`.
    ///
    /// # Errors
    /// When the map has a different size.
    pub(crate) fn forward_with_epilogue(&self, x_chwn: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let RepMlpShape { groups, partitioning, .. } = self.shape;
        let images = x_chwn.dim(3)?;
        let global = self.global.as_ref().map(|global| |pooled: &Tensor| global.forward(pooled, images));
        let partitions = partitions(partitioning, x_chwn, global)?;
        let (before, after) = around_restore(epilogue);
        let y = match &self.partition {
            DeployedPartitionPerceptron::Conv(conv) => conv.deployed_with_epilogue(&partitions, before)?,
            DeployedPartitionPerceptron::Fc3 { weight, bias } => {
                grouped_fc_with_epilogue(&partitions, weight, bias, groups, before)?
            }
        };
        after.after(&partitioning.restore(&y)?)
    }

    /// Calls `visit` for each tensor with its official name. The names start with `at`.
    ///
    /// # Errors
    /// When `visit` fails.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        if let Some(global) = &mut self.global {
            global.visit(at, visit)?;
        }
        match &mut self.partition {
            DeployedPartitionPerceptron::Fc3 { weight, bias } => {
                visit(&joined(at, "fc3.weight"), weight)?;
                visit(&joined(at, "fc3.bias"), bias)
            }
            DeployedPartitionPerceptron::Conv(conv) => conv.visit(&joined(at, "fc3_conv.conv"), visit),
        }
    }
}

impl TrainingBlock for RepMlpBlock {
    fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward(x_chwn, mode)
    }

    fn forward_with_epilogue(&self, x_chwn: &Tensor, mode: Mode, epilogue: Epilogue<'_>) -> Result<Tensor> {
        self.forward_with_epilogue(x_chwn, mode, epilogue)
    }

    fn reparameterize(&self) -> Result<Box<dyn DeployedBlock>> {
        Ok(Box::new(self.reparameterize()?))
    }
}

impl DeployedBlock for DeployedRepMlpBlock {
    fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        self.forward(x_chwn)
    }

    fn forward_with_epilogue(&self, x_chwn: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        self.forward_with_epilogue(x_chwn, epilogue)
    }

    fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        self.visit(at, visit)
    }

    fn boxed(&self) -> Box<dyn DeployedBlock> {
        Box::new(self.clone())
    }
}
