//! PSPNet (Zhao et al. 2017) on a ResNet, as in section 4.4 of the paper. The maps of c3, c4 and c5 have an eighth of
//! the image's size. Pyramid pooling has bins 1, 2, 3 and 6. In training there is an auxiliary head on c4. The output
//! is a map.
//!
//! The backbone keeps the ordinary 7×7 stem. If the dropout rate is above 0, both heads drop whole channels in front of
//! their last convolution.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigFault;
use crate::layers::{DropoutSpec, DropoutUnit};
use crate::models::part::{Part, is_zero, part, rate_fault, relu};
use crate::models::res_net::{ResNetConfig, StageGeometry};
use crate::models::{Answer, NetworkKind, Task};
use crate::network::{Fixed, LayerSpec, Network, Node, chain, concat, identity};

/// Configuration of PSPNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PspNetConfig {
    /// The backbone. The strides of its stages c4 and c5 become 1.
    pub backbone: ResNetConfig,
    /// Dilations of c4 and c5. Paper: 2 and 4 for the plain ResNet; with RepMLP, c4 has none (1).
    pub dilations: [usize; 2],
    /// Channels of the head. Original: 512.
    #[serde(default = "five_hundred_twelve", skip_serializing_if = "is_five_hundred_twelve")]
    pub width: usize,
    /// Rate of channel dropout in front of the last convolution of both heads; 0 means no dropout. The rate of the
    /// official PSPNet is 0.1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
}

/// Bins of the pyramid.
const BINS: [usize; 4] = [1, 2, 3, 6];
/// Limits far above any real network.
const MOST_WIDTH: usize = 4096;
const MOST_DILATION: usize = 64;

fn five_hundred_twelve() -> usize {
    512
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_five_hundred_twelve(width: &usize) -> bool {
    *width == 512
}

impl PspNetConfig {
    /// Concatenates the features and their means over four grids. The means are reduced to `width` channels and resized
    /// to the map of the features.
    fn pyramid(&self, map: (usize, usize)) -> Node<LayerSpec> {
        let mut branches = vec![part("", identity())];
        branches.extend(BINS.into_iter().enumerate().map(|(i, bins)| {
            let pooled = [
                part("", Fixed::AdaptiveAverage { bins }),
                part("", LayerSpec::conv_bn(self.width, 1)),
                relu(),
                part("", Fixed::Resize { map }),
            ];
            part(&i.to_string(), chain(pooled))
        }));
        concat(branches)
    }

    /// A classifier: 3×3 convolution with batch norm, `ReLU`, dropout, 1×1 convolution (→ classes), resize to the
    /// image.
    fn classifier(&self, name: &str, width: usize, task: Task) -> Vec<Part> {
        let mut parts = vec![part(&format!("{name}.0"), LayerSpec::conv_bn(width, 3)), relu()];
        if self.dropout > 0.0 {
            let dropout = DropoutSpec { rate: self.dropout, unit: DropoutUnit::Channel };
            parts.push(part(&format!("{name}.dropout"), dropout));
        }
        parts.push(part(&format!("{name}.1"), LayerSpec::Pointwise { outputs: task.classes }));
        parts.push(part("", Fixed::Resize { map: task.image }));
        parts
    }
}

impl NetworkKind for PspNetConfig {
    fn faults(&self, _task: Task) -> Vec<ConfigFault> {
        let mut faults = self.backbone.faults_at("model.backbone");
        if self.dilations.iter().any(|dilation| !(1..=MOST_DILATION).contains(dilation)) {
            faults.push(ConfigFault::new("model.dilations", format!("must be between 1 and {MOST_DILATION}")));
        }
        if !(2..=MOST_WIDTH).contains(&self.width) {
            faults.push(ConfigFault::new("model.width", format!("must be between 2 and {MOST_WIDTH}")));
        }
        faults.extend(rate_fault("model.dropout", self.dropout));
        faults
    }

    fn network(&self, task: Task) -> Network<LayerSpec> {
        let key = "model.backbone";
        let [c4, c5] = self.dilations.map(|dilation| StageGeometry { stride: 1, dilation });
        let plain = |stride| StageGeometry { stride, dilation: 1 };
        let trunk = chain([
            self.backbone.stem(),
            self.backbone.stage(0, plain(1), key),
            self.backbone.stage(1, plain(2), key),
            self.backbone.stage(2, c4, key),
        ]);
        // c5 has the map size of c4.
        let features = trunk.output(task.site()).map_or((1, 1), |site| site.map);
        let mut head = vec![self.backbone.stage(3, c5, key), part("ppm", self.pyramid(features))];
        head.extend(self.classifier("classifier", self.width, task));
        let auxiliary = chain(self.classifier("auxiliary", self.width / 2, task));
        Network { trunk, head: chain(head), auxiliary: Some(auxiliary) }
    }

    fn answer(&self) -> Answer {
        Answer::Map
    }
}
