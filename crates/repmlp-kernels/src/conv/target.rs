//! The memory that the tasks of a convolution write to.

use crate::product::Shared;

/// An output that several tasks fill, each at its own positions.
pub(super) struct Target<'a, T> {
    pub(super) shared: Shared<'a, T>,
    /// Whether sums are added to the output. It is then already written.
    pub(super) onto: bool,
}
