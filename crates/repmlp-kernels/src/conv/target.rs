//! Where the tasks of a convolution write their sums.

use crate::product::Shared;

/// An output that several tasks fill, each its own places.
pub(super) struct Target<'a, T> {
    pub(super) shared: Shared<'a, T>,
    /// Sums are added to what is there, which is written.
    pub(super) onto: bool,
}
