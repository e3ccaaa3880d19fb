//! The composite of a convolution, for GPUs: all groups and taps in one batched product, and no change of the layout.

use candle_core::{Result, Tensor};

use crate::composed::{Passed, detached, with_gradient};
use crate::conv::{Conv, ConvSizes};
use crate::window_places::{Outside, WindowPlaces};

/// Returns the convolution of x with a weight, whatever their shapes: they have as many numbers as the sizes say.
pub(crate) fn convolve(x: &Tensor, weight: &Tensor, conv: &Conv) -> Result<Tensor> {
    let (sizes, [x_only, w]) = (conv.sizes, detached([x, weight]));
    let y = forward(&x_only, &w, &sizes)?.reshape(&conv.output)?;
    with_gradient([x, weight], y, move |passed: &Passed<2>| {
        let ([x, w], dy) = (&passed.inputs, &passed.dy);
        let dx = if passed.needed[0] { Some(backward_x(dy, w, &sizes)?.reshape(x.shape())?) } else { None };
        let dw = if passed.needed[1] { Some(backward_weight(x, dy, &sizes)?.reshape(w.shape())?) } else { None };
        Ok([dx, dw])
    })
}

/// Returns the output, (O, H', W', N).
pub(crate) fn forward(x: &Tensor, weight: &Tensor, sizes: &ConvSizes) -> Result<Tensor> {
    let weight = by_group(weight, sizes, sizes.group_outputs())?;
    sizes.factors.product(&weight, &read(x, sizes)?)?.reshape(sizes.output_dims())
}

/// Returns the gradient of the weight: (g, O/g, C/g·taps).
pub(crate) fn backward_weight(x: &Tensor, dy: &Tensor, sizes: &ConvSizes) -> Result<Tensor> {
    let dy = by_group(dy, sizes, sizes.group_outputs())?;
    sizes.factors.product(&dy, &read(x, sizes)?.t()?)
}

/// Returns the gradient of x: (C, H·W, N).
pub(crate) fn backward_x(dy: &Tensor, weight: &Tensor, sizes: &ConvSizes) -> Result<Tensor> {
    let (places, images) = (places(sizes), sizes.images);
    let (g, o, c, taps) = (sizes.groups, sizes.group_outputs(), sizes.group_inputs(), sizes.taps());
    if sizes.is_pointwise() || sizes.rows.stride * sizes.columns.stride > 1 {
        // One product for the taps of all positions. With a stride, few of them read the same pixel.
        let taps = sizes.factors.product(&by_group(weight, sizes, o)?.t()?, &by_group(dy, sizes, o)?)?;
        let taps = taps.reshape((sizes.inputs, (), images))?;
        return if sizes.is_pointwise() { Ok(taps) } else { places.give_back(&taps) };
    }
    // Without a stride this is a convolution itself, and moves fewer numbers.
    let readers = places.readers(&dy.reshape((sizes.outputs, (), images))?)?.reshape((g, o * taps, ()))?;
    let turned = weight.reshape((g, o, c, taps))?.transpose(1, 2)?.contiguous()?.reshape((g, c, o * taps))?;
    sizes.factors.product(&turned, &readers)?.reshape((sizes.inputs, (), images))
}

/// Returns the numbers that each group multiplies: (g, C/g·taps, H'·W'·N).
fn read(x: &Tensor, sizes: &ConvSizes) -> Result<Tensor> {
    let x = x.reshape((sizes.inputs, (), sizes.images))?;
    let read = if sizes.is_pointwise() { x } else { places(sizes).read(&x)? };
    read.reshape((sizes.groups, sizes.group_inputs() * sizes.taps(), ()))
}

/// Returns a tensor whose first numbers belong to the first group: (g, `rows`, …).
fn by_group(tensor: &Tensor, sizes: &ConvSizes, rows: usize) -> Result<Tensor> {
    tensor.reshape((sizes.groups, rows, ()))
}

fn places(sizes: &ConvSizes) -> WindowPlaces {
    WindowPlaces { rows: sizes.rows, columns: sizes.columns, outside: Outside::Zero }
}
