//! Convolution in the layout with images as the fastest dimension: dense, grouped or depthwise, with any stride,
//! padding and dilation.
//!
//! The shape alone decides how a convolution is computed (`sizes`):
//!
//! - A 1×1 convolution is a matrix product with the map itself, or with the pixels that its stride selects.
//! - For small batches, a depthwise convolution adds shifted rows.
//! - For larger batches, a 3×3 convolution with many channels, stride 1 and little padding is a product for each
//!   position of transformed tiles (Winograd).
//! - For larger batches, other convolutions are summed tap by tap, without columns and without the taps that lie
//!   outside the map.
//! - Any other convolution is a product with columns. Columns are gathered tile by tile. They are never kept as a
//!   whole, nor for the backward pass.

mod by_columns;
mod columns;
pub(crate) mod composite;
mod depthwise;
mod direct;
mod direct_weight;
mod epilogue;
mod operation;
#[cfg(test)]
mod oracles;
mod sizes;
mod subsampled;
mod tap_map;
mod target;
#[cfg(test)]
mod tests;
mod ways;
mod winograd;

pub(crate) use operation::Conv;
pub use operation::{ConvGeometry, conv2d, conv2d_with_epilogue, grouped_fc, grouped_fc_with_epilogue};
pub(crate) use sizes::{ConvSizes, Way};
pub(crate) use ways::{backward_weight, backward_x, forward};
