//! Configuration of a RepMLP block, its faults and its costs.

use candle_core::{Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ConfigFault;
use crate::blocks::BlockKind;
use crate::blocks::rep_mlp::{GlobalPerceptron, LocalBranch, Partitioning, RepMlpBlock, RepMlpShape};
use crate::cost::{Account, CountedForm, LayerCost};
use crate::layers::ConvBn;
use crate::network::{BlockSpec, Fc3Shape, LayerSpec, Node, Site, TrainingBlock};
use crate::vars::Scope;

/// Configuration of a RepMLP block. Its channels and its map follow from its position in the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepMlpConfig {
    /// Height and width (h, w) of a partition. They must divide the map, unless `padding` allows otherwise.
    pub partition: [usize; 2],
    /// How to handle a map that the partitions do not divide.
    #[serde(default, skip_serializing_if = "PaddingConfig::is_none")]
    pub padding: PaddingConfig,
    /// Number of groups (g) of FC3 and of the local convolutions; a divisor of the channels.
    pub groups: usize,
    /// Sizes K of the local convolutions: odd, and not larger than h and w. An empty list means no Local Perceptron.
    pub local_kernels: Vec<usize>,
    /// Global Perceptron: FC1 and FC2, which connect the partitions.
    #[serde(default)]
    pub global_perceptron: GlobalPerceptronConfig,
    /// Partition Perceptron: the layer that mixes the pixels of a partition.
    #[serde(default)]
    pub partition_perceptron: PartitionPerceptronConfig,
}

/// How to handle a map that the partitions do not divide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PaddingConfig {
    /// Report an error, as the paper's code does.
    #[default]
    None,
    /// Pad the map with zeros at the bottom and right to fill the last partitions, and crop the result (see section 3.1
    /// of the paper).
    Zero,
}

impl PaddingConfig {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Global Perceptron: FC1 and FC2, which connect the partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GlobalPerceptronConfig {
    /// The paper's Global Perceptron. It exists only if the map has more than one partition.
    Fc {
        /// Reduction ρ: FC1 has n inputs and n/ρ outputs.
        reduction: usize,
    },
    /// No Global Perceptron: the partitions are independent (Table 1 row C).
    None {},
}

impl Default for GlobalPerceptronConfig {
    /// ρ = 1, as everywhere in the paper except for segmentation.
    fn default() -> Self {
        Self::Fc { reduction: 1 }
    }
}

/// Partition Perceptron: the layer that mixes the pixels of a partition.
// `Fc {}`, not `Fc`: for a unit variant, serde would accept any other key next to `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PartitionPerceptronConfig {
    /// FC3, as in the paper.
    Fc {},
    /// A convolution on the partition (Table 1 row D). `local_kernels` must be empty, because they would merge into
    /// this convolution.
    Conv {
        /// Size K of the kernel; odd.
        kernel: usize,
    },
}

impl Default for PartitionPerceptronConfig {
    fn default() -> Self {
        Self::Fc {}
    }
}

impl RepMlpConfig {
    /// Returns all sizes of the block for C input channels, O output channels and an H×W map; `None` if the map cannot
    /// be partitioned.
    pub fn shape(&self, inputs: usize, outputs: usize, map: (usize, usize)) -> Option<RepMlpShape> {
        let partitioning = self.partitioning(map)?;
        Some(RepMlpShape { inputs, outputs, groups: self.groups, partitioning })
    }

    /// Returns the partitioning of an H×W map; `None` if the partition does not divide the map and padding is off.
    fn partitioning(&self, map: (usize, usize)) -> Option<Partitioning> {
        match self.padding {
            PaddingConfig::None => Partitioning::of(map, self.partition),
            PaddingConfig::Zero => Partitioning::padded(map, self.partition),
        }
    }

    /// Returns ρ for a map with this number of partitions; `None` if the block then has no Global Perceptron.
    pub fn global_reduction(&self, partitions: usize) -> Option<usize> {
        match self.global_perceptron {
            GlobalPerceptronConfig::Fc { reduction } if partitions > 1 => Some(reduction),
            GlobalPerceptronConfig::Fc { .. } | GlobalPerceptronConfig::None {} => None,
        }
    }

    /// Returns the faults that prevent building the block with C input and O output channels on this map. `path` is the
    /// key of the block.
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
                "partitions of {h}x{w} do not divide the {}x{} map; set `padding = \"zero\"` to fill it",
                map.0, map.1
            );
            fault("partition", message);
        }
        for (i, &k) in self.local_kernels.iter().enumerate() {
            if k % 2 == 0 || k > h.min(w) {
                let message = format!("kernel {k} must be odd and not larger than the {h}x{w} partition");
                fault("local_kernels", message);
            } else if self.local_kernels[..i].contains(&k) {
                fault("local_kernels", format!("kernel {k} is listed twice"));
            }
        }
        match self.partition_perceptron {
            PartitionPerceptronConfig::Conv { kernel } if kernel % 2 == 0 || kernel >= 2 * h.max(w) => {
                let message = format!("kernel {kernel} must be odd and smaller than twice the {h}x{w} partition");
                fault("partition_perceptron.kernel", message);
            }
            PartitionPerceptronConfig::Conv { .. } if !self.local_kernels.is_empty() => {
                fault("local_kernels", "must be [] if a convolution replaces FC3: they would merge into it".into());
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

    /// Adds the costs of the block to `account`.
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
                    // The partitions that FC3 reads, its output, the output of the norm, and the restored map.
                    kept: (shape.inputs + 3 * shape.outputs) * map.0 * map.1,
                    ..LayerCost::default()
                });
            }
            PartitionPerceptronConfig::Conv { kernel } => {
                ConvBn::account(shape.conv(kernel), (h, w), (h_p, w_p), &format!("{at}.fc3_conv"), account);
            }
        }
        if account.form() == CountedForm::Training {
            for &kernel in &self.local_kernels {
                let name = format!("{at}.{}", LocalBranch::name(kernel));
                ConvBn::account(shape.conv(kernel), (h, w), (h_p, w_p), &name, account);
            }
        }
    }
}

impl BlockSpec for RepMlpConfig {
    fn faults(&self, Site { channels, map }: Site, key: &str) -> Vec<ConfigFault> {
        self.faults((channels, channels), map, key)
    }

    fn account(&self, Site { channels, map }: Site, at: &str, account: &mut Account) {
        if let Some(shape) = self.shape(channels, channels, map) {
            self.account(shape, at, account);
        }
    }

    fn fc3(&self, Site { channels, map }: Site) -> Option<Fc3Shape> {
        let RepMlpShape { inputs, outputs, groups, partitioning } = self.shape(channels, channels, map)?;
        let Partitioning { h, w, .. } = partitioning;
        let is_fc = self.partition_perceptron == PartitionPerceptronConfig::Fc {};
        is_fc.then(|| Fc3Shape { outputs, inputs: inputs / groups, h, w })
    }

    fn description(&self, Site { channels, map }: Site) -> Option<Value> {
        let RepMlpShape { inputs, outputs, groups, partitioning } = self.shape(channels, channels, map)?;
        let count = partitioning.count();
        Some(json!({
            "layer": "rep-mlp",
            "inputs": inputs,
            "outputs": outputs,
            "groups": groups,
            "h": partitioning.h,
            "w": partitioning.w,
            "map": map,
            // Outputs of FC1; none without a Global Perceptron.
            "hidden": self.global_reduction(count).map(|reduction| inputs * count / reduction),
            // Size of the convolution in the place of FC3; none with FC3.
            "kernel": match self.partition_perceptron {
                PartitionPerceptronConfig::Fc {} => None,
                PartitionPerceptronConfig::Conv { kernel } => Some(kernel),
            },
            "local_kernels": self.local_kernels,
        }))
    }

    fn build(&self, Site { channels, map }: Site, scope: &Scope<'_>) -> Result<Box<dyn TrainingBlock>> {
        let Some(shape) = self.shape(channels, channels, map) else {
            bail!("partitions {:?} do not divide the map {map:?}", self.partition);
        };
        Ok(Box::new(RepMlpBlock::new(self, shape, scope)?))
    }
}

impl BlockKind for RepMlpConfig {
    fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault> {
        BlockSpec::faults(self, site, key)
    }

    fn node(&self, _site: Site, key: &str) -> Node<LayerSpec> {
        LayerSpec::block(self.clone(), key).into()
    }
}
