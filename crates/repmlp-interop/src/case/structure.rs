//! The networks of cases. Converts the keys that describe a structure to our configuration.

use repmlp::blocks::{
    BlockConfig, ConvConfig, GlobalPerceptronConfig, PaddingConfig, PartitionPerceptronConfig, RepMlpConfig,
};
use repmlp::layers::BatchNormSettings;
use repmlp::models::{
    CifarNetConfig, EfficientNetConfig, EfficientNetVariant, ModelConfig, ResNetConfig, StageConfig, Task,
};
use serde::Deserialize;

use crate::case::KeyFault;
use crate::case::by_stage::{ByStage, Sides, Stage};
use crate::names::Naming;

/// Everything that a network is built from.
pub(crate) struct Structure {
    pub(crate) config: ModelConfig,
    pub(crate) task: Task,
    pub(crate) batch_norm: BatchNormSettings,
}

/// The key `model` of a case.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ModelKeys {
    family: String,
    #[serde(default = "official")]
    pub(crate) naming: Naming,
    classes: usize,
    image: Sides,
    block: Option<String>,
    blocks: Option<[usize; 4]>,
    width: Option<usize>,
    stages: Option<Vec<Stage>>,
    partition: Option<ByStage<Sides>>,
    kernels: Option<ByStage<Vec<usize>>>,
    groups: Option<ByStage<usize>>,
    global_reduction: Option<ByStage<usize>>,
    bottleneck_reduction: Option<ByStage<usize>>,
    #[serde(alias = "reduction")]
    light_reduction: Option<ByStage<usize>>,
    channels: Option<[usize; 3]>,
    hidden: Option<usize>,
    input_channels: Option<usize>,
    bn_eps: Option<f64>,
    bn_momentum: Option<f64>,
}

fn official() -> Naming {
    Naming::Official
}

/// Returns the settings of a case, with PyTorch's defaults for missing ones.
pub(crate) fn batch_norm(eps: Option<f64>, momentum: Option<f64>) -> BatchNormSettings {
    let usual = BatchNormSettings::default();
    BatchNormSettings { eps: eps.unwrap_or(usual.eps), momentum: momentum.unwrap_or(usual.momentum) }
}

/// Returns a word in lower case, without dashes and underscores. Cases may spell families as identifiers or as ordinary
/// names.
pub(crate) fn folded(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Kind of block in the stages of a ResNet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StageBlock {
    Bottleneck,
    RepMlpBottleneck,
    RepMlpLight,
}

/// The Light Block has the channels of its stage divided by this, in the paper and in the official code.
const LIGHT_REDUCTION: usize = 8;

/// Channels of the stem of a standard ResNet.
const RESNET_WIDTH: usize = 64;

impl ModelKeys {
    /// Returns the structure of the network. `input_channels` is used if the keys do not set the input channels.
    pub(crate) fn structure(&self, input_channels: usize) -> Result<Structure, KeyFault> {
        let config = match folded(&self.family).as_str() {
            "repmlpresnet" | "resnet" => ModelConfig::ResNet(self.resnet()?),
            "efficientnetb1" => efficient_net(EfficientNetVariant::B1),
            "efficientnetb2" => efficient_net(EfficientNetVariant::B2),
            "efficientnetb3" => efficient_net(EfficientNetVariant::B3),
            "puremlp" => ModelConfig::CifarNet(self.cifar_net(BlockConfig::RepMlp(self.rep_mlp(Stage::C2, 0)?))?),
            "wideconvnet" => {
                let block = BlockConfig::Conv(ConvConfig { kernel: 3, groups: 1 });
                ModelConfig::CifarNet(self.cifar_net(block)?)
            }
            _ => {
                let known = "rep_mlp_res_net, res_net, efficientnet_b1, efficientnet_b2, efficientnet_b3, pure_mlp or \
                             wide_conv_net";
                return Err(KeyFault::new("model.family", format!("`{}` is unknown; use {known}", self.family)));
            }
        };
        let channels = self.input_channels.unwrap_or(input_channels);
        let task = Task { channels, image: (self.image.0, self.image.1), classes: self.classes };
        match config.faults(task).into_iter().next() {
            Some(fault) => Err(KeyFault::new("model", format!("cannot be built: {fault}"))),
            None => Ok(Structure { config, task, batch_norm: batch_norm(self.bn_eps, self.bn_momentum) }),
        }
    }

    fn resnet(&self) -> Result<ResNetConfig, KeyFault> {
        let block = self.stage_block()?;
        let stages = match (&self.stages, block) {
            (Some(stages), _) => stages.as_slice(),
            (None, StageBlock::Bottleneck) => &[],
            (None, _) => return Err(missing("stages")),
        };
        let stage = |stage: Stage| match stages.iter().position(|listed| *listed == stage) {
            Some(place) => self.stage(block, stage, place),
            None => Ok(StageConfig::Bottleneck {}),
        };
        Ok(ResNetConfig {
            blocks: self.blocks.ok_or_else(|| missing("blocks"))?,
            width: self.width.unwrap_or(RESNET_WIDTH),
            c2: stage(Stage::C2)?,
            c3: stage(Stage::C3)?,
            c4: stage(Stage::C4)?,
            c5: stage(Stage::C5)?,
        })
    }

    fn stage_block(&self) -> Result<StageBlock, KeyFault> {
        let Some(block) = &self.block else { return Ok(StageBlock::Bottleneck) };
        match folded(block).as_str() {
            "base" | "bottleneck" => Ok(StageBlock::Bottleneck),
            "repmlpbottleneck" => Ok(StageBlock::RepMlpBottleneck),
            "light" | "lightblock" | "repmlplight" | "repmlplightblock" => Ok(StageBlock::RepMlpLight),
            _ => {
                let message = format!("`{block}` is unknown; use bottleneck, rep_mlp_bottleneck or rep_mlp_light");
                Err(KeyFault::new("model.block", message))
            }
        }
    }

    fn stage(&self, block: StageBlock, stage: Stage, place: usize) -> Result<StageConfig, KeyFault> {
        Ok(match block {
            StageBlock::Bottleneck => StageConfig::Bottleneck {},
            StageBlock::RepMlpBottleneck => StageConfig::RepMlpBottleneck {
                reduction: needed(&self.bottleneck_reduction, "bottleneck_reduction", stage, place)?,
                rep_mlp: self.rep_mlp(stage, place)?,
            },
            // The official constructor also has `bottleneck_reduction` for this block, but ignores it.
            StageBlock::RepMlpLight => StageConfig::RepMlpLight {
                reduction: optional(&self.light_reduction, stage, place).unwrap_or(LIGHT_REDUCTION),
                rep_mlp: self.rep_mlp(stage, place)?,
            },
        })
    }

    fn rep_mlp(&self, stage: Stage, place: usize) -> Result<RepMlpConfig, KeyFault> {
        let Sides(h, w) = needed(&self.partition, "partition", stage, place)?;
        let reduction = optional(&self.global_reduction, stage, place).unwrap_or(1);
        Ok(RepMlpConfig {
            partition: [h, w],
            padding: PaddingConfig::None,
            groups: needed(&self.groups, "groups", stage, place)?,
            local_kernels: optional(&self.kernels, stage, place).unwrap_or_default(),
            global_perceptron: GlobalPerceptronConfig::Fc { reduction },
            partition_perceptron: PartitionPerceptronConfig::Fc {},
        })
    }

    fn cifar_net(&self, block: BlockConfig) -> Result<CifarNetConfig, KeyFault> {
        Ok(CifarNetConfig {
            widths: self.channels.ok_or_else(|| missing("channels"))?,
            width_factor: 1,
            hidden: self.hidden.ok_or_else(|| missing("hidden"))?,
            block,
            first_stage_block: None,
        })
    }
}

fn efficient_net(variant: EfficientNetVariant) -> ModelConfig {
    ModelConfig::EfficientNet(EfficientNetConfig { variant, dropout: 0.0, stochastic_depth: 0.0 })
}

fn missing(key: &str) -> KeyFault {
    KeyFault::new(format!("model.{key}"), "is missing")
}

fn optional<T: Clone>(values: &Option<ByStage<T>>, stage: Stage, place: usize) -> Option<T> {
    values.as_ref().and_then(|values| values.of(stage, place))
}

fn needed<T: Clone>(values: &Option<ByStage<T>>, key: &str, stage: Stage, place: usize) -> Result<T, KeyFault> {
    let Some(values) = values else { return Err(missing(key)) };
    let fault = || KeyFault::new(format!("model.{key}"), format!("has no value for stage {stage:?}"));
    values.of(stage, place).ok_or_else(fault)
}
