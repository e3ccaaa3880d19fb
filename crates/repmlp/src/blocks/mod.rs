//! What can stand where a network mixes pixels: the paper's block and the blocks that it is compared with.
//!
//! A new block is a file, its `mod` line, a variant of [`BlockConfig`] and its arms below, and a kind of layer in
//! `network/layer.rs`.

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

/// A block that keeps channels and map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BlockConfig {
    /// The paper's block.
    RepMlp(RepMlpConfig),
    /// A convolution and batch norm.
    Conv(ConvConfig),
    /// A non-local block.
    NonLocal(NonLocalConfig),
    /// Multi-head self-attention with relative positions, batch norm and a shortcut.
    SelfAttention(SelfAttentionConfig),
}

/// A convolution and batch norm: Table 1 row E, and the Wide ConvNet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvConfig {
    /// Size K, odd.
    pub kernel: usize,
    /// Groups, a divisor of the channels.
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
        // A wider kernel has taps that no pixel of the map ever sees.
        if self.kernel.is_multiple_of(2) || self.kernel >= 2 * h.max(w) {
            let message = format!("kernel {} must be odd and below twice the {h}x{w} map", self.kernel);
            faults.push(ConfigFault::new(format!("{key}.kernel"), message));
        }
        faults
    }
}

impl BlockConfig {
    /// What cannot be built at `site`; `key` is the block's own key.
    pub fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault> {
        match self {
            Self::RepMlp(config) => config.faults((site.channels, site.channels), site.map, key),
            Self::Conv(config) => config.faults(site, key),
            Self::NonLocal(config) => config.faults(site.channels, key),
            Self::SelfAttention(config) => config.faults(site.channels, key),
        }
    }

    /// The block at `site` as a part of a network; `key` is the block's own key.
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
