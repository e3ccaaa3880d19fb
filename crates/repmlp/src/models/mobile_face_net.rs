//! MobileFaceNet (Chen et al. 2018), a baseline in Table 5 of the paper. Its output is an embedding.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigFault;
use crate::models::part::{Part, part};
use crate::models::{Answer, NetworkKind, Task};
use crate::network::{ConvBnSpec, Fixed, LayerSpec, Network, Node, chain, identity, sum};

/// Configuration of MobileFaceNet; it has no settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MobileFaceNetConfig {}

/// Channels of the stem.
const STEM: usize = 64;
/// Channels of the layers `expand` and `global` in the head.
const LAST: usize = 512;
/// Length of an embedding.
const EMBEDDING: usize = 128;

/// One table row of bottlenecks.
struct Row {
    expansion: usize,
    outputs: usize,
    blocks: usize,
    stride: usize,
}

/// Table 1 of the MobileFaceNet paper.
const ROWS: [Row; 5] = [
    Row { expansion: 2, outputs: 64, blocks: 5, stride: 2 },
    Row { expansion: 4, outputs: 128, blocks: 1, stride: 2 },
    Row { expansion: 2, outputs: 128, blocks: 6, stride: 1 },
    Row { expansion: 4, outputs: 128, blocks: 1, stride: 2 },
    Row { expansion: 2, outputs: 128, blocks: 2, stride: 1 },
];

impl NetworkKind for MobileFaceNetConfig {
    fn faults(&self, _task: Task) -> Vec<ConfigFault> {
        Vec::new()
    }

    fn network(&self, task: Task) -> Network<LayerSpec> {
        let mut trunk = conv("stem", LayerSpec::conv_bn(STEM, 3).stride(2));
        trunk.extend(conv("stem_depthwise", LayerSpec::conv_bn(STEM, 3).groups(STEM)));
        let mut inputs = STEM;
        for (i, Row { expansion, outputs, blocks, stride }) in ROWS.iter().enumerate() {
            let mut row = Vec::new();
            for b in 0..*blocks {
                let stride = if b == 0 { *stride } else { 1 };
                row.push(part(&b.to_string(), inverted_residual(inputs, *expansion, *outputs, stride)));
                inputs = *outputs;
            }
            trunk.push(part(&format!("stages.{i}"), chain(row)));
        }
        let trunk = chain(trunk);
        let side = trunk.output(task.site()).map_or(1, |site| site.map.0.min(site.map.1));
        let mut head = conv("expand", LayerSpec::conv_bn(LAST, 1));
        // The global depthwise convolution. On a square map, it has one weight per channel and pixel.
        head.push(part("global", LayerSpec::conv_bn(LAST, side).unpadded().groups(LAST)));
        head.push(part("embedding", LayerSpec::conv_bn(EMBEDDING, 1)));
        head.push(part("", Fixed::GlobalAverage));
        Network::plain(trunk, chain(head))
    }

    fn answer(&self) -> Answer {
        Answer::Embedding
    }
}

/// Convolution, batch norm and `PReLU`.
fn conv(name: &str, spec: ConvBnSpec) -> Vec<Part> {
    vec![part(name, spec), part(&format!("{name}.prelu"), LayerSpec::PRelu)]
}

fn inverted_residual(inputs: usize, expansion: usize, outputs: usize, stride: usize) -> Node<LayerSpec> {
    let expanded = expansion * inputs;
    let mut body = conv("expand", LayerSpec::conv_bn(expanded, 1));
    body.extend(conv("depthwise", LayerSpec::conv_bn(expanded, 3).stride(stride).groups(expanded)));
    body.push(part("project", LayerSpec::conv_bn(outputs, 1)));
    if stride == 1 && inputs == outputs { sum([part("", chain(body)), part("", identity())]) } else { chain(body) }
}
