//! The algebra of paper sections 3.3 and 3.4: batch norm into the layer before it, a convolution into an FC kernel.
//!
//! The one owner of both formulas. All of it is linear in the weights and differentiable.

use candle_core::{Result, Tensor};
use repmlp_kernels::grouped_fc;

use crate::layers::BatchNorm;

/// Batch norm into the layer before it (Eq. 16): weight (O, …) → weight scaled by γ/σ for each output, and bias (O).
///
/// # Errors
/// When the norm has another number of channels than the weight has outputs.
pub fn fuse_bn(weight: &Tensor, bn: &BatchNorm) -> Result<(Tensor, Tensor)> {
    let (scale, shift) = bn.scale_and_shift()?;
    let outputs = weight.dim(0)?;
    let fused = weight.flatten_from(1)?.broadcast_mul(&scale.unsqueeze(1)?)?.reshape(weight.shape())?;
    debug_assert_eq!(scale.dims(), [outputs]);
    Ok((fused.detach(), shift))
}

/// Batch norm into the FC layer after it (appendix of the paper): each of the norm's channels feeds `copies` neighbouring
/// inputs. weight (Q, channels·copies), bias (Q) → the same shapes.
///
/// # Errors
/// When the shapes do not fit.
pub fn fuse_bn_before_fc(weight: &Tensor, bias: &Tensor, bn: &BatchNorm, copies: usize) -> Result<(Tensor, Tensor)> {
    let (scale, shift) = bn.scale_and_shift()?;
    let replicate = |t: Tensor| {
        let channels = t.dim(0)?;
        t.unsqueeze(1)?.expand((channels, copies))?.flatten_all()
    };
    let (scale, shift) = (replicate(scale)?, replicate(shift)?);
    let bias = (bias + grouped_fc(&shift.unsqueeze(1)?, weight, 1)?.squeeze(1)?)?;
    Ok((weight.broadcast_mul(&scale.unsqueeze(0)?)?.detach(), bias.detach()))
}

/// A convolution on an h×w map as an FC kernel (Eq. 15): (O, C/g, Kʰ, Kʷ) → (O·h·w, C/g·h·w), for zero padding ⌊K/2⌋ and
/// the paper's channel-major flattening (c, y, x) on both sides.
///
/// The paper's algorithm reshapes to (O·h·w/g, C·h·w), which is right for C = O only; here C and O are free.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv_to_fc(kernel: &Tensor, map: (usize, usize)) -> Result<Tensor> {
    repmlp_kernels::conv_to_fc(kernel, map)
}
