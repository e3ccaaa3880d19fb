//! EfficientNet-B1, EfficientNet-B2 and EfficientNet-B3 (Tan & Le 2019), as in torchvision. The paper has them as
//! baselines in Table 4.
//!
//! Names are torchvision's, except that the numbers 0 and 1 of a convolution and its norm become `conv` and `bn`.
//! Dropout is in front of the classifier. Stochastic depth is at the end of each body with a shortcut. A layer of
//! either kind exists only if its rate is above 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigFault;
use crate::layers::{DropoutSpec, DropoutUnit};
use crate::models::part::{Part, is_zero, part, rate_fault};
use crate::models::{NetworkKind, Task};
use crate::network::{Activation, Fixed, LayerSpec, Network, Node, chain, identity, product, sum};

/// Configuration of an EfficientNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetConfig {
    /// The variant.
    pub variant: EfficientNetVariant,
    /// Dropout rate in front of the classifier; 0 means no dropout. Original: 0.2 for B1, 0.3 for B2 and B3.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// Rate of stochastic depth; 0 means none. A training step skips the body of a block with a shortcut for this share
    /// of the images. The rate grows linearly with the number of the block, from 0 at the first block; the value here
    /// would be reached one block after the last. Original: 0.2 for all variants.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stochastic_depth: f64,
}

/// Variant of EfficientNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EfficientNetVariant {
    /// B1, designed for images of 240×240.
    B1,
    /// B2, designed for images of 260×260.
    B2,
    /// B3, designed for images of 300×300.
    B3,
}

/// A stage of B0. Variants scale its width and depth.
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
    /// Scales channels of B0 by the variant's width. The result is the nearest multiple of 8, or the next one if the
    /// nearest is more than 10% too small.
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

    /// Scales the number of blocks of a stage of B0 by the variant's depth and rounds up.
    fn blocks(self, of_b0: usize) -> usize {
        let depth = match self {
            Self::B1 => 1.1,
            Self::B2 => 1.2,
            Self::B3 => 1.4,
        };
        (of_b0 as f64 * depth).ceil() as usize
    }
}

impl NetworkKind for EfficientNetConfig {
    fn faults(&self, _task: Task) -> Vec<ConfigFault> {
        let rates = [("model.dropout", self.dropout), ("model.stochastic_depth", self.stochastic_depth)];
        rates.into_iter().filter_map(|(key, rate)| rate_fault(key, rate)).collect()
    }

    fn network(&self, task: Task) -> Network<LayerSpec> {
        let variant = self.variant;
        let mut features = vec![part("0", LayerSpec::conv_bn(variant.channels(32), 3).stride(2)), silu()];
        let all: usize = B0.iter().map(|stage| variant.blocks(stage.blocks)).sum();
        let mut before = 0;
        for (i, stage) in B0.iter().enumerate() {
            let omission = |b: usize| self.stochastic_depth * (before + b) as f64 / all as f64;
            features.push(part(&(i + 1).to_string(), stage.blocks(variant, omission)));
            before += variant.blocks(stage.blocks);
        }
        features.extend([part("8", LayerSpec::conv_bn(4 * variant.channels(320), 1)), silu()]);
        let mut head = vec![part("", Fixed::GlobalAverage)];
        if self.dropout > 0.0 {
            head.push(part("dropout", DropoutSpec { rate: self.dropout, unit: DropoutUnit::Number }));
        }
        head.push(part("classifier", LayerSpec::Linear { outputs: task.classes }));
        Network::plain(chain([part("features", chain(features))]), chain(head))
    }
}

impl Stage {
    /// Returns the blocks of this stage for a variant. `omission` gives the rate of stochastic depth of block b.
    fn blocks(&self, variant: EfficientNetVariant, omission: impl Fn(usize) -> f64) -> Node<LayerSpec> {
        let (inputs, outputs) = (variant.channels(self.inputs), variant.channels(self.outputs));
        chain((0..variant.blocks(self.blocks)).map(|b| {
            let (inputs, stride) = if b == 0 { (inputs, self.stride) } else { (outputs, 1) };
            let keeps = stride == 1 && inputs == outputs;
            let rate = omission(b);
            let mut body = vec![part("block", self.inverted_residual(inputs, outputs, stride))];
            if keeps && rate > 0.0 {
                body.push(part("stochastic_depth", DropoutSpec { rate, unit: DropoutUnit::Image }));
            }
            let body = chain(body);
            (b.to_string(), if keeps { sum([part("", body), part("", identity())]) } else { body })
        }))
    }

    /// Body of a block: 1×1 (→ expansion·inputs), depthwise K×K, squeeze and excitation, 1×1 (→ outputs).
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
    part("", Fixed::Activation(Activation::Silu))
}

/// Squeeze and excitation: x·σ(fc2(silu(fc1(mean of the map)))).
fn squeeze_and_excitation(channels: usize, squeezed: usize) -> Node<LayerSpec> {
    let gate = chain([
        part("", Fixed::GlobalAverage),
        part("fc1", LayerSpec::Pointwise { outputs: squeezed }),
        silu(),
        part("fc2", LayerSpec::Pointwise { outputs: channels }),
        part("", Fixed::Activation(Activation::Sigmoid)),
    ]);
    product([part("", identity()), part("", gate)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collects the dropout layers in the order of the forward pass.
    fn dropouts(node: &Node<LayerSpec>, found: &mut Vec<DropoutSpec>) {
        match node {
            Node::Layer(LayerSpec::Dropout(spec)) => found.push(*spec),
            Node::Layer(_) => {}
            Node::Joined(_, branches) => branches.iter().for_each(|branch| dropouts(&branch.node, found)),
        }
    }

    #[test]
    fn stochastic_depth_grows_from_block_to_block_and_dropout_is_before_the_classifier() {
        let task = Task { channels: 3, image: (240, 240), classes: 7 };
        let config = EfficientNetConfig { variant: EfficientNetVariant::B1, dropout: 0.2, stochastic_depth: 0.2 };
        let network = config.network(task);
        let (mut trunk, mut head) = (Vec::new(), Vec::new());
        dropouts(&network.trunk, &mut trunk);
        dropouts(&network.head, &mut head);
        assert_eq!(head, [DropoutSpec { rate: 0.2, unit: DropoutUnit::Number }]);
        // The stages of B1 have 2, 3, 3, 4, 4, 5 and 2 blocks. The first block of each stage has no shortcut.
        let with_shortcut = [1, 3, 4, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 20, 22];
        let expected = with_shortcut.map(|b| DropoutSpec { rate: 0.2 * f64::from(b) / 23.0, unit: DropoutUnit::Image });
        assert_eq!(trunk, expected);

        let plain = EfficientNetConfig { dropout: 0.0, stochastic_depth: 0.0, ..config };
        trunk.clear();
        dropouts(&plain.network(task).trunk, &mut trunk);
        dropouts(&plain.network(task).head, &mut trunk);
        assert_eq!(trunk, []);
    }

    #[test]
    fn invalid_rates_are_reported() {
        let config = EfficientNetConfig { variant: EfficientNetVariant::B1, dropout: 1.0, stochastic_depth: -0.1 };
        let task = Task { channels: 3, image: (240, 240), classes: 7 };
        let texts: Vec<String> = config.faults(task).iter().map(ToString::to_string).collect();
        let message = "must be in [0, 1): it is the share that a training step drops";
        assert_eq!(texts, [format!("model.dropout: {message}"), format!("model.stochastic_depth: {message}")]);
    }
}
