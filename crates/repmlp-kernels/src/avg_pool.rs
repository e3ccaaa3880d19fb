//! Average pooling: a convolution of each channel by itself with equal weights, which nobody trains.

use candle_core::{Result, Tensor};

use crate::conv::{ConvGeometry, conv2d};
use crate::max_pool::PoolGeometry;

/// (C, H, W, N) → (C, H', W', N), the mean of each window, H' = ⌊(H + 2·padding − kernel)/stride⌋ + 1, W' likewise; what lies outside
/// the map counts as zeros, PyTorch's default.
///
/// # Errors
/// When the window is larger than the padded map, or something is empty.
pub fn avg_pool2d(x_chwn: &Tensor, geometry: PoolGeometry) -> Result<Tensor> {
    let (channels, ..) = x_chwn.dims4()?;
    let PoolGeometry { kernel, stride, padding } = geometry;
    let share = 1.0 / (kernel.0 * kernel.1).max(1) as f64;
    let weight = (Tensor::ones((channels, 1, kernel.0, kernel.1), x_chwn.dtype(), x_chwn.device())? * share)?;
    conv2d(x_chwn, &weight, ConvGeometry { stride, padding, dilation: (1, 1), groups: channels })
}
