//! Weight decay for named parts of a network. The paper's recipe for faces follows MobileFaceNet. There, the layers
//! after the global operator have ten times the weight decay of the rest.
//!
//! This module knows parameter names, not what the parts compute.

use std::collections::BTreeSet;

use repmlp::ConfigFault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::start::has_part;

/// Parts of a network with another weight decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartDecayConfig {
    /// The parts, given by words of their parameter names, for example `embedding` or `stage4.0`. `head` holds the
    /// class weights of a loss on people.
    pub parts: Vec<String>,
    /// Replaces the optimiser's `weight_decay` for these parts.
    pub weight_decay: f64,
}

/// Path of the key.
const KEY: &str = "training.optimizer.decay_of_parts";

/// Maximum number of names in a message.
const SHOWN: usize = 20;

impl PartDecayConfig {
    fn has(&self, name: &str) -> bool {
        self.parts.iter().any(|word| has_part(name, word))
    }

    /// Returns the faults that do not depend on the network.
    pub(crate) fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        if self.parts.is_empty() || self.parts.iter().any(|word| word.split('.').any(str::is_empty)) {
            let message = "must be at least one name part; words are separated by single dots";
            faults.push(ConfigFault::new(format!("{KEY}.parts"), message));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            faults.push(ConfigFault::new(format!("{KEY}.weight_decay"), "must be a finite number of at least 0"));
        }
        faults
    }
}

/// Returns the weight decay of the parameter `name`: the value of its part, or `common`.
pub(crate) fn decay_of(name: &str, common: f64, parts: &[PartDecayConfig]) -> f64 {
    parts.iter().find(|part| part.has(name)).map_or(common, |part| part.weight_decay)
}

/// Returns the faults for a network with these parameter names: words that match no parameter, and parameters that
/// match two entries.
pub(crate) fn misfits(parts: &[PartDecayConfig], names: &[String]) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    let unused = |word: &&String| !names.iter().any(|name| has_part(name, word));
    for word in parts.iter().flat_map(|part| &part.parts).filter(unused) {
        let all: BTreeSet<&str> = names.iter().map(|name| name.split('.').next().unwrap_or_default()).collect();
        let mut known = all.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
        if all.len() > SHOWN {
            known += ", ...";
        }
        let message = format!("no parameter name of the network contains the part `{word}`; names start with {known}");
        faults.push(ConfigFault::new(format!("{KEY}.parts"), message));
    }
    if let Some(name) = names.iter().find(|name| parts.iter().filter(|part| part.has(name)).count() > 1) {
        let message = format!("two entries match `{name}`: remove one of them");
        faults.push(ConfigFault::new(KEY, message));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(parts: &[&str], weight_decay: f64) -> PartDecayConfig {
        PartDecayConfig { parts: parts.iter().map(|&word| word.to_owned()).collect(), weight_decay }
    }

    fn names() -> Vec<String> {
        ["embedding.weight", "embedding_bn.weight", "head.weight", "stage1.0.conv.weight"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_part_has_its_own_decay_and_the_rest_the_common_one() {
        let parts = [part(&["embedding", "head"], 4e-4), part(&["stage1.0"], 0.0)];
        let decays: Vec<f64> = names().iter().map(|name| decay_of(name, 4e-5, &parts)).collect();
        assert_eq!(decays, [4e-4, 4e-5, 4e-4, 0.0]);
        assert_eq!(misfits(&parts, &names()), []);
    }

    #[test]
    fn faults_are_named() {
        let texts = |parts: &[PartDecayConfig]| -> Vec<String> {
            let own = parts.iter().flat_map(PartDecayConfig::faults);
            own.chain(misfits(parts, &names())).map(|fault| fault.to_string()).collect()
        };
        assert_eq!(
            texts(&[part(&["embed"], 1e-4)]),
            ["training.optimizer.decay_of_parts.parts: no parameter name of the network contains the part `embed`; \
                 names start with embedding, embedding_bn, head, stage1"]
        );
        assert_eq!(
            texts(&[part(&["head"], 1e-4), part(&["weight"], 0.0)]),
            ["training.optimizer.decay_of_parts: two entries match `head.weight`: remove one of them"]
        );
        let broken = texts(&[part(&[], -1.0)]);
        assert_eq!(
            broken,
            [
                "training.optimizer.decay_of_parts.parts: must be at least one name part; words are separated by \
                 single dots",
                "training.optimizer.decay_of_parts.weight_decay: must be a finite number of at least 0",
            ]
        );
        assert_eq!(part(&["a"], f64::NAN).faults().len(), 1);
        assert_eq!(part(&["a..b"], 0.0).faults().len(), 1);
    }
}
