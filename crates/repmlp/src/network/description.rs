//! The layers of a network with all their sizes, for code outside this project that builds the same network.
//!
//! A description has what a layer computes and how its tensors are named. It is the same for both forms, and
//! `repmlp-interop` turns it into a Python file. A block describes itself.

use serde::Serialize;
use serde_json::Value;

use crate::network::{Activation, Branch, Fixed, Join, LayerSpec, Network, Node, Site};

/// A layer, or joined branches.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum NodeDescription {
    /// One layer.
    Layer(LayerDescription),
    /// A block: see [`BlockSpec::description`](crate::network::BlockSpec::description).
    Block(Value),
    /// Branches, and how they are joined.
    Joined {
        /// `chain`, `sum`, `product` or `concat`: see [`Join`].
        join: &'static str,
        /// The branches.
        parts: Vec<PartDescription>,
    },
}

/// A branch with its name, which may be empty.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartDescription {
    /// Dotted name.
    pub name: String,
    /// The branch.
    pub node: NodeDescription,
}

/// A layer with its sizes. The names are those of [`LayerSpec`] and [`Fixed`].
#[expect(missing_docs, reason = "the sizes are explained where the layers are declared")]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "layer", rename_all = "kebab-case")]
pub enum LayerDescription {
    ConvBn {
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        dilation: usize,
        groups: usize,
    },
    Pointwise {
        inputs: usize,
        outputs: usize,
    },
    Linear {
        inputs: usize,
        outputs: usize,
    },
    LinearBn {
        inputs: usize,
        outputs: usize,
        fc: &'static str,
        bn: &'static str,
    },
    NormConvBn {
        inputs: usize,
        outputs: usize,
        norm: &'static str,
        conv_bn: &'static str,
    },
    Norm {
        channels: usize,
    },
    PRelu {
        channels: usize,
    },
    Activation {
        function: &'static str,
    },
    MaxPool {
        kernel: usize,
        stride: usize,
        padding: usize,
    },
    AveragePool {
        kernel: usize,
    },
    GlobalAverage,
    AdaptiveAverage {
        bins: usize,
    },
    Resize {
        height: usize,
        width: usize,
    },
    Flatten,
}

/// A block of another crate has no description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the block at `{key}` has no description, since it is not a block of this program")]
pub struct Undescribed {
    /// Key of the block's configuration.
    pub key: String,
}

impl Network<LayerSpec> {
    /// Describes trunk and head for images of this size. The auxiliary head is not part of the deployed network, and is
    /// left out.
    ///
    /// # Errors
    /// When the network has a block of another crate.
    pub fn description(&self, image: Site) -> Result<NodeDescription, Undescribed> {
        let trunk = describe(&self.trunk, image)?;
        let features = self.trunk.output(image).unwrap_or(image);
        let part = |node| PartDescription { name: String::new(), node };
        let parts = vec![part(trunk), part(describe(&self.head, features)?)];
        Ok(NodeDescription::Joined { join: name_of(Join::Chain), parts })
    }
}

fn name_of(join: Join) -> &'static str {
    match join {
        Join::Chain => "chain",
        Join::Sum => "sum",
        Join::Product => "product",
        Join::Concat => "concat",
    }
}

fn describe(node: &Node<LayerSpec>, site: Site) -> Result<NodeDescription, Undescribed> {
    let (join, branches) = match node {
        Node::Layer(spec) => return of_layer(spec, site),
        Node::Joined(join, branches) => (*join, branches),
    };
    let mut parts = Vec::with_capacity(branches.len());
    let mut reads = site;
    for Branch { name, node } in branches {
        parts.push(PartDescription { name: name.clone(), node: describe(node, reads)? });
        if join == Join::Chain {
            reads = node.output(reads).unwrap_or(reads);
        }
    }
    Ok(NodeDescription::Joined { join: name_of(join), parts })
}

fn of_layer(spec: &LayerSpec, site: Site) -> Result<NodeDescription, Undescribed> {
    let Site { channels: inputs, .. } = site;
    Ok(NodeDescription::Layer(match spec {
        LayerSpec::ConvBn(conv) => {
            let shape = conv.shape(inputs);
            LayerDescription::ConvBn {
                inputs,
                outputs: shape.outputs,
                kernel: shape.kernel,
                stride: shape.stride,
                padding: shape.padding,
                dilation: shape.dilation,
                groups: shape.groups,
            }
        }
        LayerSpec::Pointwise { outputs } => LayerDescription::Pointwise { inputs, outputs: *outputs },
        LayerSpec::Linear { outputs } => LayerDescription::Linear { inputs, outputs: *outputs },
        LayerSpec::LinearBn { outputs, fc, bn } => LayerDescription::LinearBn { inputs, outputs: *outputs, fc, bn },
        LayerSpec::NormConvBn { norm, conv_bn, outputs } => {
            LayerDescription::NormConvBn { inputs, outputs: *outputs, norm, conv_bn }
        }
        LayerSpec::Norm => LayerDescription::Norm { channels: inputs },
        LayerSpec::PRelu => LayerDescription::PRelu { channels: inputs },
        LayerSpec::Fixed(layer) => of_fixed(*layer),
        // An identity in evaluation, and in the deployed form.
        LayerSpec::Dropout(_) => {
            return Ok(NodeDescription::Joined { join: name_of(Join::Chain), parts: Vec::new() });
        }
        LayerSpec::Block { spec, key } => {
            let description = spec.description(site).ok_or_else(|| Undescribed { key: key.clone() })?;
            return Ok(NodeDescription::Block(description));
        }
    }))
}

fn of_fixed(layer: Fixed) -> LayerDescription {
    match layer {
        Fixed::Activation(activation) => LayerDescription::Activation {
            function: match activation {
                Activation::Relu => "relu",
                Activation::Silu => "silu",
                Activation::Gelu => "gelu",
                Activation::Sigmoid => "sigmoid",
            },
        },
        Fixed::MaxPool { kernel, stride, padding } => LayerDescription::MaxPool { kernel, stride, padding },
        Fixed::AveragePool { kernel } => LayerDescription::AveragePool { kernel },
        Fixed::GlobalAverage => LayerDescription::GlobalAverage,
        Fixed::AdaptiveAverage { bins } => LayerDescription::AdaptiveAverage { bins },
        Fixed::Resize { map: (height, width) } => LayerDescription::Resize { height, width },
        Fixed::Flatten => LayerDescription::Flatten,
    }
}
