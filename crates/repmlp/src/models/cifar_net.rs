//! The CIFAR network of paper section 4.1 (Fig. 2, Table 1). The pure MLP and the Wide ConvNet share this structure;
//! they differ in their block and widths.
//!
//! The stem is FC(w₁, C). Each of the three stages is: block, FC, block, FC. Here FC is a 1×1 convolution. The last FC
//! of a stage increases the channels to those of the next stage; a 2×2 max pool follows. The head is: global average,
//! FC, FC. Batch norm follows every convolution, and `ReLU` follows every block and convolution. There are no
//! shortcuts. Batch norm and `ReLU` in the head are not described in the paper.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::BlockConfig;
use crate::models::part::{part, relu};
use crate::models::{NetworkKind, Task};
use crate::network::{Fixed, LayerSpec, Network, Site, chain};
use crate::{ConfigFault, OwnKinds};

/// Configuration of the CIFAR network of paper section 4.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CifarNetConfig {
    /// Channels of the three stages, before multiplication with `width_factor`. Paper: 16, 32, 64.
    pub widths: [usize; 3],
    /// Factor on all widths. Paper: 1 (pure MLP) and 2 (Wide ConvNet).
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub width_factor: usize,
    /// Outputs of the first FC layer of the head. Paper: 512.
    pub hidden: usize,
    /// The block in all stages.
    pub block: BlockConfig,
    /// The block of the first stage, if it differs from `block`. For example, attention over a 32x32 map is too
    /// expensive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_stage_block: Option<BlockConfig>,
}

/// Limits far above any real network. A typing error is reported before memory is allocated, and no size overflows.
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

/// Block and sizes of one stage.
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

    pub(super) fn bind(&mut self, kinds: &OwnKinds) -> Result<(), ConfigFault> {
        self.block.bind(kinds, "model.block")?;
        self.first_stage_block.as_mut().map_or(Ok(()), |block| block.bind(kinds, "model.first_stage_block"))
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
}

impl NetworkKind for CifarNetConfig {
    fn faults(&self, task: Task) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, key: &str, message: String| {
            if !ok {
                faults.push(ConfigFault::new(format!("model.{key}"), message));
            }
        };
        let widths_fit = self.widths.iter().all(|width| (1..=MOST_CHANNELS).contains(width));
        check(widths_fit, "widths", format!("each stage must have between 1 and {MOST_CHANNELS} channels"));
        let factor_fits = (1..=MOST_WIDTH_FACTOR).contains(&self.width_factor);
        check(factor_fits, "width_factor", format!("must be between 1 and {MOST_WIDTH_FACTOR}"));
        let hidden_fits = (1..=MOST_HIDDEN).contains(&self.hidden);
        check(hidden_fits, "hidden", format!("must be between 1 and {MOST_HIDDEN}"));
        if !task.image.0.is_multiple_of(4) || !task.image.1.is_multiple_of(4) {
            let message = format!("{}x{} images: both sides must be multiples of 4", task.image.0, task.image.1);
            faults.push(ConfigFault::new("data.image_size", message));
        }
        if faults.is_empty() {
            let of_stages = self.stages(task).into_iter().flat_map(|s| s.block.faults(s.site, s.path));
            for fault in of_stages {
                // Stages share their block, so each key is reported only once.
                if !faults.iter().any(|known: &ConfigFault| known.path == fault.path) {
                    faults.push(fault);
                }
            }
        }
        faults
    }

    fn network(&self, task: Task) -> Network<LayerSpec> {
        let mut trunk = vec![part("stem", LayerSpec::conv_bn(self.channels()[0], 1)), relu()];
        for (s, stage) in self.stages(task).into_iter().enumerate() {
            if s > 0 {
                trunk.push(part("", Fixed::MaxPool { kernel: 2, stride: 2, padding: 0 }));
            }
            let mut parts = Vec::new();
            for (place, outputs) in [(0, stage.site.channels), (2, stage.next_width)] {
                parts.extend([
                    part(&place.to_string(), stage.block.node(stage.site, stage.path)),
                    relu(),
                    part(&(place + 1).to_string(), LayerSpec::conv_bn(outputs, 1)),
                    relu(),
                ]);
            }
            trunk.push(part(&format!("stages.{s}"), chain(parts)));
        }
        let head = [
            part("", Fixed::GlobalAverage),
            part("", LayerSpec::LinearBn { outputs: self.hidden, fc: "fc1", bn: "bn" }),
            relu(),
            part("fc2", LayerSpec::Linear { outputs: task.classes }),
        ];
        Network::plain(chain(trunk), chain(head))
    }
}
