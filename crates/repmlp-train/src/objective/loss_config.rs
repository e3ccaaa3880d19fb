//! Configuration of the loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LossConfig {
    /// Cross-entropy over images, or over the pixels that are not ignored.
    CrossEntropy {},
    /// AM-Softmax on embeddings: cross-entropy of scaled cosines. A margin is subtracted from the cosine of the correct
    /// person.
    AmSoftmax {
        /// Factor of the cosines; 30 in the original.
        #[serde(default = "thirty")]
        scale: f64,
        /// Subtracted from the cosine of the correct person; 0.35 in the original.
        #[serde(default = "margin")]
        margin: f64,
    },
}

fn thirty() -> f64 {
    30.0
}

fn margin() -> f64 {
    0.35
}

impl Default for LossConfig {
    fn default() -> Self {
        Self::CrossEntropy {}
    }
}

impl LossConfig {
    pub(crate) fn is_cross_entropy(&self) -> bool {
        *self == Self::default()
    }
}
