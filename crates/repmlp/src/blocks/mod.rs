//! Blocks that mix pixels: the RepMLP block and the blocks that the paper compares it with.
//!
//! To add a block, write its file, its `mod` line, and its variant of [`BlockConfig`] with its arm. The file implements
//! [`BlockKind`] and the traits of `network/block.rs`. Another crate adds a block without changing this one: see
//! [`crate::OwnKinds`].

mod global_context;
mod non_local;
mod rep_mlp;
mod self_attention;
mod share_set_mlp;

use std::fmt::Debug;

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
use crate::network::{LayerSpec, Node, Site, identity};
use crate::own_kinds::{Own, OwnKinds};

/// A block of a configuration: what stands under the key `block`. Its output has the channels and the map size of its
/// input.
pub trait BlockKind: Debug + Send + Sync {
    /// Returns the faults that prevent building the block at `site`. `key` is the key of the block.
    fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault>;

    /// Returns the block at `site` as a node of a network. `key` is the key of the block. The block has no faults.
    fn node(&self, site: Site, key: &str) -> Node<LayerSpec>;
}

/// A block. Its output has the channels and the map size of its input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[schemars(transform = crate::own_kinds::as_one_of)]
pub enum BlockConfig {
    /// The paper's RepMLP block.
    RepMlp(RepMlpConfig),
    /// A convolution with batch norm.
    Conv(ConvConfig),
    /// A non-local block.
    NonLocal(NonLocalConfig),
    /// Multi-head self-attention with relative positions, batch norm and a shortcut.
    SelfAttention(SelfAttentionConfig),
    /// A block of another crate.
    #[serde(untagged)]
    #[schemars(skip)]
    Own(Own<dyn BlockKind>),
}

impl BlockConfig {
    fn kind(&self) -> &dyn BlockKind {
        match self {
            Self::RepMlp(config) => config,
            Self::Conv(config) => config,
            Self::NonLocal(config) => config,
            Self::SelfAttention(config) => config,
            Self::Own(own) => own,
        }
    }

    /// Binds a block of another crate to the type that implements its kind. `key` is the key of the block.
    ///
    /// # Errors
    /// When its kind is unknown or its table is invalid.
    pub(crate) fn bind(&mut self, kinds: &OwnKinds, key: &str) -> Result<(), ConfigFault> {
        if let Self::Own(own) = self { own.bind(kinds, key) } else { Ok(()) }
    }

    /// Returns the faults that prevent building the block at `site`. `key` is the key of the block.
    pub fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault> {
        self.kind().faults(site, key)
    }

    /// Returns the block at `site` as a node of a network. `key` is the key of the block. The block has no faults.
    pub fn node(&self, site: Site, key: &str) -> Node<LayerSpec> {
        self.kind().node(site, key)
    }
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

impl BlockKind for ConvConfig {
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

    fn node(&self, site: Site, _key: &str) -> Node<LayerSpec> {
        LayerSpec::conv_bn(site.channels, self.kernel).groups(self.groups).into()
    }
}

impl BlockKind for Own<dyn BlockKind> {
    fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault> {
        self.bound(key).map_or_else(|fault| vec![fault], |block| block.faults(site, key))
    }

    fn node(&self, site: Site, key: &str) -> Node<LayerSpec> {
        self.bound(key).map_or_else(|_| identity(), |block| block.node(site, key))
    }
}
