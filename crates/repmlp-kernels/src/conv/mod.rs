//! Convolution in the layout that has images fastest: dense, grouped or depthwise, any stride, padding and dilation.
//!
//! Ways, chosen by shape (`sizes`): a 1×1 convolution is a product with the map as it lies, or with the pixels that its stride
//! leaves; a depthwise one of few images adds shifted rows; with more images a 3×3 one of many channels, with stride 1 and little
//! padding, is a product for each position of transformed tiles, and others are summed tap by tap, without columns and without the
//! taps that lie outside the map; any other is a product with columns that are gathered tile by tile and never kept, neither whole
//! nor for the backward pass.

mod by_columns;
mod columns;
mod composite;
mod depthwise;
mod direct;
mod direct_weight;
mod epilogue;
mod operation;
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
