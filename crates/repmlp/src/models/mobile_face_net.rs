//! MobileFaceNet (Chen et al. 2018): a baseline of the paper's Table 5. It answers an embedding.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::models::Task;
use crate::models::residual::{Part, part};
use crate::network::{LayerSpec, Network, Node, chain, identity, sum};

/// MobileFaceNet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MobileFaceNetConfig {}

/// Numbers of an embedding.
const EMBEDDING: usize = 128;

/// Expansion, channels, blocks and stride of the rows of Table 1 of the MobileFaceNet paper.
const ROWS: [(usize, usize, usize, usize); 5] =
    [(2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)];

impl MobileFaceNetConfig {
    pub(super) fn network(&self, task: Task) -> Network<LayerSpec> {
        let mut trunk = vec![];
        trunk.extend(conv("stem", LayerSpec::conv_bn(64, 3).stride(2)));
        trunk.extend(conv("stem_depthwise", LayerSpec::conv_bn(64, 3).groups(64)));
        let mut inputs = 64;
        for (i, (expansion, outputs, blocks, stride)) in ROWS.into_iter().enumerate() {
            let mut row = Vec::new();
            for b in 0..blocks {
                let stride = if b == 0 { stride } else { 1 };
                row.push(part(&b.to_string(), inverted_residual(inputs, expansion, outputs, stride)));
                inputs = outputs;
            }
            trunk.push(part(&format!("stages.{i}"), chain(row)));
        }
        // Four strides of 2, each rounding up.
        let side = |size: usize| (0..4).fold(size, |size, _| size.div_ceil(2));
        let map = (side(task.image.0), side(task.image.1));
        let mut head = conv("expand", LayerSpec::conv_bn(512, 1));
        // The global depthwise convolution: one weight for each pixel of the last map.
        head.push(part("global", LayerSpec::conv_bn(512, map.0.min(map.1)).unpadded().groups(512)));
        head.push(part("embedding", LayerSpec::conv_bn(EMBEDDING, 1)));
        head.push(part("", LayerSpec::GlobalAverage));
        Network::plain(chain(trunk), chain(head))
    }
}

/// conv-BN and its learnt slopes.
fn conv(name: &str, spec: crate::network::ConvBnSpec) -> Vec<Part> {
    vec![part(name, spec), part(&format!("{name}.prelu"), LayerSpec::PRelu)]
}

fn inverted_residual(inputs: usize, expansion: usize, outputs: usize, stride: usize) -> Node<LayerSpec> {
    let expanded = expansion * inputs;
    let mut body = conv("expand", LayerSpec::conv_bn(expanded, 1));
    body.extend(conv("depthwise", LayerSpec::conv_bn(expanded, 3).stride(stride).groups(expanded)));
    body.push(part("project", LayerSpec::conv_bn(outputs, 1)));
    if stride == 1 && inputs == outputs { sum([part("", chain(body)), part("", identity())]) } else { chain(body) }
}
