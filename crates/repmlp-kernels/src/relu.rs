//! max(x, 0). Candle's own has gradient 1 at exactly 0 and walks memory four times in the backward pass.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::element::{TASK_ELEMENTS, for_dtype, has_kernel, slice, with_slice};

/// max(x, 0), any shape; the gradient is 1 where x > 0 and 0 elsewhere.
///
/// # Errors
/// Those of candle.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if has_kernel(x) { x.contiguous()?.apply_op1(Relu) } else { composite(x) }
}

/// The same with candle's operations.
pub(crate) fn composite(x: &Tensor) -> Result<Tensor> {
    let positive = x.gt(&x.zeros_like()?)?.to_dtype(x.dtype())?;
    x * positive
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(storage.dtype(), T => T::to_cpu_storage_owned(forward(slice::<T>(storage, layout)?)));
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = for_dtype!(y.dtype(), T => {
            let dx = with_slice::<T, _>(y, |y| with_slice::<T, _>(dy, |dy| backward(y, dy)))??;
            Tensor::from_vec(dx, y.shape(), y.device())?
        });
        Ok(Some(dx))
    }
}

fn forward<T: WithDType>(x: &[T]) -> Vec<T> {
    let mut y = vec![T::zero(); x.len()];
    y.par_chunks_mut(TASK_ELEMENTS).zip(x.par_chunks(TASK_ELEMENTS)).for_each(|(y, x)| {
        for (y, &x) in y.iter_mut().zip(x) {
            // Written so that a NaN stays one: a diverging run must be seen.
            *y = if x < T::zero() { T::zero() } else { x };
        }
    });
    y
}

fn backward<T: WithDType>(y: &[T], dy: &[T]) -> Vec<T> {
    let mut dx = vec![T::zero(); y.len()];
    dx.par_chunks_mut(TASK_ELEMENTS).zip(y.par_chunks(TASK_ELEMENTS)).zip(dy.par_chunks(TASK_ELEMENTS)).for_each(
        |((dx, y), dy)| {
            for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
                *dx = if y > T::zero() { dy } else { T::zero() };
            }
        },
    );
    dx
}
