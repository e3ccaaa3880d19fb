//! Helpers for network descriptions: named parts, `ReLU`, and checks of dropout rates.

use crate::ConfigFault;
use crate::network::{Activation, Fixed, LayerSpec, Node};

/// A part of a joined node with its name. An empty name appends nothing to the name of the whole.
pub(super) type Part = (String, Node<LayerSpec>);

/// Creates a part.
pub(super) fn part(name: &str, node: impl Into<Node<LayerSpec>>) -> Part {
    (name.to_owned(), node.into())
}

/// Creates a `ReLU` part.
pub(super) fn relu() -> Part {
    part("", Fixed::Activation(Activation::Relu))
}

/// Whether a rate is 0. Such a rate is left out when a configuration is serialized.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
pub(super) fn is_zero(rate: &f64) -> bool {
    *rate == 0.0
}

/// Returns the fault of a dropout rate, if it is not in [0, 1).
pub(super) fn rate_fault(key: &str, rate: f64) -> Option<ConfigFault> {
    let fits = (0.0..1.0).contains(&rate);
    (!fits).then(|| ConfigFault::new(key, "must be in [0, 1): it is the share that a training step drops"))
}
