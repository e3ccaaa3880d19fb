//! Batch normalisation of a matrix's rows with the statistics of the batch.
//!
//! Two passes over memory forward and two backward, where a composite takes more than twenty.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::{
    IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut,
};

use crate::element::{TASK_ELEMENTS, for_dtype, has_kernel, slice, with_slice};
use crate::sums::{pair_sum, sum};

/// Mean and biased variance of each row, both (R), cut off from the gradient.
pub struct Moments {
    /// Means.
    pub mean: Tensor,
    /// Variances with divisor M.
    pub variance: Tensor,
}

/// γ·(x − mean)/√(variance + eps) + β for each row of x (R, M), statistics over the M columns; γ and β are (R).
///
/// The gradient treats the statistics as functions of x, as training does.
///
/// # Errors
/// When the shapes do not fit.
pub fn batch_norm(x_rm: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<(Tensor, Moments)> {
    let rows = x_rm.dim(0)?;
    if gamma.dims() != [rows] || beta.dims() != [rows] || x_rm.rank() != 2 {
        bail!("batch norm of {:?} with gamma {:?} and beta {:?}", x_rm.dims(), gamma.dims(), beta.dims());
    }
    if !has_kernel(x_rm) {
        return composite(x_rm, gamma, beta, eps);
    }
    let x_rm = x_rm.contiguous()?;
    let (dtype, device) = (x_rm.dtype(), x_rm.device());
    let moments = for_dtype!(dtype, T => with_slice::<T, _>(&x_rm, |x| moments(x, rows))?);
    let tensor = |of: fn(&(f64, f64)) -> f64| {
        Tensor::from_vec(moments.iter().map(of).collect::<Vec<_>>(), rows, device)?.to_dtype(dtype)
    };
    let stored = Moments { mean: tensor(|m| m.0)?, variance: tensor(|m| m.1)? };
    let scales = moments.iter().map(|&(mean, variance)| (mean, 1.0 / (variance + eps).sqrt())).collect();
    Ok((x_rm.apply_op3(&gamma.contiguous()?, &beta.contiguous()?, Normalise { scales })?, stored))
}

/// The same with candle's operations.
pub(crate) fn composite(x_rm: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<(Tensor, Moments)> {
    let mean = x_rm.mean_keepdim(1)?;
    let centred = x_rm.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    let normal = centred.broadcast_div(&(&variance + eps)?.sqrt()?)?;
    let y = normal.broadcast_mul(&gamma.unsqueeze(1)?)?.broadcast_add(&beta.unsqueeze(1)?)?;
    Ok((y, Moments { mean: mean.squeeze(1)?.detach(), variance: variance.squeeze(1)?.detach() }))
}

/// Mean and biased variance of each row.
fn moments<T: WithDType>(x: &[T], rows: usize) -> Vec<(f64, f64)> {
    let columns = x.len() / rows;
    let of_row = |row: &[T]| {
        let mean = sum(row, |x| x) / columns as f64;
        // About the mean, not the mean of squares: that would cancel.
        (mean, sum(row, |x| (x - mean) * (x - mean)) / columns as f64)
    };
    x.par_chunks(columns).with_min_len(rows_a_task(columns)).map(of_row).collect()
}

fn rows_a_task(columns: usize) -> usize {
    (TASK_ELEMENTS / columns).max(1)
}

/// Carries mean and 1/σ of each row from the forward pass to the backward pass.
struct Normalise {
    scales: Vec<(f64, f64)>,
}

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gamma: &CpuStorage,
        gamma_layout: &Layout,
        beta: &CpuStorage,
        beta_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(x.dtype(), T => T::to_cpu_storage_owned(forward(
            slice::<T>(x, x_layout)?,
            slice::<T>(gamma, gamma_layout)?,
            slice::<T>(beta, beta_layout)?,
            &self.scales,
        )));
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let device = x.device();
        for_dtype!(x.dtype(), T => {
            let gradients = with_slice::<T, _>(x, |x| with_slice::<T, _>(dy, |dy| {
                with_slice::<T, _>(gamma, |gamma| backward(x, dy, gamma, &self.scales))
            }))???;
            Ok((
                Some(Tensor::from_vec(gradients.x, x.shape(), device)?),
                Some(Tensor::from_vec(gradients.gamma, gamma.shape(), device)?),
                Some(Tensor::from_vec(gradients.beta, beta.shape(), device)?),
            ))
        })
    }
}

fn forward<T: WithDType>(x: &[T], gamma: &[T], beta: &[T], scales: &[(f64, f64)]) -> Vec<T> {
    let columns = x.len() / scales.len();
    let mut y = vec![T::zero(); x.len()];
    y.par_chunks_mut(columns).zip(x.par_chunks(columns)).enumerate().with_min_len(rows_a_task(columns)).for_each(
        |(r, (y, x))| {
            let (mean, inverse_sigma) = scales[r];
            let scale = gamma[r].to_f64() * inverse_sigma;
            let (mean, scale, beta) = (T::from_f64(mean), T::from_f64(scale), beta[r]);
            for (y, &x) in y.iter_mut().zip(x) {
                *y = (x - mean) * scale + beta;
            }
        },
    );
    y
}

struct Gradients<T> {
    x: Vec<T>,
    gamma: Vec<T>,
    beta: Vec<T>,
}

/// dx = γ/σ · (dy − mean(dy) − x̂ · mean(dy·x̂)), dγ = Σ dy·x̂, dβ = Σ dy, with x̂ = (x − mean)/σ.
fn backward<T: WithDType>(x: &[T], dy: &[T], gamma: &[T], scales: &[(f64, f64)]) -> Gradients<T> {
    let columns = x.len() / scales.len();
    let sums: Vec<(f64, f64)> = (0..scales.len())
        .into_par_iter()
        .with_min_len(rows_a_task(columns))
        .map(|r| {
            let (x, dy) = (&x[r * columns..][..columns], &dy[r * columns..][..columns]);
            let (mean, inverse_sigma) = scales[r];
            (sum(dy, |dy| dy), pair_sum(x, dy, |x, dy| (x - mean) * dy) * inverse_sigma)
        })
        .collect();
    let mut dx = vec![T::zero(); x.len()];
    dx.par_chunks_mut(columns)
        .zip(x.par_chunks(columns).zip(dy.par_chunks(columns)))
        .enumerate()
        .with_min_len(rows_a_task(columns))
        .for_each(|(r, (dx, (x, dy)))| {
            let (mean, inverse_sigma) = scales[r];
            let (d_beta, d_gamma) = sums[r];
            let scale = gamma[r].to_f64() * inverse_sigma;
            let mean_dy = d_beta / columns as f64;
            let slope = d_gamma / columns as f64 * inverse_sigma;
            // In f64: a row of dx sums to zero, and what is before the norm relies on it (the gradient of a bias is that sum). A
            // mean rounded to f32 would be missing from every column alike.
            for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                *dx = T::from_f64(scale * (dy.to_f64() - mean_dy - (x.to_f64() - mean) * slope));
            }
        });
    Gradients {
        x: dx,
        gamma: sums.iter().map(|s| T::from_f64(s.1)).collect(),
        beta: sums.iter().map(|s| T::from_f64(s.0)).collect(),
    }
}
