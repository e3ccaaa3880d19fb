//! Convolution with any stride, zero padding, dilation and groups, images last.

use candle_core::{Result, Tensor};
use repmlp_kernels::{ConvGeometry, Epilogue, LinearMap, add_bias, conv2d, conv2d_with_epilogue};

use crate::vars::{Init, Scope, joined};

/// Sizes of a convolution with a square kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// C.
    pub inputs: usize,
    /// O.
    pub outputs: usize,
    /// K.
    pub kernel: usize,
    /// g, a divisor of C and O.
    pub groups: usize,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Zeros around the map.
    pub padding: usize,
    /// Pixels from one tap to the next.
    pub dilation: usize,
}

impl ConvShape {
    /// Stride 1 and padding ⌊K/2⌋: an odd kernel keeps the map, as everywhere inside RepMLP (paper section 3.1).
    pub fn same(inputs: usize, outputs: usize, kernel: usize, groups: usize) -> Self {
        Self { inputs, outputs, kernel, groups, stride: 1, padding: kernel / 2, dilation: 1 }
    }

    /// A dense 1×1 convolution: the paper's FC(O, C) applied to every pixel.
    pub fn pointwise(inputs: usize, outputs: usize) -> Self {
        Self::same(inputs, outputs, 1, 1)
    }

    /// (O, C/g, K, K).
    pub fn weight_dims(self) -> (usize, usize, usize, usize) {
        (self.outputs, self.inputs / self.groups, self.kernel, self.kernel)
    }

    /// Inputs of one output pixel.
    pub fn fan_in(self) -> usize {
        self.inputs / self.groups * self.kernel * self.kernel
    }

    /// Weights.
    pub fn weights(self) -> usize {
        self.outputs * self.fan_in()
    }

    /// The map that an H×W map becomes; `None` where the kernel does not fit even once.
    pub fn output_map(self, map: (usize, usize)) -> Option<(usize, usize)> {
        let reach = self.dilation * (self.kernel.checked_sub(1)?) + 1;
        let side = |size: usize| Some((size + 2 * self.padding).checked_sub(reach)? / self.stride + 1);
        Some((side(map.0)?, side(map.1)?))
    }

    /// Multiply-adds on an H×W map without those whose tap lies on padding; 0 where the kernel does not fit even once.
    pub fn flops_inside(self, map: (usize, usize)) -> usize {
        let Some((h, w)) = self.output_map(map) else { return 0 };
        let inside = |size: usize, outputs: usize| -> usize {
            let taps = (0..outputs).flat_map(|o| (0..self.kernel).map(move |k| o * self.stride + k * self.dilation));
            taps.filter(|place| (self.padding..self.padding + size).contains(place)).count()
        };
        self.outputs * (self.inputs / self.groups) * inside(map.0, h) * inside(map.1, w)
    }

    fn geometry(self) -> ConvGeometry {
        let Self { stride, padding, dilation, groups, .. } = self;
        let [stride, padding, dilation] = [stride, padding, dilation].map(|size| (size, size));
        ConvGeometry { stride, padding, dilation, groups }
    }

    /// What it does with its weight.
    pub(crate) fn map(self) -> LinearMap {
        LinearMap::Conv2d(self.geometry())
    }

    /// Whether the layer is the same FC on every pixel, so that it commutes with whatever treats pixels alike.
    pub fn is_pointwise(self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0 && self.groups == 1
    }
}

/// Weight (O, C/g, K, K) and, perhaps, bias (O).
#[derive(Clone)]
pub struct Conv2d {
    /// (O, C/g, K, K).
    pub weight: Tensor,
    /// (O).
    pub bias: Option<Tensor>,
    shape: ConvShape,
}

impl Conv2d {
    /// Without a bias, as before batch norm.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn without_bias(shape: ConvShape, scope: &Scope<'_>) -> Result<Self> {
        let weight = scope.parameter("weight", shape.weight_dims(), Init::FanIn(shape.fan_in()))?;
        Ok(Self { weight, bias: None, shape })
    }

    /// With a bias.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(shape: ConvShape, scope: &Scope<'_>) -> Result<Self> {
        let bias = Some(scope.parameter("bias", shape.outputs, Init::FanIn(shape.fan_in()))?);
        Ok(Self { bias, ..Self::without_bias(shape, scope)? })
    }

    /// Its sizes.
    pub fn shape(&self) -> ConvShape {
        self.shape
    }

    /// A convolution of the same sizes with these numbers.
    #[must_use]
    pub fn with(&self, weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, shape: self.shape }
    }

    /// (C, H, W, N) → (O, H', W', N).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let y = conv2d(x_chwn, &self.weight, self.shape.geometry())?;
        match &self.bias {
            Some(bias) => add_bias(&y, bias),
            None => Ok(y),
        }
    }

    /// The same and what follows it, of a deployed layer: no gradient passes.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(crate) fn deployed_with_epilogue(&self, x_chwn: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => conv2d_with_epilogue(x_chwn, &self.weight, bias, self.shape.geometry(), epilogue),
            None => epilogue.after(&self.forward(x_chwn)?),
        }
    }

    /// The same layer cut off from its variables: it records no graph, and later steps do not move it.
    #[must_use]
    pub fn detached(&self) -> Self {
        self.with(self.weight.detach(), self.bias.as_ref().map(Tensor::detach))
    }

    /// Shows weight and bias to `visit`, named below `at`.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        visit(&joined(at, "weight"), &mut self.weight)?;
        self.bias.as_mut().map_or(Ok(()), |bias| visit(&joined(at, "bias"), bias))
    }
}

/// What walks over the named tensors of a deployed network, to list or to replace them.
pub type Visitor<'a> = dyn FnMut(&str, &mut Tensor) -> Result<()> + 'a;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_on_padding_are_not_counted() {
        let same = ConvShape::same(6, 4, 3, 2);
        // Along 5 places of a same convolution with K = 3, the first and the last lack a tap; on one place, only the middle tap is left.
        assert_eq!(same.flops_inside((5, 1)), 4 * 3 * 13);
        // A kernel of the map's size twice over sees each pixel of 7×7 from each: 49·49.
        assert_eq!(ConvShape::same(1, 1, 13, 1).flops_inside((7, 7)), 49 * 49);
        // Stride 2 on 5 places: outputs at −1, 1 and 3 see 2, 3 and 2.
        assert_eq!(ConvShape { stride: 2, ..ConvShape::same(1, 1, 3, 1) }.flops_inside((5, 5)), 49);
        assert_eq!(ConvShape { padding: 0, ..same }.flops_inside((2, 5)), 0);
    }
}
