//! What can stand where a network mixes pixels: the paper's block and the blocks that it is compared with.
//!
//! A new block is a file, its `mod` line, a variant of each of the three enums, and their arms below.

mod non_local;
mod rep_mlp;
mod self_attention;

use candle_core::{Result, Tensor, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use non_local::{DeployedNonLocal, NonLocal, NonLocalConfig};
pub use rep_mlp::{
    DeployedRepMlpBlock, GlobalPerceptronConfig, PartitionPerceptronConfig, Partitioning, RepMlpBlock, RepMlpConfig,
    RepMlpShape,
};
pub use self_attention::{DeployedSelfAttention, SelfAttention, SelfAttentionConfig};

use crate::cost::{Account, Position};
use crate::layers::{Conv2d, ConvBn, ConvShape};
use crate::vars::Scope;
use crate::{ConfigFault, Mode};

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
    /// Multi-head self-attention with relative positions.
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

/// Where a block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Channels in and out.
    pub channels: usize,
    /// Height and width of the map.
    pub map: (usize, usize),
}

impl ConvConfig {
    fn shape(&self, channels: usize) -> ConvShape {
        ConvShape { inputs: channels, outputs: channels, kernel: self.kernel, groups: self.groups }
    }

    fn faults(&self, site: Site, path: &str) -> Vec<ConfigFault> {
        let Site { channels, map: (h, w) } = site;
        let mut faults = Vec::new();
        if self.groups == 0 || !channels.is_multiple_of(self.groups) {
            let message = format!("{} groups do not divide {channels} channels", self.groups);
            faults.push(ConfigFault::new(format!("{path}.groups"), message));
        }
        // A wider kernel has taps that no pixel of the map ever sees.
        if self.kernel.is_multiple_of(2) || self.kernel >= 2 * h.max(w) {
            let message = format!("kernel {} must be odd and below twice the {h}x{w} map", self.kernel);
            faults.push(ConfigFault::new(format!("{path}.kernel"), message));
        }
        faults
    }
}

impl BlockConfig {
    /// What cannot be built at `site`; `path` is the block's own key.
    pub fn faults(&self, site: Site, path: &str) -> Vec<ConfigFault> {
        match self {
            Self::RepMlp(config) => config.faults(site.channels, site.map, path),
            Self::Conv(config) => config.faults(site, path),
            Self::NonLocal(config) => config.faults(site.channels, path),
            Self::SelfAttention(config) => config.faults(site.channels, path),
        }
    }

    /// What the block costs at `site`.
    pub fn account(&self, site: Site, at: Position<'_>, account: &mut Account) {
        match self {
            Self::RepMlp(config) => {
                // A partition that does not divide the map is a fault; there is nothing to count then.
                if let Some(shape) = config.shape(site.channels, site.channels, site.map) {
                    config.account(shape, at, account);
                }
            }
            Self::Conv(config) => {
                ConvBn::account(config.shape(site.channels), site.map.0 * site.map.1, at, account);
            }
            Self::NonLocal(config) => config.account(site, at, account),
            Self::SelfAttention(config) => config.account(site, at, account),
        }
    }
}

/// A block while training.
pub enum Block {
    /// The paper's block.
    RepMlp(RepMlpBlock),
    /// A convolution and batch norm.
    Conv(ConvBn),
    /// A non-local block.
    NonLocal(NonLocal),
    /// Multi-head self-attention.
    SelfAttention(SelfAttention),
}

/// A block for inference.
pub enum DeployedBlock {
    /// Three FC layers.
    RepMlp(DeployedRepMlpBlock),
    /// A convolution with a bias.
    Conv(Conv2d),
    /// A non-local block without batch norm.
    NonLocal(DeployedNonLocal),
    /// Self-attention without batch norm.
    SelfAttention(DeployedSelfAttention),
}

impl Block {
    /// The block at `site`, its variables below `scope`.
    ///
    /// # Errors
    /// When the configuration does not fit (see [`BlockConfig::faults`]) or a name is taken.
    pub fn new(config: &BlockConfig, site: Site, scope: &Scope<'_>) -> Result<Self> {
        Ok(match config {
            BlockConfig::RepMlp(config) => {
                let Some(shape) = config.shape(site.channels, site.channels, site.map) else {
                    bail!("partition {:?} does not divide the map {:?}", config.partition, site.map);
                };
                Self::RepMlp(RepMlpBlock::new(config, shape, scope)?)
            }
            BlockConfig::Conv(config) => Self::Conv(ConvBn::new(config.shape(site.channels), scope)?),
            BlockConfig::NonLocal(config) => Self::NonLocal(NonLocal::new(config, site, scope)?),
            BlockConfig::SelfAttention(config) => Self::SelfAttention(SelfAttention::new(config, site, scope)?),
        })
    }

    /// (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::RepMlp(block) => block.forward(x_chwn, mode),
            Self::Conv(block) => block.forward(x_chwn, mode),
            Self::NonLocal(block) => block.forward(x_chwn, mode),
            Self::SelfAttention(block) => block.forward(x_chwn, mode),
        }
    }

    /// The inference form of the same function, with the running statistics.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reparameterize(&self) -> Result<DeployedBlock> {
        Ok(match self {
            Self::RepMlp(block) => DeployedBlock::RepMlp(block.reparameterize()?),
            Self::Conv(block) => DeployedBlock::Conv(block.reparameterize()?),
            Self::NonLocal(block) => DeployedBlock::NonLocal(block.reparameterize()?),
            Self::SelfAttention(block) => DeployedBlock::SelfAttention(block.reparameterize()?),
        })
    }
}

impl DeployedBlock {
    /// (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        match self {
            Self::RepMlp(block) => block.forward(x_chwn),
            Self::Conv(block) => block.forward(x_chwn),
            Self::NonLocal(block) => block.forward(x_chwn),
            Self::SelfAttention(block) => block.forward(x_chwn),
        }
    }

    /// Its tensors, named below `prefix`.
    pub fn tensors(&self, prefix: &str) -> Vec<(String, Tensor)> {
        match self {
            Self::RepMlp(block) => block.tensors(prefix),
            Self::Conv(block) => block.tensors(prefix),
            Self::NonLocal(block) => block.tensors(prefix),
            Self::SelfAttention(block) => block.tensors(prefix),
        }
    }
}
