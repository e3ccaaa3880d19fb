//! ResNet-50 and -101 (torchvision's: the stride is in the 3×3) with the paper's blocks in any of the stages c2 to c5
//! (sections 4.2, A), or with the attention that it is compared with.
//!
//! Names are those of the official code: `stage0` is the stem, `stage1` to `stage4` are c2 to c5, then `linear`. In a chosen
//! stage the paper's blocks replace all blocks that keep the map: all three of c2, all but the first of the others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigFault;
use crate::blocks::{GlobalContextConfig, NonLocalConfig, RepMlpConfig, SelfAttentionConfig};
use crate::models::Task;
use crate::models::residual::{Part, Residual, part, relu};
use crate::network::{LayerSpec, Network, Node, chain};

/// A ResNet of bottlenecks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// Blocks of c2 to c5: 3, 4, 6, 3 for ResNet-50, 3, 4, 23, 3 for ResNet-101.
    pub blocks: [usize; 4],
    /// Channels of the stem; c2 has four times as many, each later stage twice those of the one before.
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
    /// The original ones.
    Bottleneck {},
    /// The paper's RepMLP Bottleneck wherever the map is kept.
    RepMlpBottleneck {
        /// RepMLP has the channels of the original 3×3 convolution divided by this (r).
        reduction: usize,
        /// The block inside.
        rep_mlp: RepMlpConfig,
    },
    /// The paper's RepMLP Light Block (appendix A) wherever the map is kept.
    RepMlpLight {
        /// RepMLP has the stage's channels divided by this; paper: 8.
        #[serde(default = "eight")]
        reduction: usize,
        /// The block inside.
        rep_mlp: RepMlpConfig,
    },
    /// A global context block in every original one (GC-Res50).
    GlobalContext(GlobalContextConfig),
    /// A non-local block before the last original one (NL-Res50).
    NonLocal(NonLocalConfig),
    /// Self-attention in the place of every 3×3 convolution (BoTNet).
    SelfAttention(SelfAttentionConfig),
}

/// Limits far above any real network: a slip of the finger is refused before memory is asked for.
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

/// What the strides and dilations of a stage are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StageGeometry {
    pub(super) stride: usize,
    pub(super) dilation: usize,
}

impl ResNetConfig {
    /// Stages c2 to c5 with their names and the stage's number from 0.
    fn stages(&self) -> [(&StageConfig, &'static str); 4] {
        [(&self.c2, "c2"), (&self.c3, "c3"), (&self.c4, "c4"), (&self.c5, "c5")]
    }

    /// Channels of stage s, c2 being 0.
    pub(super) fn channels(&self, s: usize) -> usize {
        (4 * self.width) << s
    }

    /// What cannot be built; `key` is the configuration's own.
    pub(super) fn faults(&self, key: &str) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        if self.blocks.iter().any(|blocks| !(1..=MOST_BLOCKS).contains(blocks)) {
            let message = format!("a stage has between 1 and {MOST_BLOCKS} blocks");
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

    pub(super) fn network(&self, task: Task) -> Network<LayerSpec> {
        let strided = |s: usize| StageGeometry { stride: if s == 0 { 1 } else { 2 }, dilation: 1 };
        let mut trunk = vec![self.stem()];
        trunk.extend((0..4).map(|s| self.stage(s, strided(s), "model")));
        let head = [part("", LayerSpec::GlobalAverage), part("linear", LayerSpec::Linear { outputs: task.classes })];
        Network::plain(chain(trunk), chain(head))
    }

    /// 7×7 with stride 2 and 3×3 max pool with stride 2.
    pub(super) fn stem(&self) -> Part {
        part(
            "stage0",
            chain([
                part("0", LayerSpec::conv_bn(self.width, 7).stride(2)),
                relu(),
                part("", LayerSpec::MaxPool { kernel: 3, stride: 2, padding: 1 }),
            ]),
        )
    }

    /// Stage s, c2 being 0; `key` is the configuration's own.
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

/// Where a block stands in its stage.
#[derive(Clone, Copy)]
struct Place {
    /// It is the one that an ordinary ResNet strides in, which the paper's blocks never replace, not even where segmentation
    /// takes its stride away.
    changes_map: bool,
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
