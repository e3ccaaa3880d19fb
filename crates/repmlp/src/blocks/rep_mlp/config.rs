//! How a RepMLP block is asked for, and what cannot be built.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigFault;
use crate::blocks::rep_mlp::{GlobalPerceptron, LocalBranch, Partitioning, RepMlpShape};
use crate::cost::{Account, CountedForm, LayerCost};
use crate::layers::ConvBn;

/// A RepMLP block. The stage it stands in says its channels and its map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepMlpConfig {
    /// Height and width of a partition (h, w); they divide the map, or `padding` fills it.
    pub partition: [usize; 2],
    /// What becomes of a map that the partitions do not divide.
    #[serde(default, skip_serializing_if = "PaddingConfig::is_none")]
    pub padding: PaddingConfig,
    /// Groups (g) of FC3 and of the local convolutions; a divisor of the channels.
    pub groups: usize,
    /// Sizes K of the local convolutions, odd, at most h and w; empty: no Local Perceptron.
    pub local_kernels: Vec<usize>,
    /// FC1 and FC2 between partitions.
    #[serde(default)]
    pub global_perceptron: GlobalPerceptronConfig,
    /// What mixes the pixels of a partition.
    #[serde(default)]
    pub partition_perceptron: PartitionPerceptronConfig,
}

/// What becomes of a map that the partitions do not divide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PaddingConfig {
    /// Such a map is an error, as in the paper's code.
    #[default]
    None,
    /// Zeros at its bottom and right fill the last partitions (the paper's section 3.1 allows it), and are cut off again.
    Zero,
}

impl PaddingConfig {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// FC1 and FC2 between partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GlobalPerceptronConfig {
    /// The paper's, wherever a map has more than one partition.
    Fc {
        /// FC1 has n/ρ outputs for its n inputs; this is ρ (`global_reduction`).
        reduction: usize,
    },
    /// Partitions do not learn of each other: Table 1 row C.
    None {},
}

impl Default for GlobalPerceptronConfig {
    /// ρ = 1: the paper's everywhere but in segmentation.
    fn default() -> Self {
        Self::Fc { reduction: 1 }
    }
}

/// What mixes the pixels of a partition.
// `Fc {}`, not `Fc`: serde would let any key stand beside a unit variant's `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PartitionPerceptronConfig {
    /// FC3, the paper's.
    Fc {},
    /// A convolution on the partition map: Table 1 row D. It takes no `local_kernels`: they would merge into it.
    Conv {
        /// Its size K, odd.
        kernel: usize,
    },
}

impl Default for PartitionPerceptronConfig {
    fn default() -> Self {
        Self::Fc {}
    }
}

impl RepMlpConfig {
    /// All sizes of the block for C and O channels on an H×W map; `None` where the partition does not divide the map.
    pub fn shape(&self, inputs: usize, outputs: usize, map: (usize, usize)) -> Option<RepMlpShape> {
        let partitioning = self.partitioning(map)?;
        Some(RepMlpShape { inputs, outputs, groups: self.groups, partitioning })
    }

    /// How an H×W map is cut; `None` where the partition does not divide it and no zeros may fill it.
    fn partitioning(&self, map: (usize, usize)) -> Option<Partitioning> {
        match self.padding {
            PaddingConfig::None => Partitioning::of(map, self.partition),
            PaddingConfig::Zero => Partitioning::padded(map, self.partition),
        }
    }

    /// ρ of this block on a map with that many partitions; `None` where it has no Global Perceptron.
    pub fn global_reduction(&self, partitions: usize) -> Option<usize> {
        match self.global_perceptron {
            GlobalPerceptronConfig::Fc { reduction } if partitions > 1 => Some(reduction),
            GlobalPerceptronConfig::Fc { .. } | GlobalPerceptronConfig::None {} => None,
        }
    }

    /// What cannot be built for C and O channels on this map; `path` is the block's own key.
    pub fn faults(&self, (channels, outputs): (usize, usize), map: (usize, usize), path: &str) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: String| faults.push(ConfigFault::new(format!("{path}.{key}"), message));
        let [h, w] = self.partition;
        let undivided = [channels, outputs].into_iter().find(|c| self.groups == 0 || !c.is_multiple_of(self.groups));
        if let Some(channels) = undivided {
            fault("groups", format!("{} groups do not divide {channels} channels", self.groups));
        }
        if self.partitioning(map).is_none() {
            let message = format!(
                "partitions of {h}x{w} do not divide the {}x{} map; `padding = \"zero\"` fills it",
                map.0, map.1
            );
            fault("partition", message);
        }
        for (i, &k) in self.local_kernels.iter().enumerate() {
            if k % 2 == 0 || k > h.min(w) {
                let message = format!("kernel {k} must be odd and at most the partition's {h}x{w}");
                fault("local_kernels", message);
            } else if self.local_kernels[..i].contains(&k) {
                fault("local_kernels", format!("kernel {k} stands there twice"));
            }
        }
        match self.partition_perceptron {
            PartitionPerceptronConfig::Conv { kernel } if kernel % 2 == 0 || kernel >= 2 * h.max(w) => {
                let message = format!("kernel {kernel} must be odd and below twice the partition's {h}x{w}");
                fault("partition_perceptron.kernel", message);
            }
            PartitionPerceptronConfig::Conv { .. } if !self.local_kernels.is_empty() => {
                fault("local_kernels", "must be [] where a convolution replaces FC3: they would merge into it".into());
            }
            PartitionPerceptronConfig::Conv { .. } | PartitionPerceptronConfig::Fc {} => {}
        }
        if let GlobalPerceptronConfig::Fc { reduction } = self.global_perceptron {
            let partitions = self.partitioning(map).map_or(1, Partitioning::count);
            let n = channels * partitions;
            if reduction == 0 || (partitions > 1 && !n.is_multiple_of(reduction)) {
                let message =
                    format!("reduction {reduction} does not divide {channels} channels x {partitions} partitions");
                fault("global_perceptron.reduction", message);
            }
        }
        faults
    }

    /// What the block costs.
    pub fn account(&self, shape: RepMlpShape, at: &str, account: &mut Account) {
        let Partitioning { h, w, h_p, w_p, .. } = shape.partitioning;
        let (pixels, count) = (shape.partitioning.pixels(), shape.partitioning.count());
        let map = (h * h_p, w * w_p);
        if let Some(reduction) = self.global_reduction(count) {
            GlobalPerceptron::account(shape, reduction, at, account);
        }
        match self.partition_perceptron {
            PartitionPerceptronConfig::Fc {} => {
                let (rows, columns) = (shape.outputs * pixels, shape.inputs / shape.groups * pixels);
                account.add(LayerCost {
                    name: format!("{at}.fc3"),
                    shape: vec![rows, columns],
                    params: rows * columns + account.norm_params(rows),
                    flops: rows * columns * count,
                    output: [shape.outputs, map.0, map.1],
                    // The partitions that it reads, its output, the norm's, and the map put together again.
                    kept: (shape.inputs + 3 * shape.outputs) * map.0 * map.1,
                    ..LayerCost::default()
                });
            }
            PartitionPerceptronConfig::Conv { kernel } => {
                ConvBn::account(shape.conv(kernel), map, &format!("{at}.fc3_conv"), account);
            }
        }
        if account.form() == CountedForm::Training {
            for &kernel in &self.local_kernels {
                ConvBn::account(shape.conv(kernel), map, &format!("{at}.{}", LocalBranch::name(kernel)), account);
            }
        }
    }
}
