//! RepMLPNet (arXiv 2112.11081, CVPR 2022), the successor of RepMLP. The official repository now contains this network.
//!
//! The image is embedded in 4×4 patches. Four stages of units follow. A unit computes `y = x + block(BN(x))` and
//! returns `y + FFN(BN(y))`. Between stages, patches of 2×2 are embedded. Names are the official ones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigFault;
use crate::blocks::ShareSetMlpShape;
use crate::models::part::{part, relu};
use crate::models::{NetworkKind, Task};
use crate::network::{Activation, Fixed, LayerSpec, Network, Node, chain, identity, sum};

/// Configuration of a RepMLPNet. FC3 covers the whole map of its stage, so trained weights can be used for one image
/// size only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepMlpNetConfig {
    /// Channels of each stage. T224: 64, 128, 256, 512. B224: 96, 192, 384, 768.
    pub channels: [usize; 4],
    /// Number of units in each stage. T224: 2, 2, 6, 2. B224: 2, 2, 12, 2.
    pub blocks: [usize; 4],
    /// Number of share-sets in each stage. T224: 1, 4, 16, 128. B224: 1, 4, 32, 128.
    pub share_sets: [usize; 4],
    /// Kernel sizes of the local convolutions. Official: 1, 3.
    pub local_kernels: Vec<usize>,
}

/// The hidden layer of a gate has the block's channels divided by this.
const GATE_REDUCTION: usize = 4;
/// The hidden layer of an FFN has the unit's channels times this.
const FFN_EXPANSION: usize = 4;
/// Limits far above any real network.
const MOST_CHANNELS: usize = 8192;
const MOST_BLOCKS: usize = 128;

impl RepMlpNetConfig {
    fn unit(&self, s: usize) -> Node<LayerSpec> {
        let shape = ShareSetMlpShape {
            share_sets: self.share_sets[s],
            local_kernels: self.local_kernels.clone(),
            gate_reduction: GATE_REDUCTION,
        };
        let channels = self.channels[s];
        let block = LayerSpec::block(shape, "model");
        let expand =
            LayerSpec::NormConvBn { norm: "prebn2", conv_bn: "ffn_block.ffn_fc1", outputs: FFN_EXPANSION * channels };
        let ffn = [
            part("", expand),
            part("", Fixed::Activation(Activation::Gelu)),
            part("ffn_block.ffn_fc2", LayerSpec::conv_bn(channels, 1)),
        ];
        let mix = chain([part("prebn1", LayerSpec::Norm), part("repmlp_block", block)]);
        chain([
            part("", sum([part("", identity()), part("", mix)])),
            part("", sum([part("", identity()), part("", chain(ffn))])),
        ])
    }
}

impl NetworkKind for RepMlpNetConfig {
    fn faults(&self, _task: Task) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        if self.channels.iter().any(|channels| !(1..=MOST_CHANNELS).contains(channels)) {
            let message = format!("each stage must have between 1 and {MOST_CHANNELS} channels");
            faults.push(ConfigFault::new("model.channels", message));
        }
        if self.blocks.iter().any(|blocks| !(1..=MOST_BLOCKS).contains(blocks)) {
            faults.push(ConfigFault::new(
                "model.blocks",
                format!("each stage must have between 1 and {MOST_BLOCKS} blocks"),
            ));
        }
        faults
    }

    fn network(&self, task: Task) -> Network<LayerSpec> {
        let patches = |channels: usize, size: usize| LayerSpec::conv_bn(channels, size).stride(size).unpadded();
        let mut trunk = vec![part("conv_embedding", patches(self.channels[0], 4)), relu()];
        for s in 0..4 {
            let units = (0..self.blocks[s]).map(|b| (b.to_string(), self.unit(s)));
            trunk.push(part(&format!("stages.{s}"), chain(units)));
            if let Some(&next) = self.channels.get(s + 1) {
                trunk.extend([part(&format!("embeds.{s}"), patches(next, 2)), relu()]);
            }
        }
        let head = [
            part("head_norm", LayerSpec::Norm),
            part("", Fixed::GlobalAverage),
            part("head", LayerSpec::Linear { outputs: task.classes }),
        ];
        Network::plain(chain(trunk), chain(head))
    }
}
