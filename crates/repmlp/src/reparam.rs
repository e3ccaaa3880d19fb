//! The conversions of paper sections 3.3 and 3.4: merging batch norm into a neighbouring layer, and turning a
//! convolution into an FC kernel.
//!
//! Both formulas are implemented only here. They are linear in the weights.

use candle_core::{Result, Tensor};
use repmlp_kernels::grouped_fc;

use crate::layers::BatchNorm;

/// Merges batch norm into the layer before it (Eq. 16). Returns the weight (O, …), with each output scaled by γ/σ, and
/// the bias (O).
///
/// # Errors
/// When the norm does not have O channels.
pub fn fuse_bn(weight: &Tensor, bn: &BatchNorm) -> Result<(Tensor, Tensor)> {
    let (scale, shift) = bn.scale_and_shift()?;
    let outputs = weight.dim(0)?;
    let fused = weight.flatten_from(1)?.broadcast_mul(&scale.unsqueeze(1)?)?.reshape(weight.shape())?;
    debug_assert_eq!(scale.dims(), [outputs]);
    Ok((fused.detach(), shift))
}

/// Merges batch norm into the FC layer after it (appendix of the paper). Each channel of the norm feeds `copies`
/// neighbouring inputs of the layer. Returns weight (Q, channels·copies) and bias (Q) in the same shapes.
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

/// Returns the FC kernel that equals a convolution on an h×w map (Eq. 15): (O, C/g, Kʰ, Kʷ) → (O·h·w, C/g·h·w). The
/// convolution has zero padding ⌊K/2⌋. Inputs and outputs are flattened channel-major, (c, y, x), as in the paper.
///
/// The paper's algorithm reshapes to (O·h·w/g, C·h·w), which is correct only if C = O. This function accepts any C and
/// O.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv_to_fc(kernel: &Tensor, map: (usize, usize)) -> Result<Tensor> {
    repmlp_kernels::conv_to_fc(kernel, map)
}
