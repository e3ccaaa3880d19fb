//! Blocks that mix pixels: the RepMLP block and the blocks that the paper compares it with.
//!
//! To add a block, write its file, its `mod` line, its variant of [`BlockConfig`] with the match arms below, and its
//! layer in `network/layer_spec.rs`, `network/layer.rs` and `network/deployed_layer.rs`.

mod global_context;
mod non_local;
mod rep_mlp;
mod self_attention;
mod share_set_mlp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use global_context::{GlobalContext, GlobalContextConfig, GlobalContextShape};
pub use non_local::{DeployedNonLocal, NonLocal, NonLocalConfig, NonLocalShape};
pub use rep_mlp::{
    DeployedRepMlpBlock, GlobalPerceptronConfig, PaddingConfig, PartitionPerceptronConfig, Partitioning, RepMlpBlock,
    RepMlpConfig, RepMlpShape,
};
pub use self_attention::{Attention, DeployedSelfAttention, SelfAttention, SelfAttentionConfig, SelfAttentionShape};
pub use share_set_mlp::{DeployedShareSetMlp, ShareSetMlp, ShareSetMlpShape};

use crate::ConfigFault;
use crate::network::{LayerSpec, Node, Site, identity, sum};

/// A block. Its output has the channels and the map size of its input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BlockConfig {
    /// The paper's RepMLP block.
    RepMlp(RepMlpConfig),
    /// A convolution with batch norm.
    Conv(ConvConfig),
    /// A non-local block.
    NonLocal(NonLocalConfig),
    /// Multi-head self-attention with relative positions, batch norm and a shortcut.
    SelfAttention(SelfAttentionConfig),
}

/// A convolution with batch norm, as in Table 1 row E and in the Wide ConvNet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvConfig {
    /// Size K of the kernel; odd.
    pub kernel: usize,
    /// Number of groups; a divisor of the channels.
    pub groups: usize,
}

impl ConvConfig {
    fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault> {
        let Site { channels, map: (h, w) } = site;
        let mut faults = Vec::new();
        if self.groups == 0 || !channels.is_multiple_of(self.groups) {
            let message = format!("{} groups do not divide {channels} channels", self.groups);
            faults.push(ConfigFault::new(format!("{key}.groups"), message));
        }
        // A larger kernel has taps that always lie on padding.
        if self.kernel.is_multiple_of(2) || self.kernel >= 2 * h.max(w) {
            let message = format!("kernel {} must be odd and smaller than twice the {h}x{w} map", self.kernel);
            faults.push(ConfigFault::new(format!("{key}.kernel"), message));
        }
        faults
    }
}

impl BlockConfig {
    /// Returns the faults that prevent building the block at `site`. `key` is the key of the block.
    pub fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault> {
        match self {
            Self::RepMlp(config) => config.faults((site.channels, site.channels), site.map, key),
            Self::Conv(config) => config.faults(site, key),
            Self::NonLocal(config) => config.faults(site.channels, key),
            Self::SelfAttention(config) => config.faults(site.channels, key),
        }
    }

    /// Returns the block at `site` as a node of a network. `key` is the key of the block.
    pub fn node(&self, site: Site, key: &str) -> Node<LayerSpec> {
        let key = key.to_owned();
        match self {
            Self::RepMlp(config) => {
                Node::Layer(LayerSpec::RepMlp { config: config.clone(), outputs: site.channels, key })
            }
            Self::Conv(config) => LayerSpec::conv_bn(site.channels, config.kernel).groups(config.groups).into(),
            Self::NonLocal(config) => Node::Layer(LayerSpec::NonLocal { config: config.clone(), key }),
            Self::SelfAttention(config) => {
                let attention = Node::Layer(LayerSpec::SelfAttention { config: config.clone(), key });
                sum([("", identity()), ("", attention)])
            }
        }
    }
}
