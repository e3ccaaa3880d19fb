//! The composites of batch norm, for GPUs: as few operations as the statistics allow.

use candle_core::{D, Result, Tensor};

use crate::batch_norm::Moments;
use crate::composed::{Passed, detached, with_gradient};
use crate::epilogue::Epilogue;

/// The composite of `batch_norm_with_epilogue`.
pub(crate) fn composite(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    epilogue: Epilogue<'_>,
) -> Result<(Tensor, Moments)> {
    let [x_only, gamma_only, beta_only] = detached([x, gamma, beta]);
    let centred = Centred::of(&x_only.reshape((gamma.dim(0)?, ()))?, eps)?;
    let scale = (gamma_only.unsqueeze(1)? * &centred.inverse)?;
    let y = centred.numbers.broadcast_mul(&scale)?.broadcast_add(&beta_only.unsqueeze(1)?)?.reshape(x.shape())?;
    let Centred { mean, variance, inverse, .. } = centred;
    let moments = Moments { mean: mean.squeeze(1)?, variance: variance.squeeze(1)? };
    // Only x is kept, and centred again: memory is scarcer than time.
    let y = with_gradient([x, gamma, beta], y, move |passed: &Passed<3>| {
        let [x, gamma, _] = &passed.inputs;
        let (rows, dy) = (gamma.dim(0)?, &passed.dy);
        let numbers = x.reshape((rows, ()))?.broadcast_sub(&mean)?;
        let dy = dy.reshape((rows, ()))?;
        let sum = dy.sum_keepdim(1)?;
        let (dx, d_gamma) = gradient(&numbers, &inverse, &gamma.unsqueeze(1)?, (&dy, &sum))?;
        Ok([Some(dx.reshape(x.shape())?), Some(d_gamma.squeeze(1)?), Some(sum.squeeze(1)?)])
    })?;
    Ok((epilogue.after(&y)?, moments))
}

/// The composite of `affine_with_epilogue`.
pub(crate) fn composite_affine(x: &Tensor, scale: &Tensor, shift: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
    let [x_only, scale, shift] = detached([x, scale, shift]);
    let x_rm = x_only.reshape((scale.dim(0)?, ()))?;
    let y_rm = x_rm.broadcast_mul(&scale.unsqueeze(1)?)?.broadcast_add(&shift.unsqueeze(1)?)?;
    Ok(epilogue.after(&y_rm.reshape(x.shape())?)?.detach())
}

/// Rows along the last dimension minus their means, with their statistics, (…, 1).
pub(crate) struct Centred {
    pub(crate) numbers: Tensor,
    pub(crate) mean: Tensor,
    pub(crate) variance: Tensor,
    /// 1/√(variance + eps).
    pub(crate) inverse: Tensor,
}

impl Centred {
    /// Centres rows that are not recorded in a graph.
    pub(crate) fn of(rows: &Tensor, eps: f64) -> Result<Self> {
        let mean = rows.mean_keepdim(D::Minus1)?;
        let numbers = rows.broadcast_sub(&mean)?;
        let variance = numbers.sqr()?.mean_keepdim(D::Minus1)?;
        let inverse = variance.affine(1.0, eps)?.powf(-0.5)?;
        Ok(Self { numbers, mean, variance, inverse })
    }
}

/// Returns the gradients of the rows (R, L) and of γ (R, 1), given the centred rows, 1/√(variance + eps), γ, and dy
/// with the sum of each of its rows.
pub(crate) fn gradient(
    centred: &Tensor,
    inverse: &Tensor,
    gamma: &Tensor,
    (dy, sum): (&Tensor, &Tensor),
) -> Result<(Tensor, Tensor)> {
    let share = 1.0 / centred.dim(D::Minus1)? as f64;
    let d_gamma = ((dy * centred)?.sum_keepdim(D::Minus1)? * inverse)?;
    // dx = γ·inverse·(dy − mean dy − normal·mean(dy·normal)), with normal = centred·inverse.
    let along = centred.broadcast_mul(&((&d_gamma * inverse)? * share)?)?;
    let dx = (dy - along)?.broadcast_sub(&(sum * share)?)?.broadcast_mul(&(gamma * inverse)?)?;
    Ok((dx, d_gamma))
}
