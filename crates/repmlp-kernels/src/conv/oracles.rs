//! Convolutions from candle's own operations, with candle's own gradients. Only tests use them.

use candle_core::{Result, Tensor};

use crate::conv::ConvSizes;
use crate::sliding_window::SlidingWindow;

/// Returns candle's convolution of the padded map. The map is cut to the pixels that the kernel reaches, because
/// candle's backward pass accepts no other sizes.
pub(crate) fn by_candle(x_chwn: &Tensor, weight: &Tensor, sizes: &ConvSizes) -> Result<Tensor> {
    let reached =
        |window: &SlidingWindow| (window.output - 1) * window.stride + (window.kernel - 1) * window.dilation + 1;
    let (rows, columns) = (&sizes.rows, &sizes.columns);
    padded(x_chwn, sizes)?
        .narrow(1, 0, reached(rows))?
        .narrow(2, 0, reached(columns))?
        .permute((3, 0, 1, 2))?
        .contiguous()?
        .conv2d(weight, 0, rows.stride, rows.dilation, sizes.groups)?
        .permute((1, 2, 3, 0))?
        .contiguous()
}

fn padded(x_chwn: &Tensor, sizes: &ConvSizes) -> Result<Tensor> {
    let (p_h, p_w) = (sizes.rows.padding, sizes.columns.padding);
    x_chwn.pad_with_zeros(1, p_h, p_h)?.pad_with_zeros(2, p_w, p_w)
}

/// Returns the convolution as a sum of one product per tap.
pub(crate) fn by_taps(x_chwn: &Tensor, weight: &Tensor, sizes: &ConvSizes) -> Result<Tensor> {
    let padded = padded(x_chwn, sizes)?;
    let (g, c, o) = (sizes.groups, sizes.group_inputs(), sizes.group_outputs());
    let mut sum: Option<Tensor> = None;
    for tap in 0..sizes.taps() {
        let (ky, kx) = sizes.tap(tap);
        let seen = |window: &SlidingWindow, tap: usize| {
            let places =
                (0..window.output).map(|y| (y * window.stride + tap * window.dilation) as u32).collect::<Vec<_>>();
            Tensor::from_vec(places, window.output, x_chwn.device())
        };
        let x = padded.index_select(&seen(&sizes.rows, ky)?, 1)?.index_select(&seen(&sizes.columns, kx)?, 2)?;
        let weight = weight.narrow(2, ky, 1)?.narrow(3, kx, 1)?.reshape((g, o, c))?;
        let part = weight.matmul(&x.reshape((g, c, sizes.output_map()))?)?;
        sum = Some(match sum {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    match sum {
        Some(sum) => sum.reshape(sizes.output_dims()),
        None => candle_core::bail!("a kernel needs at least one tap"),
    }
}
