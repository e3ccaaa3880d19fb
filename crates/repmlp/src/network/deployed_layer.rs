//! Layers of the deployed form. None of them contains batch norm.

use candle_core::{Result, Tensor};
use repmlp_kernels::{Epilogue, affine_with_epilogue};

use crate::layers::{Conv2d, Linear, Visitor};
use crate::network::layer::{on_columns, p_relu};
use crate::network::node::MayBeRelu;
use crate::network::{Activation, DeployedBlock, Fixed};
use crate::vars::joined;

/// A layer of the deployed form, for inference.
#[derive(Clone)]
pub enum DeployedLayer {
    /// A convolution with a bias, and the name of its variables.
    Conv(Conv2d, String),
    /// An FC layer with a bias, and the name of its variables.
    Linear(Linear, &'static str),
    /// A scale and a shift for each channel: a former batch norm that no neighbouring layer could absorb.
    Affine {
        /// Scale, (C).
        scale: Tensor,
        /// Shift, (C).
        shift: Tensor,
    },
    /// `ReLU` with a slope for negative numbers, one per channel: (C).
    PRelu(Tensor),
    /// A block.
    Block(Box<dyn DeployedBlock>),
    /// A layer without variables.
    Fixed(Fixed),
}

impl DeployedLayer {
    /// Forward pass followed by `epilogue`: (C, H, W, N) → (C', H', W', N).
    pub(crate) fn forward(&self, x_chwn: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let y_chwn = match self {
            Self::Conv(layer, _) => return layer.deployed_with_epilogue(x_chwn, epilogue),
            Self::Affine { scale, shift } => return affine_with_epilogue(x_chwn, scale, shift, epilogue),
            Self::Block(block) => return block.forward_with_epilogue(x_chwn, epilogue),
            Self::Linear(layer, _) => on_columns(x_chwn, |x| layer.forward(x))?,
            Self::PRelu(slope) => p_relu(x_chwn, slope)?,
            Self::Fixed(layer) => layer.forward(x_chwn)?,
        };
        epilogue.after(&y_chwn)
    }

    /// Calls `visit` for each tensor. The names start with `at`.
    pub(crate) fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        match self {
            Self::Conv(layer, name) => layer.visit(&joined(at, name), visit),
            Self::Linear(layer, name) => layer.visit(&joined(at, name), visit),
            Self::Affine { scale, shift } => {
                visit(&joined(at, "scale"), scale)?;
                visit(&joined(at, "shift"), shift)
            }
            Self::PRelu(slope) => visit(&joined(at, "weight"), slope),
            Self::Block(block) => block.visit(at, visit),
            Self::Fixed(_) => Ok(()),
        }
    }
}

impl MayBeRelu for DeployedLayer {
    fn is_relu(&self) -> bool {
        matches!(self, Self::Fixed(Fixed::Activation(Activation::Relu)))
    }
}
