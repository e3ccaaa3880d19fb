//! Convolution with stride 1, odd square kernel, zero padding ⌊K/2⌋ and groups, images last.

use candle_core::{Result, Tensor};
use repmlp_kernels::unfold;

use crate::vars::{Init, Scope};

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// C.
    pub inputs: usize,
    /// O.
    pub outputs: usize,
    /// K, odd.
    pub kernel: usize,
    /// g, a divisor of C and O.
    pub groups: usize,
}

impl ConvShape {
    /// A dense 1×1 convolution: the paper's FC(O, C) applied to every pixel.
    pub fn pointwise(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, kernel: 1, groups: 1 }
    }

    /// (O, C/g, K, K).
    pub fn weight_dims(self) -> (usize, usize, usize, usize) {
        (self.outputs, self.inputs / self.groups, self.kernel, self.kernel)
    }

    /// Inputs of one output pixel.
    pub fn fan_in(self) -> usize {
        self.inputs / self.groups * self.kernel * self.kernel
    }
}

/// Weight (O, C/g, K, K) and, perhaps, bias (O).
#[derive(Clone)]
pub struct Conv2d {
    /// (O, C/g, K, K).
    pub weight: Tensor,
    /// (O).
    pub bias: Option<Tensor>,
    /// g.
    pub groups: usize,
}

impl Conv2d {
    /// Without a bias, as before batch norm.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn without_bias(shape: ConvShape, scope: &Scope<'_>) -> Result<Self> {
        let weight = scope.parameter("weight", shape.weight_dims(), Init::FanIn(shape.fan_in()))?;
        Ok(Self { weight, bias: None, groups: shape.groups })
    }

    /// With a bias.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(shape: ConvShape, scope: &Scope<'_>) -> Result<Self> {
        let bias = Some(scope.parameter("bias", shape.outputs, Init::FanIn(shape.fan_in()))?);
        Ok(Self { bias, ..Self::without_bias(shape, scope)? })
    }

    /// (C, H, W, N) → (O, H, W, N).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let (_, h, w, n) = x_chwn.dims4()?;
        let (o, c_per_group, k, _) = self.weight.dims4()?;
        let columns = if k == 1 { x_chwn.flatten_from(1)? } else { unfold(x_chwn, k)? };
        let g = self.groups;
        let columns = columns.reshape((g, c_per_group * k * k, h * w * n))?;
        let weight = self.weight.reshape((g, o / g, c_per_group * k * k))?;
        let y = weight.matmul(&columns)?.reshape((o, h * w * n))?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(&bias.unsqueeze(1)?)?,
            None => y,
        };
        y.reshape((o, h, w, n))
    }

    /// Weight and bias, named below `prefix`.
    pub fn tensors(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let bias = self.bias.iter().map(|bias| (format!("{prefix}.bias"), bias.clone()));
        std::iter::once((format!("{prefix}.weight"), self.weight.clone())).chain(bias).collect()
    }
}
