//! Softmax along the last dimension. In attention built from separate operations, it causes most of the memory traffic.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::composed::{Passed, with_gradient};
use crate::element::{TASK_ELEMENTS, for_dtype, has_kernel, slice, with_slice};
use crate::sums::{pair_sum, sum};

/// Returns exp(x − max) / Σ exp(x − max) along the last dimension, for any shape.
///
/// # Errors
/// Fails when candle fails.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if has_kernel(x) { x.contiguous()?.apply_op1(Softmax) } else { composite(x) }
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite(x: &Tensor) -> Result<Tensor> {
    let x_only = x.detach();
    let powers = x_only.broadcast_sub(&x_only.max_keepdim(D::Minus1)?)?.exp()?;
    let y = powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?;
    with_gradient([x], y, |passed: &Passed<1>| {
        let Passed { y, dy, .. } = passed;
        let along = (dy * y)?.sum_keepdim(D::Minus1)?;
        Ok([Some((dy.broadcast_sub(&along)? * y)?)])
    })
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let columns = layout.shape().dim(D::Minus1)?;
        let y = for_dtype!(storage.dtype(), T => {
            T::to_cpu_storage_owned(forward(slice::<T>(storage, layout)?, columns, T::exp))
        });
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let columns = y.dim(D::Minus1)?;
        let dx = for_dtype!(y.dtype(), T => {
            let dx = with_slice::<T, _>(y, |y| with_slice::<T, _>(dy, |dy| backward(y, dy, columns)))??;
            Tensor::from_vec(dx, y.shape(), y.device())?
        });
        Ok(Some(dx))
    }
}

fn rows_a_task(columns: usize) -> usize {
    (TASK_ELEMENTS / columns).max(1)
}

fn forward<T: WithDType>(x: &[T], columns: usize, exp: impl Fn(T) -> T + Sync) -> Vec<T> {
    let mut y = vec![T::zero(); x.len()];
    let rows = y.par_chunks_mut(columns).zip(x.par_chunks(columns)).with_min_len(rows_a_task(columns));
    rows.for_each(|(y, x)| {
        let largest = x.iter().skip(1).fold(x[0], |largest, &x| if x > largest { x } else { largest });
        let mut sum = T::zero();
        for (y, &x) in y.iter_mut().zip(x) {
            *y = exp(x - largest);
            sum += *y;
        }
        let share = T::one() / sum;
        y.iter_mut().for_each(|y| *y *= share);
    });
    y
}

/// Returns dx = y·(dy − Σ dy·y). The sum is taken in `f64` and divided by Σ y, which is 1 except for rounding. So each
/// row of dx sums to zero. It must, because adding a number to a whole row of x changes nothing.
fn backward<T: WithDType>(y: &[T], dy: &[T], columns: usize) -> Vec<T> {
    let mut dx = vec![T::zero(); y.len()];
    let rows = dx.par_chunks_mut(columns).zip(y.par_chunks(columns).zip(dy.par_chunks(columns)));
    rows.with_min_len(rows_a_task(columns)).for_each(|(dx, (y, dy))| {
        let mean = pair_sum(y, dy, |y, dy| y * dy) / sum(y, |y| y);
        for (dx, (&y, &dy)) in dx.iter_mut().zip(y.iter().zip(dy)) {
            *dx = T::from_f64(y.to_f64() * (dy.to_f64() - mean));
        }
    });
    dx
}
