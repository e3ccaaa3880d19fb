//! The batch norm operations: their tensors, and the statistics that they keep between the passes.

use std::sync::{Arc, OnceLock};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, WithDType, bail};

use super::rows::{RowMoments, Rows};
use super::{composite, composite_affine};
use crate::element::{for_dtype, has_kernel, slice, with_slices};
use crate::epilogue::{Activation, Epilogue};

/// Mean and biased variance of each row, both (R), detached from the gradient.
pub struct Moments {
    /// Mean of each row.
    pub mean: Tensor,
    /// Variance of each row, with divisor M.
    pub variance: Tensor,
}

impl Moments {
    /// Turns the statistics of rows into tensors.
    pub(crate) fn of(rows: &[RowMoments], dtype: DType) -> Result<Self> {
        let tensor = |of: fn(&RowMoments) -> f64| {
            let all: Vec<f64> = rows.iter().map(of).collect();
            Tensor::from_vec(all, rows.len(), &Device::Cpu)?.to_dtype(dtype)
        };
        Ok(Self { mean: tensor(|m| m.mean)?, variance: tensor(|m| m.variance)? })
    }
}

/// Returns γ·(x − mean)/√(variance + eps) + β for each row of x, followed by the epilogue, and the statistics. The
/// epilogue shares the passes of the norm, forward and backward.
///
/// The rows are the R equal parts of x, whatever its shape: for example the channels of (C, H, W, N), or the pixels of
/// channels. γ and β have the shape (R). The result has the shape of x. The statistics are over the M numbers of a row.
///
/// The gradient treats the statistics as functions of x, as training does.
///
/// # Errors
/// Fails when the shapes do not fit.
pub fn batch_norm_with_epilogue(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    epilogue: Epilogue<'_>,
) -> Result<(Tensor, Moments)> {
    rows_of(x, [gamma, beta], epilogue)?;
    if !has_kernel(x) {
        return composite(x, gamma, beta, eps, epilogue);
    }
    let moments = Arc::new(OnceLock::new());
    let op = BatchNorm { eps, activation: epilogue.activation(), moments: Arc::clone(&moments) };
    let affine = Tensor::stack(&[gamma, beta], 0)?;
    let x = x.contiguous()?;
    let y = match epilogue.addend() {
        None => x.apply_op2(&affine, op)?,
        Some(addend) => x.apply_op3(&affine, &addend.contiguous()?, op)?,
    };
    Ok((y, Moments::of(moments.get().map_or(&[], Vec::as_slice), x.dtype())?))
}

/// Returns scale·x + shift for each row of x, followed by the epilogue, in one pass. This is batch norm with fixed
/// statistics. Scale and shift have the shape (R); rows are as in [`batch_norm_with_epilogue`]. Forward only: the
/// result is detached from the gradient.
///
/// # Errors
/// Fails when the shapes do not fit.
pub fn affine_with_epilogue(x: &Tensor, scale: &Tensor, shift: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
    rows_of(x, [scale, shift], epilogue)?;
    if !has_kernel(x) {
        return composite_affine(x, scale, shift, epilogue);
    }
    let affine = Tensor::stack(&[scale, shift], 0)?;
    let (x, op) = (x.contiguous()?, Affine { activation: epilogue.activation() });
    match epilogue.addend() {
        None => x.apply_op2_no_bwd(&affine, &op),
        Some(addend) => x.apply_op3_no_bwd(&affine, &addend.contiguous()?, &op),
    }
}

/// Returns R. Fails when x cannot be split into R equal rows, or when another shape does not fit.
fn rows_of(x: &Tensor, vectors: [&Tensor; 2], epilogue: Epilogue<'_>) -> Result<usize> {
    let rows = vectors[0].dims1()?;
    if x.elem_count() == 0 || rows == 0 || !x.elem_count().is_multiple_of(rows) {
        bail!("batch norm cannot split {:?} into {rows} equal rows that are not empty", x.dims());
    }
    if vectors[1].dims() != [rows] {
        bail!("batch norm of {rows} rows needs one number per row, not shape {:?}", vectors[1].dims());
    }
    if let Some(addend) = epilogue.addend().filter(|addend| addend.dims() != x.dims()) {
        bail!("batch norm of {:?} plus {:?}: the shapes must be equal", x.dims(), addend.dims());
    }
    Ok(rows)
}

/// The batch norm operation. It carries the statistics from the forward pass to the caller and to the backward pass.
struct BatchNorm {
    eps: f64,
    activation: Activation,
    moments: Arc<OnceLock<Vec<RowMoments>>>,
}

impl BatchNorm {
    fn forward<T: WithDType>(&self, rows: &Rows<'_, T>) -> Vec<T> {
        let (y, moments) = rows.normalise(self.eps);
        // An operation runs once. A second run would compute the same statistics.
        let _same = self.moments.set(moments);
        y
    }

    /// Returns the gradient of x, those of γ and β one after the other, and that of the addend. The last is `None`
    /// where it equals dy.
    fn backward(&self, inputs: [&Tensor; 2], y: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor, Option<Tensor>)> {
        let [x, affine] = inputs;
        let Some(moments) = self.moments.get() else { bail!("a backward pass needs its forward pass") };
        let device = x.device();
        for_dtype!(x.dtype(), T => {
            let gradients = with_slices::<T, _, 4>([x, affine, y, dy], |[x, affine, y, dy]| {
                let rows = Rows { x, affine, addend: None, activation: self.activation };
                rows.gradients(y, dy, moments, self.eps)
            })?;
            let masked = match gradients.masked {
                Some(masked) => Some(Tensor::from_vec(masked, y.shape(), device)?),
                None => None,
            };
            let d_affine = Tensor::from_vec(gradients.affine, affine.shape(), device)?;
            Ok((Tensor::from_vec(gradients.x, x.shape(), device)?, d_affine, masked))
        })
    }
}

struct Affine {
    activation: Activation,
}

macro_rules! forward {
    ($op:ident, |$self:ident, $rows:ident| $y:expr) => {
        impl CustomOp2 for $op {
            fn name(&self) -> &'static str {
                stringify!($op)
            }

            fn cpu_fwd(
                &self,
                x: &CpuStorage,
                x_layout: &Layout,
                affine: &CpuStorage,
                affine_layout: &Layout,
            ) -> Result<(CpuStorage, Shape)> {
                let $self = self;
                let y = for_dtype!(x.dtype(), T => {
                    let (x, affine) = (slice::<T>(x, x_layout)?, slice::<T>(affine, affine_layout)?);
                    let $rows = Rows { x, affine, addend: None, activation: self.activation };
                    T::to_cpu_storage_owned($y)
                });
                Ok((y, x_layout.shape().clone()))
            }

            fn bwd(
                &self,
                x: &Tensor,
                affine: &Tensor,
                y: &Tensor,
                dy: &Tensor,
            ) -> Result<(Option<Tensor>, Option<Tensor>)> {
                let (dx, d_affine, _) = self.backward([x, affine], y, dy)?;
                Ok((Some(dx), Some(d_affine)))
            }
        }

        impl CustomOp3 for $op {
            fn name(&self) -> &'static str {
                stringify!($op)
            }

            fn cpu_fwd(
                &self,
                x: &CpuStorage,
                x_layout: &Layout,
                affine: &CpuStorage,
                affine_layout: &Layout,
                addend: &CpuStorage,
                addend_layout: &Layout,
            ) -> Result<(CpuStorage, Shape)> {
                let $self = self;
                let y = for_dtype!(x.dtype(), T => {
                    let (x, affine) = (slice::<T>(x, x_layout)?, slice::<T>(affine, affine_layout)?);
                    let $rows = Rows {
                        x,
                        affine,
                        addend: Some(slice::<T>(addend, addend_layout)?),
                        activation: self.activation,
                    };
                    T::to_cpu_storage_owned($y)
                });
                Ok((y, x_layout.shape().clone()))
            }

            fn bwd(
                &self,
                x: &Tensor,
                affine: &Tensor,
                _addend: &Tensor,
                y: &Tensor,
                dy: &Tensor,
            ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
                let (dx, d_affine, masked) = self.backward([x, affine], y, dy)?;
                Ok((Some(dx), Some(d_affine), Some(masked.unwrap_or_else(|| dy.clone()))))
            }
        }
    };
}
forward!(BatchNorm, |op, rows| op.forward(&rows));
forward!(Affine, |_op, rows| rows.scale_and_shift());

impl Affine {
    fn backward(&self, _: [&Tensor; 2], _: &Tensor, _: &Tensor) -> Result<(Tensor, Tensor, Option<Tensor>)> {
        bail!("a fixed scale and shift has no gradient")
    }
}
