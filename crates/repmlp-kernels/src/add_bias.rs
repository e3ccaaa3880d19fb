//! A bias for each channel. Candle's own broadcast sums the gradient sequentially in the tensor's type. Where the exact
//! sum is close to zero (a bias before batch norm), only rounding errors would remain.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::composed::{Passed, with_gradient};
use crate::element::{for_dtype, has_kernel, slice, with_slice};
use crate::sums::sum;

/// Adds a bias to each channel: x (O, …) and bias (O) → the shape of x.
///
/// # Errors
/// Fails when x and the bias have different numbers of channels.
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let channels = bias.dims1()?;
    if x.dims().first() != Some(&channels) {
        bail!("a bias for {channels} channels does not fit {:?}", x.dims());
    }
    if has_kernel(x) { x.contiguous()?.apply_op2(&bias.contiguous()?, AddBias) } else { composite(x, bias) }
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let mut along_channels = vec![1; x.rank()];
    along_channels[0] = bias.dims1()?;
    let y = x.detach().broadcast_add(&bias.detach().reshape(along_channels)?)?;
    with_gradient([x, bias], y, |passed: &Passed<2>| {
        let d_bias = passed.dy.reshape((passed.inputs[1].dim(0)?, ()))?.sum(1)?;
        Ok([Some(passed.dy.clone()), Some(d_bias)])
    })
}

struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add_bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(x.dtype(), T => {
            T::to_cpu_storage_owned(forward(slice::<T>(x, x_layout)?, slice::<T>(bias, bias_layout)?))
        });
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, bias: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let d_bias = for_dtype!(bias.dtype(), T => {
            let d_bias = with_slice::<T, _>(dy, |dy| backward(dy, bias.elem_count()))?;
            Tensor::from_vec(d_bias, bias.shape(), bias.device())?
        });
        Ok((Some(dy.clone()), Some(d_bias)))
    }
}

fn forward<T: WithDType>(x: &[T], bias: &[T]) -> Vec<T> {
    let row = x.len() / bias.len();
    let mut y = vec![T::zero(); x.len()];
    if row > 0 {
        y.par_chunks_mut(row).zip(x.par_chunks(row)).enumerate().for_each(|(channel, (y, x))| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = x + bias[channel];
            }
        });
    }
    y
}

fn backward<T: WithDType>(dy: &[T], channels: usize) -> Vec<T> {
    let row = dy.len() / channels;
    if row == 0 {
        return vec![T::zero(); channels];
    }
    dy.par_chunks(row).map(|dy| T::from_f64(sum(dy, |dy| dy))).collect()
}
