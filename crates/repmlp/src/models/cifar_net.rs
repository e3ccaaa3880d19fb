//! The CIFAR network of paper section 4.1 (Fig. 2, Table 1): the pure MLP and the Wide ConvNet share this skeleton and
//! differ in their block and widths.
//!
//! Stem FC(w₁, C); three stages of block, FC, block, FC, where FC is a 1×1 convolution and the last FC of a stage widens
//! to the next stage before the 2×2 max pool; global average, FC, FC. Batch norm behind every convolution, `ReLU` behind
//! every block and convolution; no shortcuts. Batch norm and `ReLU` of the head are not in the paper.

use candle_core::{Result, Tensor};
use repmlp_kernels::{max_pool_2x2, relu};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::{Block, BlockConfig, DeployedBlock, Site};
use crate::cost::{Account, CountedForm};
use crate::layers::{BatchNorm, Conv2d, ConvBn, ConvShape, Linear};
use crate::models::Task;
use crate::reparam::fuse_bn;
use crate::vars::Scope;
use crate::{ConfigFault, Mode};

/// The network of section 4.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CifarNetConfig {
    /// Channels of the three stages before `width_factor`; paper: 16, 32, 64.
    pub widths: [usize; 3],
    /// Multiplies all widths; paper: 1 (pure MLP) and 2 (Wide ConvNet).
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub width_factor: usize,
    /// Outputs of the head's first FC; paper: 512.
    pub hidden: usize,
    /// What mixes pixels, in every stage.
    pub block: BlockConfig,
    /// What mixes pixels in the first stage, where it is not `block`: attention over a 32x32 map is out of reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_stage_block: Option<BlockConfig>,
}

/// Limits far above any real network: a slip of the finger is refused before memory is asked for, and no size overflows.
const MOST_CHANNELS: usize = 4096;
const MOST_WIDTH_FACTOR: usize = 64;
const MOST_HIDDEN: usize = 1 << 20;

fn once() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_once(factor: &usize) -> bool {
    *factor == 1
}

/// One stage's sizes.
struct StagePlan<'a> {
    block: &'a BlockConfig,
    path: &'static str,
    site: Site,
    next_width: usize,
}

impl CifarNetConfig {
    /// Channels of the stem and of each stage.
    fn channels(&self) -> [usize; 3] {
        self.widths.map(|width| width * self.width_factor)
    }

    fn stages(&self, task: Task) -> Vec<StagePlan<'_>> {
        let plan = |s: usize| {
            let (block, path) = match &self.first_stage_block {
                Some(block) if s == 0 => (block, "model.first_stage_block"),
                _ => (&self.block, "model.block"),
            };
            let map = (task.image.0 >> s, task.image.1 >> s);
            let channels = self.channels();
            let next_width = channels[(s + 1).min(2)];
            StagePlan { block, path, site: Site { channels: channels[s], map }, next_width }
        };
        (0..3).map(plan).collect()
    }

    pub(crate) fn faults(&self, task: Task) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, key: &str, message: String| {
            if !ok {
                faults.push(ConfigFault::new(format!("model.{key}"), message));
            }
        };
        let widths_fit = self.widths.iter().all(|width| (1..=MOST_CHANNELS).contains(width));
        check(widths_fit, "widths", format!("a stage has between 1 and {MOST_CHANNELS} channels"));
        let factor_fits = (1..=MOST_WIDTH_FACTOR).contains(&self.width_factor);
        check(factor_fits, "width_factor", format!("must be between 1 and {MOST_WIDTH_FACTOR}"));
        let hidden_fits = (1..=MOST_HIDDEN).contains(&self.hidden);
        check(hidden_fits, "hidden", format!("must be between 1 and {MOST_HIDDEN}"));
        if !task.image.0.is_multiple_of(4) || !task.image.1.is_multiple_of(4) {
            let message = format!("{}x{} images cannot be halved twice", task.image.0, task.image.1);
            faults.push(ConfigFault::new("data.image_size", message));
        }
        if faults.is_empty() {
            let of_stages = self.stages(task).into_iter().flat_map(|s| s.block.faults(s.site, s.path));
            for fault in of_stages {
                // Stages share their block: what breaks in two of them is said once.
                if !faults.iter().any(|known: &ConfigFault| known.path == fault.path) {
                    faults.push(fault);
                }
            }
        }
        faults
    }

    pub(crate) fn account(&self, task: Task, form: CountedForm) -> Account {
        let mut account = Account::new(form);
        let pixels = task.image.0 * task.image.1;
        ConvBn::account(ConvShape::pointwise(task.channels, self.channels()[0]), pixels, "stem", &mut account);
        for (s, stage) in self.stages(task).iter().enumerate() {
            let (channels, map) = (stage.site.channels, stage.site.map);
            for (place, outputs) in [(0, channels), (2, stage.next_width)] {
                stage.block.account(stage.site, &format!("stages.{s}.{place}"), &mut account);
                let shape = ConvShape::pointwise(channels, outputs);
                ConvBn::account(shape, map.0 * map.1, &format!("stages.{s}.{}", place + 1), &mut account);
            }
        }
        let fc1 = self.channels()[2] * self.hidden;
        account.weights_with_bn("fc1", fc1, self.hidden, fc1);
        let fc2 = self.hidden * task.classes;
        account.layer("fc2", fc2 + task.classes, fc2);
        account
    }
}

/// Block, FC, block, FC. Names: `stages.s.0` to `stages.s.3`.
struct Stage {
    parts: [(Block, ConvBn); 2],
}

/// The training form. Names: `stem`, `stages`, `fc1`, `bn`, `fc2`.
pub struct CifarNet {
    stem: ConvBn,
    stages: Vec<Stage>,
    fc1: Linear,
    bn: BatchNorm,
    fc2: Linear,
}

/// The inference form: no batch norm left.
pub struct DeployedCifarNet {
    stem: Conv2d,
    stages: Vec<[(DeployedBlock, Conv2d); 2]>,
    fc1: Linear,
    fc2: Linear,
}

fn to_chwn(images_nchw: &Tensor) -> Result<Tensor> {
    images_nchw.permute((1, 2, 3, 0))?.contiguous()
}

/// Mean over the map: (C, H, W, N) → (C, N).
fn global_average(x_chwn: &Tensor) -> Result<Tensor> {
    x_chwn.flatten(1, 2)?.mean(1)
}

impl CifarNet {
    pub(crate) fn new(config: &CifarNetConfig, task: Task, scope: &Scope<'_>) -> Result<Self> {
        let stem = ConvBn::new(ConvShape::pointwise(task.channels, config.channels()[0]), &scope.enter("stem"))?;
        let mut stages = Vec::new();
        for (s, plan) in config.stages(task).iter().enumerate() {
            let scope = scope.enter("stages").enter(&s.to_string());
            let channels = plan.site.channels;
            let part = |place: usize, outputs: usize| -> Result<(Block, ConvBn)> {
                let block = Block::new(plan.block, plan.site, &scope.enter(&place.to_string()))?;
                let fc = ConvBn::new(ConvShape::pointwise(channels, outputs), &scope.enter(&(place + 1).to_string()))?;
                Ok((block, fc))
            };
            stages.push(Stage { parts: [part(0, channels)?, part(2, plan.next_width)?] });
        }
        Ok(Self {
            stem,
            stages,
            fc1: Linear::without_bias(config.channels()[2], config.hidden, &scope.enter("fc1"))?,
            bn: BatchNorm::new(config.hidden, &scope.enter("bn"))?,
            fc2: Linear::new(config.hidden, task.classes, &scope.enter("fc2"))?,
        })
    }

    pub(crate) fn forward(&self, images_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = relu(&self.stem.forward(&to_chwn(images_nchw)?, mode)?)?;
        for (s, stage) in self.stages.iter().enumerate() {
            if s > 0 {
                x = max_pool_2x2(&x)?;
            }
            for (block, fc) in &stage.parts {
                x = relu(&block.forward(&x, mode)?)?;
                x = relu(&fc.forward(&x, mode)?)?;
            }
        }
        let hidden = relu(&self.bn.forward(&self.fc1.forward(&global_average(&x)?)?, mode)?)?;
        self.fc2.forward(&hidden)?.t()
    }

    pub(crate) fn reparameterize(&self) -> Result<DeployedCifarNet> {
        let part = |(block, fc): &(Block, ConvBn)| -> Result<(DeployedBlock, Conv2d)> {
            Ok((block.reparameterize()?, fc.reparameterize()?))
        };
        let stage = |Stage { parts: [first, second] }: &Stage| Ok([part(first)?, part(second)?]);
        let (weight, bias) = fuse_bn(&self.fc1.weight, &self.bn)?;
        Ok(DeployedCifarNet {
            stem: self.stem.reparameterize()?,
            stages: self.stages.iter().map(stage).collect::<Result<Vec<_>>>()?,
            fc1: Linear { weight, bias: Some(bias) },
            fc2: self.fc2.detached(),
        })
    }
}

impl DeployedCifarNet {
    pub(crate) fn forward(&self, images_nchw: &Tensor) -> Result<Tensor> {
        let mut x = relu(&self.stem.forward(&to_chwn(images_nchw)?)?)?;
        for (s, stage) in self.stages.iter().enumerate() {
            if s > 0 {
                x = max_pool_2x2(&x)?;
            }
            for (block, fc) in stage {
                x = relu(&block.forward(&x)?)?;
                x = relu(&fc.forward(&x)?)?;
            }
        }
        let hidden = relu(&self.fc1.forward(&global_average(&x)?)?)?;
        self.fc2.forward(&hidden)?.t()
    }

    pub(crate) fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut all = self.stem.tensors("stem.conv");
        for (s, stage) in self.stages.iter().enumerate() {
            for (i, (block, fc)) in stage.iter().enumerate() {
                all.extend(block.tensors(&format!("stages.{s}.{}", 2 * i)));
                all.extend(fc.tensors(&format!("stages.{s}.{}.conv", 2 * i + 1)));
            }
        }
        all.extend(self.fc1.tensors("fc1"));
        all.extend(self.fc2.tensors("fc2"));
        all
    }
}
