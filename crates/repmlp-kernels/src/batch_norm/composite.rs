//! The composites of batch norm, from candle's own operations.

use candle_core::{Result, Tensor};

use crate::batch_norm::Moments;
use crate::epilogue::Epilogue;

/// The composite of `batch_norm_with_epilogue`.
pub(crate) fn composite(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    epilogue: Epilogue<'_>,
) -> Result<(Tensor, Moments)> {
    let x_rm = x.reshape((gamma.dim(0)?, ()))?;
    let mean = x_rm.mean_keepdim(1)?;
    let centred = x_rm.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    let normal = centred.broadcast_div(&(&variance + eps)?.sqrt()?)?;
    let y_rm = normal.broadcast_mul(&gamma.unsqueeze(1)?)?.broadcast_add(&beta.unsqueeze(1)?)?;
    let moments = Moments { mean: mean.squeeze(1)?.detach(), variance: variance.squeeze(1)?.detach() };
    Ok((epilogue.after(&y_rm.reshape(x.shape())?)?, moments))
}

/// The composite of `affine_with_epilogue`.
pub(crate) fn composite_affine(x: &Tensor, scale: &Tensor, shift: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
    let x_rm = x.reshape((scale.dim(0)?, ()))?;
    let y_rm = x_rm.broadcast_mul(&scale.unsqueeze(1)?)?.broadcast_add(&shift.unsqueeze(1)?)?;
    Ok(epilogue.after(&y_rm.reshape(x.shape())?)?.detach())
}
