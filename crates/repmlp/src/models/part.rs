//! A part of a network with its name, the commonest one, and what networks with dropout share.

use crate::ConfigFault;
use crate::network::{Activation, Fixed, LayerSpec, Node};

/// A part with its name below the whole's; an empty name adds nothing.
pub(super) type Part = (String, Node<LayerSpec>);

/// A part.
pub(super) fn part(name: &str, node: impl Into<Node<LayerSpec>>) -> Part {
    (name.to_owned(), node.into())
}

/// `ReLU`.
pub(super) fn relu() -> Part {
    part("", Fixed::Activation(Activation::Relu))
}

/// Whether a rate is 0, and so no part of a configuration's text.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
pub(super) fn is_zero(rate: &f64) -> bool {
    *rate == 0.0
}

/// What is wrong with a rate of dropout.
pub(super) fn rate_fault(key: &str, rate: f64) -> Option<ConfigFault> {
    let fits = (0.0..1.0).contains(&rate);
    (!fits).then(|| ConfigFault::new(key, "must be in [0, 1): the share that a training step leaves out"))
}
