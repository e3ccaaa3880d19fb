//! A part of a network with its name, and the commonest one.

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
