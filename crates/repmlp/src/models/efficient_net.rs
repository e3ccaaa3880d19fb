//! EfficientNet-B1, -B2 and -B3 (Tan & Le 2019), as torchvision builds them: the paper's Table 4 has them as baselines.
//!
//! Names are torchvision's with `conv` and `bn` for the two places of a pair. Dropout and stochastic depth are left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::models::Task;
use crate::models::residual::{Part, part};
use crate::network::{Activation, LayerSpec, Network, Node, chain, identity, product, sum};

/// An EfficientNet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetConfig {
    /// Which of the family.
    pub variant: EfficientNetVariant,
}

/// Which of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EfficientNetVariant {
    /// B1, made for 240×240.
    B1,
    /// B2, made for 260×260.
    B2,
    /// B3, made for 300×300.
    B3,
}

/// A stage of B0, before width and depth are scaled.
struct Stage {
    expansion: usize,
    kernel: usize,
    stride: usize,
    inputs: usize,
    outputs: usize,
    blocks: usize,
}

/// Table 1 of the EfficientNet paper.
const B0: [Stage; 7] = [
    Stage { expansion: 1, kernel: 3, stride: 1, inputs: 32, outputs: 16, blocks: 1 },
    Stage { expansion: 6, kernel: 3, stride: 2, inputs: 16, outputs: 24, blocks: 2 },
    Stage { expansion: 6, kernel: 5, stride: 2, inputs: 24, outputs: 40, blocks: 2 },
    Stage { expansion: 6, kernel: 3, stride: 2, inputs: 40, outputs: 80, blocks: 3 },
    Stage { expansion: 6, kernel: 5, stride: 1, inputs: 80, outputs: 112, blocks: 3 },
    Stage { expansion: 6, kernel: 5, stride: 2, inputs: 112, outputs: 192, blocks: 4 },
    Stage { expansion: 6, kernel: 3, stride: 1, inputs: 192, outputs: 320, blocks: 1 },
];

impl EfficientNetVariant {
    /// Channels of B0 times the variant's width, to the nearest multiple of 8 that is not more than a tenth below.
    fn channels(self, of_b0: usize) -> usize {
        let width = match self {
            Self::B1 => 1.0,
            Self::B2 => 1.1,
            Self::B3 => 1.2,
        };
        let wanted = of_b0 as f64 * width;
        let nearest = ((wanted + 4.0) as usize / 8 * 8).max(8);
        if (nearest as f64) < 0.9 * wanted { nearest + 8 } else { nearest }
    }

    /// Blocks of a stage of B0 times the variant's depth, rounded up.
    fn blocks(self, of_b0: usize) -> usize {
        let depth = match self {
            Self::B1 => 1.1,
            Self::B2 => 1.2,
            Self::B3 => 1.4,
        };
        (of_b0 as f64 * depth).ceil() as usize
    }
}

impl EfficientNetConfig {
    pub(super) fn network(&self, task: Task) -> Network<LayerSpec> {
        let variant = self.variant;
        let mut features = vec![part("0", LayerSpec::conv_bn(variant.channels(32), 3).stride(2)), silu()];
        for (i, stage) in B0.iter().enumerate() {
            features.push(part(&(i + 1).to_string(), stage.blocks(variant)));
        }
        features.extend([part("8", LayerSpec::conv_bn(4 * variant.channels(320), 1)), silu()]);
        let head =
            [part("", LayerSpec::GlobalAverage), part("classifier", LayerSpec::Linear { outputs: task.classes })];
        Network::plain(chain([part("features", chain(features))]), chain(head))
    }
}

impl Stage {
    fn blocks(&self, variant: EfficientNetVariant) -> Node<LayerSpec> {
        let (inputs, outputs) = (variant.channels(self.inputs), variant.channels(self.outputs));
        chain((0..variant.blocks(self.blocks)).map(|b| {
            let (inputs, stride) = if b == 0 { (inputs, self.stride) } else { (outputs, 1) };
            let body = chain([part("block", self.inverted_residual(inputs, outputs, stride))]);
            let keeps = stride == 1 && inputs == outputs;
            (b.to_string(), if keeps { sum([part("", body), part("", identity())]) } else { body })
        }))
    }

    /// 1×1 (→ expansion·inputs), depthwise K×K, squeeze and excitation, 1×1 (→ outputs).
    fn inverted_residual(&self, inputs: usize, outputs: usize, stride: usize) -> Node<LayerSpec> {
        let expanded = self.expansion * inputs;
        let depthwise = LayerSpec::conv_bn(expanded, self.kernel).stride(stride).groups(expanded);
        let mut places: Vec<Vec<Part>> = Vec::new();
        if self.expansion > 1 {
            places.push(vec![part("", LayerSpec::conv_bn(expanded, 1)), silu()]);
        }
        places.push(vec![part("", depthwise), silu()]);
        places.push(vec![part("", squeeze_and_excitation(expanded, (inputs / 4).max(1)))]);
        places.push(vec![part("", LayerSpec::conv_bn(outputs, 1))]);
        chain(places.into_iter().enumerate().map(|(i, parts)| (i.to_string(), chain(parts))))
    }
}

fn silu() -> Part {
    part("", LayerSpec::Activation(Activation::Silu))
}

/// x·σ(fc2(silu(fc1(mean of the map)))).
fn squeeze_and_excitation(channels: usize, squeezed: usize) -> Node<LayerSpec> {
    let gate = chain([
        part("", LayerSpec::GlobalAverage),
        part("fc1", LayerSpec::Pointwise { outputs: squeezed }),
        silu(),
        part("fc2", LayerSpec::Pointwise { outputs: channels }),
        part("", LayerSpec::Activation(Activation::Sigmoid)),
    ]);
    product([part("", identity()), part("", gate)])
}
