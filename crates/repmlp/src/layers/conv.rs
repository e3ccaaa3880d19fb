//! Convolution with stride 1, odd square kernel, zero padding ⌊K/2⌋ and groups, images last.

use candle_core::{Result, Tensor};
use repmlp_kernels::unfold;

use crate::reparam::conv_to_fc;
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
        let (_, _, w, _) = x_chwn.dims4()?;
        let (o, _, k, _) = self.weight.dims4()?;
        // Unfolding writes K² numbers for a pixel; an FC along rows multiplies W numbers where K would do. The first costs
        // memory traffic, the second only work that a matrix product does at full speed.
        let y = if k * k > w { self.forward_by_rows(x_chwn)? } else { self.forward_by_pixels(x_chwn)? };
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.reshape((o, 1, 1, 1))?),
            None => Ok(y),
        }
    }

    /// One product with the neighbourhood of every pixel.
    fn forward_by_pixels(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let (_, h, w, n) = x_chwn.dims4()?;
        let (o, c_per_group, k, _) = self.weight.dims4()?;
        let columns = if k == 1 { x_chwn.flatten_from(1)? } else { unfold(x_chwn, (k, k))? };
        let columns = columns.reshape((self.groups, c_per_group * k * k, h * w * n))?;
        let weight = self.weight.reshape((self.groups, o / self.groups, c_per_group * k * k))?;
        weight.matmul(&columns)?.reshape((o, h, w, n))
    }

    /// One product with the neighbouring rows of every row: along a row the convolution is an FC layer (Eq. 15 on a map of
    /// one row, where each row of the kernel counts as a channel).
    fn forward_by_rows(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let (c, h, w, n) = x_chwn.dims4()?;
        let (o, c_per_group, k, _) = self.weight.dims4()?;
        let rows = unfold(x_chwn, (k, 1))?.reshape((c * k, h, w, n))?.permute((0, 2, 1, 3))?;
        let rows = rows.reshape((self.groups, c_per_group * k * w, h * n))?;
        let fc = conv_to_fc(&self.weight.reshape((o, c_per_group * k, 1, k))?, (1, w))?;
        let fc = fc.reshape((self.groups, o / self.groups * w, c_per_group * k * w))?;
        fc.matmul(&rows)?.reshape((o, w, h, n))?.permute((0, 2, 1, 3))?.contiguous()
    }

    /// The same layer cut off from its variables: it records no graph, and later steps do not move it.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { weight: self.weight.detach(), bias: self.bias.as_ref().map(Tensor::detach), groups: self.groups }
    }

    /// Weight and bias, named below `prefix`.
    pub fn tensors(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let bias = self.bias.iter().map(|bias| (format!("{prefix}.bias"), bias.clone()));
        std::iter::once((format!("{prefix}.weight"), self.weight.clone())).chain(bias).collect()
    }
}
