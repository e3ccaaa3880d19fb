//! Layers of the training form. They have variables, update running statistics in training, and can be converted to
//! deployed layers.

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::{Epilogue, relu};

use crate::Mode;
use crate::layers::{BatchNorm, Conv2d, ConvBn, ConvShape, Dropout, Linear};
use crate::network::node::MayBeRelu;
use crate::network::{Activation, DeployedLayer, Fixed, LayerSpec, Site, TrainingBlock};
use crate::reparam::fuse_bn;
use crate::vars::{Init, Scope, joined};

/// A layer of the training form. Layers without variables are the same in both forms, except for dropout, which the
/// deployed form does not have.
pub enum Layer {
    /// A convolution and batch norm.
    ConvBn(ConvBn),
    /// A 1×1 convolution with a bias.
    Pointwise(Conv2d),
    /// An FC layer with a bias.
    Linear(Linear),
    /// An FC layer and batch norm, and the name of the FC layer in the deployed form.
    LinearBn(Linear, BatchNorm, &'static str),
    /// Batch norm, a 1×1 convolution and batch norm again, and the name of the convolution with its norm.
    NormConvBn(BatchNorm, ConvBn, &'static str),
    /// A single batch norm.
    Norm(BatchNorm),
    /// `ReLU` with a learnt slope for negative numbers, one per channel: (C).
    PRelu(Tensor),
    /// A block.
    Block(Box<dyn TrainingBlock>),
    /// Dropout or stochastic depth.
    Dropout(Dropout),
    /// A layer without variables.
    Fixed(Fixed),
}

impl Layer {
    /// Builds the layer for an input at `site`, with its variables in `scope`.
    ///
    /// # Errors
    /// When the layer cannot be built at `site` or a variable name is already used.
    pub(crate) fn new(spec: &LayerSpec, site: Site, scope: &Scope<'_>) -> Result<Self> {
        let Site { channels, .. } = site;
        if let Some(fault) = spec.faults(site).first() {
            bail!("{fault}");
        }
        Ok(match spec {
            LayerSpec::ConvBn(conv) => Self::ConvBn(ConvBn::new(conv.shape(channels), scope)?),
            LayerSpec::Pointwise { outputs } => {
                Self::Pointwise(Conv2d::new(ConvShape::pointwise(channels, *outputs), scope)?)
            }
            LayerSpec::Linear { outputs } => Self::Linear(Linear::new(channels, *outputs, scope)?),
            LayerSpec::LinearBn { outputs, fc, bn } => {
                let linear = Linear::without_bias(channels, *outputs, &scope.enter(fc))?;
                Self::LinearBn(linear, BatchNorm::new(*outputs, &scope.enter(bn))?, fc)
            }
            LayerSpec::NormConvBn { norm, conv_bn, outputs } => {
                let conv = ConvBn::new(ConvShape::pointwise(channels, *outputs), &scope.enter(conv_bn))?;
                Self::NormConvBn(BatchNorm::new(channels, &scope.enter(norm))?, conv, conv_bn)
            }
            LayerSpec::Norm => Self::Norm(BatchNorm::new(channels, scope)?),
            LayerSpec::PRelu => Self::PRelu(scope.parameter("weight", channels, Init::Constant(0.25))?),
            LayerSpec::Dropout(dropout) => Self::Dropout(Dropout::new(*dropout, scope)),
            LayerSpec::Fixed(layer) => Self::Fixed(*layer),
            LayerSpec::Block { spec, .. } => Self::Block(spec.build(site, scope)?),
        })
    }

    /// Forward pass followed by `epilogue`: (C, H, W, N) → (C', H', W', N).
    pub(crate) fn forward(&self, x_chwn: &Tensor, mode: Mode, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let y_chwn = match self {
            Self::ConvBn(layer) => return layer.forward_with_epilogue(x_chwn, mode, epilogue),
            Self::NormConvBn(norm, conv, _) => {
                return conv.forward_with_epilogue(&norm.forward(x_chwn, mode)?, mode, epilogue);
            }
            Self::Norm(bn) => return bn.forward_with_epilogue(x_chwn, mode, epilogue),
            Self::Block(block) => return block.forward_with_epilogue(x_chwn, mode, epilogue),
            Self::Pointwise(layer) => layer.forward(x_chwn)?,
            Self::Linear(layer) => on_columns(x_chwn, |x| layer.forward(x))?,
            Self::LinearBn(linear, bn, _) => on_columns(x_chwn, |x| bn.forward(&linear.forward(x)?, mode))?,
            Self::PRelu(slope) => p_relu(x_chwn, slope)?,
            Self::Dropout(layer) => layer.forward(x_chwn, mode)?,
            Self::Fixed(layer) => layer.forward(x_chwn)?,
        };
        epilogue.after(&y_chwn)
    }

    /// Returns the deployed form of the layer; `None` if the layer does nothing in the deployed form.
    pub(crate) fn reparameterize(&self) -> Result<Option<DeployedLayer>> {
        Ok(Some(match self {
            Self::Dropout(_) => return Ok(None),
            Self::ConvBn(layer) => DeployedLayer::Conv(layer.reparameterize()?, "conv".to_owned()),
            Self::Pointwise(layer) => DeployedLayer::Conv(layer.detached(), String::new()),
            Self::Linear(layer) => DeployedLayer::Linear(layer.detached(), ""),
            Self::LinearBn(linear, bn, fc) => {
                let (weight, bias) = fuse_bn(&linear.weight, bn)?;
                DeployedLayer::Linear(Linear { weight, bias: Some(bias) }, fc)
            }
            Self::NormConvBn(norm, conv, name) => {
                DeployedLayer::Conv(conv.reparameterize_behind(norm)?, joined(name, "conv"))
            }
            Self::Norm(bn) => {
                let (scale, shift) = bn.scale_and_shift()?;
                DeployedLayer::Affine { scale, shift }
            }
            Self::PRelu(slope) => DeployedLayer::PRelu(slope.detach()),
            Self::Block(block) => DeployedLayer::Block(block.reparameterize()?),
            Self::Fixed(layer) => DeployedLayer::Fixed(*layer),
        }))
    }
}

impl MayBeRelu for Layer {
    fn is_relu(&self) -> bool {
        matches!(self, Self::Fixed(Fixed::Activation(Activation::Relu)))
    }
}

/// Applies an FC layer to a 1×1 map: (P, 1, 1, N) → (Q, 1, 1, N).
pub(crate) fn on_columns(x_chwn: &Tensor, fc: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (c, h, w, n) = x_chwn.dims4()?;
    if (h, w) != (1, 1) {
        bail!("an FC layer needs a 1x1 map; its input is {h}x{w}");
    }
    let y = fc(&x_chwn.reshape((c, n))?)?;
    let outputs = y.dim(0)?;
    y.reshape((outputs, 1, 1, n))
}

/// Computes max(x, 0) + slope·min(x, 0).
pub(crate) fn p_relu(x_chwn: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let negative = relu(&x_chwn.neg()?)?;
    relu(x_chwn)? - negative.broadcast_mul(&slope.reshape(((), 1, 1, 1))?)?
}
