//! A convolution, and an FC layer with groups, as candle operations: shapes, and which gradients are needed.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};

use crate::backward::of_weight;
use crate::conv::epilogue::ConvEpilogue;
use crate::conv::{ConvSizes, backward_weight, backward_x, composite, forward};
use crate::element::{for_dtype, has_kernel, slice, with_slice};
use crate::epilogue::{Activation, Epilogue};
use crate::simd::InstructionSet;

/// How a convolution moves over a map. Pairs are (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Input pixels between neighbouring output pixels.
    pub stride: (usize, usize),
    /// Zero pixels added on both sides of the map.
    pub padding: (usize, usize),
    /// Input pixels between neighbouring taps.
    pub dilation: (usize, usize),
    /// Groups of channels. Output channel o of O reads the C/groups channels of group ⌊o·groups/O⌋.
    pub groups: usize,
}

/// Returns the convolution (cross-correlation) of x (C, H, W, N) with weight (O, C/groups, Kʰ, Kʷ): (O, H', W', N) with
/// H' = ⌊(H + 2·padding − dilation·(Kʰ − 1) − 1)/stride⌋ + 1 and W' likewise.
///
/// # Errors
/// Fails when the groups do not divide both channel counts, when the weight does not fit them, when a dimension is
/// empty, or when the kernel is larger than the padded map.
pub fn conv2d(x_chwn: &Tensor, weight: &Tensor, geometry: ConvGeometry) -> Result<Tensor> {
    Conv::on_map(x_chwn, weight, geometry)?.of(x_chwn, weight)
}

/// Like `conv2d`, with a bias (O) and an epilogue in the same pass: a convolution with its batch norm merged. Forward
/// only: the result is detached from the gradient.
///
/// # Errors
/// Fails when `conv2d` fails, or when the bias or the tensor to add does not fit the output.
pub fn conv2d_with_epilogue(
    x_chwn: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    geometry: ConvGeometry,
    epilogue: Epilogue<'_>,
) -> Result<Tensor> {
    Conv::on_map(x_chwn, weight, geometry)?.with_epilogue(x_chwn, (weight, bias), epilogue)
}

/// Applies an FC layer with groups to each column of x (C, …, M). Its inputs are all dimensions of x but the last,
/// channel by channel. The weight (O·P, C/groups·P) gives (O, …, M), where P is the product of the dimensions between
/// the first and the last.
///
/// # Errors
/// Fails when the groups do not divide both channel counts, when the weight does not fit, or when a dimension is empty.
pub fn grouped_fc(x: &Tensor, weight: &Tensor, groups: usize) -> Result<Tensor> {
    Conv::on_columns(x, weight, groups)?.of(x, weight)
}

/// Like `grouped_fc`, with a bias (O·P) and an epilogue in the same pass. Forward only: the result is detached from the
/// gradient.
///
/// # Errors
/// Fails when `grouped_fc` fails, or when the bias or the tensor to add does not fit the output.
pub fn grouped_fc_with_epilogue(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    epilogue: Epilogue<'_>,
) -> Result<Tensor> {
    Conv::on_columns(x, weight, groups)?.with_epilogue(x, (weight, bias), epilogue)
}

/// A convolution, and the shape of its output. The tensors may have other shapes than the sizes, with as many numbers.
pub(crate) struct Conv {
    pub(crate) sizes: ConvSizes,
    pub(crate) output: Shape,
}

impl Conv {
    /// Returns the convolution of a map.
    pub(crate) fn on_map(x_chwn: &Tensor, weight: &Tensor, geometry: ConvGeometry) -> Result<Self> {
        let sizes = ConvSizes::new(x_chwn.dims(), weight.dims(), geometry)?;
        Ok(Self { sizes, output: sizes.output_dims().into() })
    }

    /// Returns an FC layer as the 1×1 convolution of a single pixel. The inputs of the layer become its channels.
    pub(crate) fn on_columns(x: &Tensor, weight: &Tensor, groups: usize) -> Result<Self> {
        let (&[channels, ref between @ .., columns], &[outputs, inputs]) = (x.dims(), weight.dims()) else {
            bail!("grouped_fc takes x (C, .., M) and weight (Q, P), not {:?} and {:?}", x.dims(), weight.dims());
        };
        let pixels: usize = between.iter().product();
        if groups == 0 || !channels.is_multiple_of(groups) || pixels == 0 || !outputs.is_multiple_of(groups * pixels) {
            bail!("grouped_fc of {:?} to {outputs} outputs: {groups} groups must divide the channels", x.dims());
        }
        let geometry = ConvGeometry { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups };
        let sizes = ConvSizes::new(&[channels * pixels, 1, 1, columns], &[outputs, inputs, 1, 1], geometry)?;
        let output = [&[outputs / pixels], between, &[columns]].concat();
        Ok(Self { sizes, output: output.into() })
    }

    pub(crate) fn of(self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        if has_kernel(x) { x.contiguous()?.apply_op2(&weight.contiguous()?, self) } else { self.composite(x, weight) }
    }

    fn with_epilogue(self, x: &Tensor, (weight, bias): (&Tensor, &Tensor), epilogue: Epilogue<'_>) -> Result<Tensor> {
        if bias.dims() != [self.sizes.outputs] {
            bail!("{} outputs need one bias each, not a bias of shape {:?}", self.sizes.outputs, bias.dims());
        }
        if let Some(addend) = epilogue.addend().filter(|addend| addend.dims() != self.output.dims()) {
            bail!("output {:?} plus {:?}: the shapes must be equal", self.output.dims(), addend.dims());
        }
        if !has_kernel(x) {
            return self.composite_with_epilogue(x, (weight, bias), epilogue);
        }
        let op = Deployed {
            conv: self,
            bias: bias.clone(),
            addend: epilogue.addend().cloned(),
            activation: epilogue.activation(),
        };
        x.contiguous()?.apply_op2_no_bwd(&weight.contiguous()?, &op)
    }

    /// The composite: the same computation, written with candle's own operations.
    pub(crate) fn composite(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        composite::convolve(x, weight, self)
    }

    /// The composite with a bias and an epilogue.
    pub(super) fn composite_with_epilogue(
        &self,
        x: &Tensor,
        (weight, bias): (&Tensor, &Tensor),
        epilogue: Epilogue<'_>,
    ) -> Result<Tensor> {
        let y = self.composite(x, weight)?.reshape((bias.dim(0)?, ()))?.broadcast_add(&bias.unsqueeze(1)?)?;
        Ok(epilogue.after(&y.reshape(&self.output)?)?.detach())
    }
}

impl CustomOp2 for Conv {
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
        Ok((y, self.output.clone()))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (sizes, device) = (&self.sizes, x.device());
        // Input images and frozen weights need no gradient.
        for_dtype!(x.dtype(), T => with_slice::<T, _>(dy, |dy| {
            let dx = if x.track_op() {
                let dx = with_slice::<T, _>(weight, |weight| backward_x(dy, weight, sizes, None))??;
                Some(Tensor::from_vec(dx, x.shape(), device)?)
            } else {
                None
            };
            let dw = if weight.track_op() {
                let dw = with_slice::<T, _>(x, |x| backward_weight(x, dy, sizes))??;
                of_weight(weight, Tensor::from_vec(dw, weight.shape(), device)?)
            } else {
                None
            };
            Ok((dx, dw))
        })?)
    }
}

/// A convolution with its epilogue, without a gradient.
struct Deployed {
    conv: Conv,
    bias: Tensor,
    addend: Option<Tensor>,
    activation: Activation,
}

impl CustomOp2 for Deployed {
    fn name(&self) -> &'static str {
        "conv2d_with_epilogue_chwn"
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
                    let epilogue = ConvEpilogue {
                        set: InstructionSet::get(),
                        bias,
                        addend,
                        activation: self.activation,
                        map: self.conv.sizes.output_map(),
                    };
                    forward(x, weight, &self.conv.sizes, Some(&epilogue))
                })?
            };
            T::to_cpu_storage_owned(match &self.addend {
                None => finished(None)?,
                Some(addend) => with_slice::<T, _>(addend, |addend| finished(Some(addend)))??,
            })
        });
        Ok((y, self.conv.output.clone()))
    }
}
