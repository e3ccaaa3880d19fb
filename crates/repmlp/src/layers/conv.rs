//! Convolution with any stride, zero padding, dilation and number of groups. Images are the last dimension.

use candle_core::{Result, Tensor};
use repmlp_kernels::{ConvGeometry, Epilogue, LinearMap, add_bias, conv2d, conv2d_with_epilogue};

use crate::vars::{Init, Scope, joined};

/// Sizes of a convolution with a square kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Input channels, C.
    pub inputs: usize,
    /// Output channels, O.
    pub outputs: usize,
    /// Side K of the kernel.
    pub kernel: usize,
    /// Groups g, a divisor of C and O.
    pub groups: usize,
    /// Distance between neighbouring outputs, in input pixels.
    pub stride: usize,
    /// Width of the border of zeros around the map.
    pub padding: usize,
    /// Distance between neighbouring taps, in input pixels.
    pub dilation: usize,
}

impl ConvShape {
    /// Sizes of a convolution with stride 1 and padding ⌊K/2⌋. With an odd kernel the map keeps its size, as everywhere
    /// in RepMLP (paper section 3.1).
    pub fn same(inputs: usize, outputs: usize, kernel: usize, groups: usize) -> Self {
        Self { inputs, outputs, kernel, groups, stride: 1, padding: kernel / 2, dilation: 1 }
    }

    /// Sizes of a dense 1×1 convolution: the paper's FC(O, C), applied to every pixel.
    pub fn pointwise(inputs: usize, outputs: usize) -> Self {
        Self::same(inputs, outputs, 1, 1)
    }

    /// Shape of the weight: (O, C/g, K, K).
    pub fn weight_dims(self) -> (usize, usize, usize, usize) {
        (self.outputs, self.inputs / self.groups, self.kernel, self.kernel)
    }

    /// Number of inputs of one output pixel.
    pub fn fan_in(self) -> usize {
        self.inputs / self.groups * self.kernel * self.kernel
    }

    /// Number of weights.
    pub fn weights(self) -> usize {
        self.outputs * self.fan_in()
    }

    /// Returns height and width of the output for an H×W map; `None` if the kernel is larger than the padded map.
    pub fn output_map(self, map: (usize, usize)) -> Option<(usize, usize)> {
        let reach = self.dilation * (self.kernel.checked_sub(1)?) + 1;
        let side = |size: usize| Some((size + 2 * self.padding).checked_sub(reach)? / self.stride + 1);
        Some((side(map.0)?, side(map.1)?))
    }

    /// Number of multiply-adds on an H×W map, without those whose tap lies on padding. Returns 0 if the kernel is
    /// larger than the padded map.
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

    /// The convolution as an operation of `repmlp_kernels`.
    pub(crate) fn map(self) -> LinearMap {
        LinearMap::Conv2d(self.geometry())
    }

    /// Whether the layer applies the same dense FC layer to every pixel.
    pub fn is_pointwise(self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0 && self.groups == 1
    }
}

/// A convolution with an optional bias.
#[derive(Clone)]
pub struct Conv2d {
    /// Weight, (O, C/g, K, K).
    pub weight: Tensor,
    /// Bias, (O).
    pub bias: Option<Tensor>,
    shape: ConvShape,
}

impl Conv2d {
    /// Creates a convolution without a bias, as used before batch norm.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn without_bias(shape: ConvShape, scope: &Scope<'_>) -> Result<Self> {
        let weight = scope.parameter("weight", shape.weight_dims(), Init::FanIn(shape.fan_in()))?;
        Ok(Self { weight, bias: None, shape })
    }

    /// Creates a convolution with a bias.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn new(shape: ConvShape, scope: &Scope<'_>) -> Result<Self> {
        let bias = Some(scope.parameter("bias", shape.outputs, Init::FanIn(shape.fan_in()))?);
        Ok(Self { bias, ..Self::without_bias(shape, scope)? })
    }

    /// Sizes of the convolution.
    pub fn shape(&self) -> ConvShape {
        self.shape
    }

    /// Returns a convolution of the same sizes with another weight and bias.
    #[must_use]
    pub fn with(&self, weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, shape: self.shape }
    }

    /// Forward pass: (C, H, W, N) → (O, H', W', N).
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

    /// Like [`Self::forward`], followed by `epilogue`. It is only for deployed layers: there is no gradient.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(crate) fn deployed_with_epilogue(&self, x_chwn: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => conv2d_with_epilogue(x_chwn, &self.weight, bias, self.shape.geometry(), epilogue),
            None => epilogue.after(&self.forward(x_chwn)?),
        }
    }

    /// Returns a copy that is detached from the variables. Its passes record no graph, and later training steps do not
    /// change it.
    #[must_use]
    pub fn detached(&self) -> Self {
        self.with(self.weight.detach(), self.bias.as_ref().map(Tensor::detach))
    }

    /// Calls `visit` for weight and bias. The names start with `at`.
    ///
    /// # Errors
    /// When `visit` fails.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        visit(&joined(at, "weight"), &mut self.weight)?;
        self.bias.as_mut().map_or(Ok(()), |bias| visit(&joined(at, "bias"), bias))
    }
}

/// Callback for the named tensors of a deployed network. It can read or replace each tensor.
pub type Visitor<'a> = dyn FnMut(&str, &mut Tensor) -> Result<()> + 'a;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_on_padding_are_not_counted() {
        let same = ConvShape::same(6, 4, 3, 2);
        // Height 5, K = 3: the first and the last output each miss one tap, so 13 of 15 taps are inside. Width 1: only
        // the middle tap is inside.
        assert_eq!(same.flops_inside((5, 1)), 4 * 3 * 13);
        // With K = 13, every output of a 7×7 map sees every pixel: 49·49.
        assert_eq!(ConvShape::same(1, 1, 13, 1).flops_inside((7, 7)), 49 * 49);
        // Stride 2 on 5 pixels: the windows start at −1, 1 and 3 and see 2, 3 and 2 pixels, 7 in total per dimension.
        assert_eq!(ConvShape { stride: 2, ..ConvShape::same(1, 1, 3, 1) }.flops_inside((5, 5)), 49);
        assert_eq!(ConvShape { padding: 0, ..same }.flops_inside((2, 5)), 0);
    }
}
