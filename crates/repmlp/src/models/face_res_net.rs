//! FaceResNet and RepMLP-FaceRes (paper section 4.3, Table 5). Their output is an embedding.
//!
//! The paper describes neither stem nor head, and its text on RepMLP-FaceRes does not give the counts of its own table.
//! This file implements the only interpretation that gives the printed counts to the last digit:
//!
//! * The stem is 7×7 with stride 2 (→ 64 channels) and 3×3 with stride 2 (→ w channels). The head is flatten and FC.
//! * In RepMLP-FaceRes, the middle of every block has half the channels. RepMLP Bottlenecks replace all blocks of c2
//!   and the last block of c3 and of c4.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigFault;
use crate::blocks::RepMlpConfig;
use crate::models::part::{part, relu};
use crate::models::residual::Residual;
use crate::models::{Answer, NetworkKind, Task};
use crate::network::{Fixed, LayerSpec, Network, Node, chain};

/// Configuration of FaceResNet or RepMLP-FaceRes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaceResNetConfig {
    /// Channels of c2. They double from stage to stage. Paper: 128.
    #[serde(default = "one_hundred_twenty_eight", skip_serializing_if = "is_one_hundred_twenty_eight")]
    pub width: usize,
    /// Length of an embedding. Paper (inferred): 1024.
    #[serde(default = "one_thousand_twenty_four", skip_serializing_if = "is_one_thousand_twenty_four")]
    pub embedding: usize,
    /// If set, the network is RepMLP-FaceRes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rep_mlp: Option<FaceRepMlpConfig>,
}

/// The RepMLP blocks of RepMLP-FaceRes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaceRepMlpConfig {
    /// Reduction r: the RepMLP block has the middle channels of its residual block divided by this. Paper: 2.
    pub reduction: usize,
    /// The RepMLP block.
    pub block: RepMlpConfig,
}

/// Number of blocks in c2 to c5.
const BLOCKS: [usize; 4] = [3, 2, 2, 2];
/// Limits far above any real network.
const MOST_WIDTH: usize = 2048;
const MOST_EMBEDDING: usize = 1 << 16;

fn one_hundred_twenty_eight() -> usize {
    128
}

fn one_thousand_twenty_four() -> usize {
    1024
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_one_hundred_twenty_eight(width: &usize) -> bool {
    *width == 128
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_one_thousand_twenty_four(embedding: &usize) -> bool {
    *embedding == 1024
}

impl FaceResNetConfig {
    fn stage(&self, s: usize) -> Node<LayerSpec> {
        let outputs = self.width << s;
        chain((0..BLOCKS[s]).map(|b| {
            let first = b == 0 && s > 0;
            let residual = Residual {
                inputs: if first { outputs / 2 } else { outputs },
                middle: if self.rep_mlp.is_some() { outputs / 2 } else { outputs },
                outputs,
                stride: if first { 2 } else { 1 },
                dilation: 1,
            };
            let replaced = self.rep_mlp.as_ref().filter(|_| s == 0 || (s < 3 && b + 1 == BLOCKS[s]));
            let node = match replaced {
                Some(config) => residual.rep_mlp_bottleneck(config.reduction, &config.block, "model.rep_mlp.block"),
                None => residual.bottleneck(),
            };
            (b.to_string(), node)
        }))
    }
}

impl NetworkKind for FaceResNetConfig {
    fn faults(&self, _task: Task) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        if !(2..=MOST_WIDTH).contains(&self.width) || !self.width.is_multiple_of(2) {
            faults.push(ConfigFault::new("model.width", format!("must be even and between 2 and {MOST_WIDTH}")));
        }
        if !(1..=MOST_EMBEDDING).contains(&self.embedding) {
            faults.push(ConfigFault::new("model.embedding", format!("must be between 1 and {MOST_EMBEDDING}")));
        }
        if let Some(FaceRepMlpConfig { reduction, .. }) = &self.rep_mlp {
            let middle = self.width / 2;
            if *reduction == 0 || !middle.is_multiple_of(*reduction) {
                let message = format!("reduction {reduction} does not divide {middle} channels");
                faults.push(ConfigFault::new("model.rep_mlp.reduction", message));
            }
        }
        faults
    }

    fn network(&self, _task: Task) -> Network<LayerSpec> {
        let stem = [
            part("0", LayerSpec::conv_bn(64, 7).stride(2)),
            relu(),
            part("1", LayerSpec::conv_bn(self.width, 3).stride(2)),
            relu(),
        ];
        let mut trunk = vec![part("stage0", chain(stem))];
        trunk.extend((0..4).map(|s| part(&format!("stage{}", s + 1), self.stage(s))));
        let fc = LayerSpec::LinearBn { outputs: self.embedding, fc: "embedding", bn: "embedding_bn" };
        Network::plain(chain(trunk), chain([part("", Fixed::Flatten), part("", fc)]))
    }

    fn answer(&self) -> Answer {
        Answer::Embedding
    }
}
