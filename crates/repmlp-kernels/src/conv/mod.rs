//! Convolution in the layout that has images fastest: dense, grouped or depthwise, any stride, padding and dilation.
//!
//! Ways, chosen by shape: a 1×1 convolution is a product with the map as it lies; a depthwise one of few images adds shifted
//! rows; with images enough to fill vectors it is summed tap by tap, without columns and without the taps that lie outside the
//! map; any other is a product with columns that are gathered tile by tile and never kept, neither whole nor for the backward
//! pass.

mod by_columns;
mod columns;
mod composite;
mod depthwise;
mod direct;
mod direct_weight;
mod finish;
mod parts;
mod plan;
mod sizes;
#[cfg(test)]
mod tests;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};

use crate::element::{for_dtype, has_kernel, slice, with_slice};
use crate::simd::{InstructionSet, Number};
use crate::then::{self, End, Then};
use finish::Finish;
pub(crate) use sizes::{ConvSizes, Way};

/// How a convolution moves over a map, as (height, width) where two numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Input pixels between neighbouring output pixels.
    pub stride: (usize, usize),
    /// Pixels of zeros on both sides of the map.
    pub padding: (usize, usize),
    /// Input pixels between neighbouring taps.
    pub dilation: (usize, usize),
    /// Groups of channels; output channel o of O sees the C/groups channels of group ⌊o·groups/O⌋.
    pub groups: usize,
}

/// The convolution (cross-correlation) of x (C, H, W, N) with weight (O, C/groups, Kʰ, Kʷ): (O, H', W', N) with
/// H' = ⌊(H + 2·padding − dilation·(Kʰ − 1) − 1)/stride⌋ + 1, W' likewise.
///
/// # Errors
/// When the groups do not divide both channel counts, the weight does not fit them, something is empty, or the kernel is
/// larger than the padded map.
pub fn conv2d(x_chwn: &Tensor, weight: &Tensor, geometry: ConvGeometry) -> Result<Tensor> {
    let sizes = ConvSizes::new(x_chwn.dims(), weight.dims(), geometry)?;
    if has_kernel(x_chwn) {
        x_chwn.contiguous()?.apply_op2(&weight.contiguous()?, Conv2d { sizes })
    } else {
        composite::conv2d(x_chwn, weight, &sizes)
    }
}

/// `conv2d` plus a bias (O) and what follows, in one pass: a convolution with its batch norm merged. Forward only: the result is
/// cut off from the gradient.
///
/// # Errors
/// As `conv2d`, and when the bias or what is added does not fit the output.
pub fn conv2d_then(
    x_chwn: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    geometry: ConvGeometry,
    then: Then<'_>,
) -> Result<Tensor> {
    let sizes = ConvSizes::new(x_chwn.dims(), weight.dims(), geometry)?;
    if bias.dims() != [sizes.outputs] {
        bail!("conv2d to {} channels with a bias of {:?}", sizes.outputs, bias.dims());
    }
    let (o, h, w, n) = sizes.output_dims();
    if let Some(addend) = then.addend().filter(|addend| addend.dims() != [o, h, w, n]) {
        bail!("conv2d to {:?} plus {:?}: the shapes must be equal", [o, h, w, n], addend.dims());
    }
    if !has_kernel(x_chwn) {
        let y = composite::conv2d(x_chwn, weight, &sizes)?.broadcast_add(&bias.reshape((o, 1, 1, 1))?)?;
        return Ok(then::composite(y, then)?.detach());
    }
    let op = Deployed { sizes, bias: bias.clone(), addend: then.addend().cloned(), end: then.end() };
    x_chwn.contiguous()?.apply_op2_no_bwd(&weight.contiguous()?, &op)
}

/// The Local Perceptron's convolution: partitions (C, h, w, M) with weight (O, C/groups, Kʰ, Kʷ), stride 1 and a padding of
/// ⌊K/2⌋ of zeros around each partition, to (O, h, w, M). Taps on the padding cost nothing.
///
/// # Errors
/// When the kernel is even, or as `conv2d`.
pub fn local_conv(partitions_chwm: &Tensor, weight: &Tensor, groups: usize) -> Result<Tensor> {
    let (_, _, k_h, k_w) = weight.dims4()?;
    if k_h.is_multiple_of(2) || k_w.is_multiple_of(2) {
        bail!("a local convolution keeps the map's size, which a kernel of {k_h}x{k_w} cannot: choose odd sizes");
    }
    let geometry = ConvGeometry { stride: (1, 1), padding: (k_h / 2, k_w / 2), dilation: (1, 1), groups };
    conv2d(partitions_chwm, weight, geometry)
}

struct Conv2d {
    sizes: ConvSizes,
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d_chwn"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(x.dtype(), T => {
            let (x, weight) = (slice::<T>(x, x_layout)?, slice::<T>(weight, weight_layout)?);
            T::to_cpu_storage_owned(forward(x, weight, &self.sizes, None)?)
        });
        Ok((y, Shape::from(self.sizes.output_dims())))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (sizes, device) = (&self.sizes, x.device());
        // The images and a frozen weight take no part in the graph: their gradients would be thrown away.
        for_dtype!(x.dtype(), T => with_slice::<T, _>(dy, |dy| {
            let dx = if x.track_op() {
                let dx = with_slice::<T, _>(weight, |weight| backward_x(dy, weight, sizes))??;
                Some(Tensor::from_vec(dx, x.shape(), device)?)
            } else {
                None
            };
            let dw = if weight.track_op() {
                let dw = with_slice::<T, _>(x, |x| backward_weight(x, dy, sizes))??;
                Some(Tensor::from_vec(dw, weight.shape(), device)?)
            } else {
                None
            };
            Ok((dx, dw))
        })?)
    }
}

fn forward<T: Number>(x: &[T], weight: &[T], sizes: &ConvSizes, finish: Option<&Finish<'_, T>>) -> Result<Vec<T>> {
    match sizes.way() {
        Way::Columns => by_columns::forward(x, weight, sizes, finish),
        Way::Depthwise => Ok(depthwise::forward(x, weight, sizes, finish)),
        Way::Direct => direct::forward(InstructionSet::get(), x, weight, sizes, finish),
    }
}

fn backward_x<T: Number>(dy: &[T], weight: &[T], sizes: &ConvSizes) -> Result<Vec<T>> {
    match sizes.way() {
        Way::Columns => by_columns::backward_x(dy, weight, sizes),
        Way::Depthwise => Ok(depthwise::backward_x(dy, weight, sizes)),
        Way::Direct => direct::backward_x(InstructionSet::get(), dy, weight, sizes),
    }
}

fn backward_weight<T: Number>(x: &[T], dy: &[T], sizes: &ConvSizes) -> Result<Vec<T>> {
    match sizes.weight_way() {
        Way::Columns => by_columns::backward_weight(x, dy, sizes),
        Way::Depthwise => Ok(depthwise::backward_weight(x, dy, sizes)),
        Way::Direct => Ok(direct_weight::backward_weight(InstructionSet::get(), x, dy, sizes)),
    }
}

/// A convolution without a gradient and what follows it.
struct Deployed {
    sizes: ConvSizes,
    bias: Tensor,
    addend: Option<Tensor>,
    end: End,
}

impl CustomOp2 for Deployed {
    fn name(&self) -> &'static str {
        "conv2d_then_chwn"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(x.dtype(), T => {
            let (x, weight) = (slice::<T>(x, x_layout)?, slice::<T>(weight, weight_layout)?);
            let finished = |addend: Option<&[T]>| {
                with_slice::<T, _>(&self.bias, |bias| {
                    let finish = Finish { bias, addend, end: self.end, map: self.sizes.output_map() };
                    forward(x, weight, &self.sizes, Some(&finish))
                })?
            };
            T::to_cpu_storage_owned(match &self.addend {
                None => finished(None)?,
                Some(addend) => with_slice::<T, _>(addend, |addend| finished(Some(addend)))??,
            })
        });
        Ok((y, Shape::from(self.sizes.output_dims())))
    }
}
