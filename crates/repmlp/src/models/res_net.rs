//! ResNet-50 and ResNet-101, with the paper's blocks (section 4.2 and appendix A) or attention baselines in any of the
//! stages c2 to c5. As in torchvision, the 3×3 convolution has the stride.
//!
//! Names are those of the official code: `stage0` is the stem, `stage1` to `stage4` are c2 to c5, then `linear`. In a
//! chosen stage, the paper's blocks replace all blocks that keep the map size: all blocks of c2, and all but the first
//! block of the other stages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigFault;
use crate::blocks::{GlobalContextConfig, NonLocalConfig, RepMlpConfig, SelfAttentionConfig};
use crate::models::part::{Part, part, relu};
use crate::models::residual::Residual;
use crate::models::{NetworkKind, Task};
use crate::network::{Fixed, LayerSpec, Network, Node, chain};

/// Configuration of a ResNet with bottlenecks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// Number of blocks in c2 to c5. ResNet-50: 3, 4, 6, 3. ResNet-101: 3, 4, 23, 3.
    pub blocks: [usize; 4],
    /// Channels of the stem. c2 has four times as many; they double from stage to stage.
    #[serde(default = "sixty_four", skip_serializing_if = "is_sixty_four")]
    pub width: usize,
    /// Blocks of stage c2.
    #[serde(default, skip_serializing_if = "StageConfig::is_plain")]
    pub c2: StageConfig,
    /// Blocks of stage c3.
    #[serde(default, skip_serializing_if = "StageConfig::is_plain")]
    pub c3: StageConfig,
    /// Blocks of stage c4.
    #[serde(default, skip_serializing_if = "StageConfig::is_plain")]
    pub c4: StageConfig,
    /// Blocks of stage c5.
    #[serde(default, skip_serializing_if = "StageConfig::is_plain")]
    pub c5: StageConfig,
}

/// The blocks of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StageConfig {
    /// The original bottlenecks.
    Bottleneck {},
    /// The paper's RepMLP Bottleneck replaces all blocks that keep the map size.
    RepMlpBottleneck {
        /// Reduction r: the RepMLP block has the channels of the original 3×3 convolution divided by this.
        reduction: usize,
        /// The RepMLP block.
        rep_mlp: RepMlpConfig,
    },
    /// The paper's RepMLP Light Block (appendix A) replaces all blocks that keep the map size.
    RepMlpLight {
        /// The RepMLP block has the channels of the stage divided by this. Paper: 8.
        #[serde(default = "eight")]
        reduction: usize,
        /// The RepMLP block.
        rep_mlp: RepMlpConfig,
    },
    /// Every bottleneck contains a global context block (GC-Res50).
    GlobalContext(GlobalContextConfig),
    /// A non-local block is in front of the last bottleneck (NL-Res50).
    NonLocal(NonLocalConfig),
    /// Self-attention replaces every 3×3 convolution (BoTNet).
    SelfAttention(SelfAttentionConfig),
}

/// Limits far above any real network. A typing error is reported before memory is allocated.
const MOST_BLOCKS: usize = 128;
const MOST_WIDTH: usize = 1024;

fn sixty_four() -> usize {
    64
}

fn eight() -> usize {
    8
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_sixty_four(width: &usize) -> bool {
    *width == 64
}

impl Default for StageConfig {
    fn default() -> Self {
        Self::Bottleneck {}
    }
}

impl StageConfig {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Stride and dilation of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StageGeometry {
    pub(super) stride: usize,
    pub(super) dilation: usize,
}

impl ResNetConfig {
    /// Stages c2 to c5 with their names.
    fn stages(&self) -> [(&StageConfig, &'static str); 4] {
        [(&self.c2, "c2"), (&self.c3, "c3"), (&self.c4, "c4"), (&self.c5, "c5")]
    }

    /// Output channels of stage s. Stage 0 is c2.
    pub(super) fn channels(&self, s: usize) -> usize {
        (4 * self.width) << s
    }

    /// Returns the faults of the configuration. `key` is the key of the configuration.
    pub(super) fn faults_at(&self, key: &str) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        if self.blocks.iter().any(|blocks| !(1..=MOST_BLOCKS).contains(blocks)) {
            let message = format!("each stage must have between 1 and {MOST_BLOCKS} blocks");
            faults.push(ConfigFault::new(format!("{key}.blocks"), message));
        }
        if !(1..=MOST_WIDTH).contains(&self.width) {
            faults.push(ConfigFault::new(format!("{key}.width"), format!("must be between 1 and {MOST_WIDTH}")));
            return faults;
        }
        for (s, (stage, name)) in self.stages().into_iter().enumerate() {
            let (StageConfig::RepMlpBottleneck { reduction, .. } | StageConfig::RepMlpLight { reduction, .. }) = stage
            else {
                continue;
            };
            let light = matches!(stage, StageConfig::RepMlpLight { .. });
            let channels = if light { self.channels(s) } else { self.channels(s) / 4 };
            if *reduction == 0 || !channels.is_multiple_of(*reduction) {
                let message = format!("reduction {reduction} does not divide {channels} channels");
                faults.push(ConfigFault::new(format!("{key}.{name}.reduction"), message));
            }
        }
        faults
    }

    /// The stem: 7×7 convolution with stride 2, then 3×3 max pool with stride 2.
    pub(super) fn stem(&self) -> Part {
        part(
            "stage0",
            chain([
                part("0", LayerSpec::conv_bn(self.width, 7).stride(2)),
                relu(),
                part("", Fixed::MaxPool { kernel: 3, stride: 2, padding: 1 }),
            ]),
        )
    }

    /// Returns stage s as a part. Stage 0 is c2. `key` is the key of the configuration.
    pub(super) fn stage(&self, s: usize, geometry: StageGeometry, key: &str) -> Part {
        let (config, name) = self.stages()[s];
        let key = format!("{key}.{name}");
        let outputs = self.channels(s);
        let blocks = (0..self.blocks[s]).map(|b| {
            let first = b == 0;
            let residual = Residual {
                inputs: if first && s == 0 {
                    self.width
                } else if first {
                    outputs / 2
                } else {
                    outputs
                },
                middle: outputs / 4,
                outputs,
                stride: if first { geometry.stride } else { 1 },
                dilation: geometry.dilation,
            };
            (
                b.to_string(),
                config.block(residual, Place { changes_map: first && s > 0, last: b + 1 == self.blocks[s] }, &key),
            )
        });
        part(&format!("stage{}", s + 1), chain(blocks))
    }
}

impl NetworkKind for ResNetConfig {
    fn faults(&self, _task: Task) -> Vec<ConfigFault> {
        self.faults_at("model")
    }

    fn network(&self, task: Task) -> Network<LayerSpec> {
        let strided = |s: usize| StageGeometry { stride: if s == 0 { 1 } else { 2 }, dilation: 1 };
        let mut trunk = vec![self.stem()];
        trunk.extend((0..4).map(|s| self.stage(s, strided(s), "model")));
        let head = [part("", Fixed::GlobalAverage), part("linear", LayerSpec::Linear { outputs: task.classes })];
        Network::plain(chain(trunk), chain(head))
    }
}

/// Position of a block in its stage.
#[derive(Clone, Copy)]
struct Place {
    /// In an ordinary ResNet, this block has stride 2. The paper's blocks never replace it, not even in segmentation
    /// networks where its stride is 1.
    changes_map: bool,
    /// This is the last block of the stage.
    last: bool,
}

impl StageConfig {
    fn block(&self, residual: Residual, place: Place, key: &str) -> Node<LayerSpec> {
        let rep_mlp_key = format!("{key}.rep_mlp");
        match self {
            Self::RepMlpBottleneck { reduction, rep_mlp } if !place.changes_map => {
                residual.rep_mlp_bottleneck(*reduction, rep_mlp, &rep_mlp_key)
            }
            Self::RepMlpLight { reduction, rep_mlp } if !place.changes_map => {
                residual.rep_mlp_light(*reduction, rep_mlp, &rep_mlp_key)
            }
            Self::GlobalContext(config) => residual.with_global_context(config, key),
            Self::SelfAttention(config) => residual.with_self_attention(config, key),
            Self::NonLocal(config) if place.last => residual.behind_non_local(config, key),
            Self::Bottleneck {} | Self::RepMlpBottleneck { .. } | Self::RepMlpLight { .. } | Self::NonLocal(_) => {
                residual.bottleneck()
            }
        }
    }
}
