//! A layer of the training form.

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::{PoolGeometry, max_pool2d, relu};

use crate::Mode;
use crate::blocks::{GlobalContext, NonLocal, RepMlpBlock, SelfAttention, SelfAttentionShape, ShareSetMlp};
use crate::layers::{BatchNorm, Conv2d, ConvBn, ConvShape, Linear};
use crate::network::{Activation, DeployedLayer, LayerSpec, Site, resample};
use crate::reparam::fuse_bn;
use crate::vars::{Init, Scope};

/// A layer while training. What has no variables is the same in both forms.
pub enum Layer {
    /// A convolution and batch norm.
    ConvBn(ConvBn),
    /// A 1×1 convolution with a bias.
    Pointwise(Conv2d),
    /// An FC layer with a bias.
    Linear(Linear),
    /// An FC layer, batch norm, and both their names.
    LinearBn(Linear, BatchNorm, &'static str),
    /// Batch norm alone.
    Norm(BatchNorm),
    /// `ReLU` with a slope (C) for negative numbers.
    PRelu(Tensor),
    /// See [`RepMlpBlock`].
    RepMlp(RepMlpBlock),
    /// See [`ShareSetMlp`].
    ShareSetMlp(ShareSetMlp),
    /// See [`NonLocal`].
    NonLocal(NonLocal),
    /// See [`GlobalContext`].
    GlobalContext(GlobalContext),
    /// See [`SelfAttention`].
    SelfAttention(SelfAttention),
    /// A layer without variables.
    Fixed(Fixed),
}

/// A layer without variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// A function of each number.
    Activation(Activation),
    /// The largest of each window.
    MaxPool(PoolGeometry),
    /// The mean of each window of K×K.
    AveragePool(usize),
    /// The mean of the map.
    GlobalAverage,
    /// Means of b×b bins.
    AdaptiveAverage(usize),
    /// Bilinear.
    Resize((usize, usize)),
    /// The map's pixels as channels.
    Flatten,
}

impl Layer {
    /// The layer at `site` with its variables below `scope`.
    ///
    /// # Errors
    /// When the layer does not fit there or a name is taken.
    pub(crate) fn new(spec: &LayerSpec, site: Site, scope: &Scope<'_>) -> Result<Self> {
        let Site { channels, map } = site;
        if let Some(fault) = spec.faults(site).first() {
            bail!("{fault}");
        }
        let fixed = match spec {
            LayerSpec::ConvBn(conv) => return Ok(Self::ConvBn(ConvBn::new(conv.shape(channels), scope)?)),
            LayerSpec::Pointwise { outputs } => {
                return Ok(Self::Pointwise(Conv2d::new(ConvShape::pointwise(channels, *outputs), scope)?));
            }
            LayerSpec::Linear { outputs } => return Ok(Self::Linear(Linear::new(channels, *outputs, scope)?)),
            LayerSpec::LinearBn { outputs, fc, bn } => {
                let linear = Linear::without_bias(channels, *outputs, &scope.enter(fc))?;
                return Ok(Self::LinearBn(linear, BatchNorm::new(*outputs, &scope.enter(bn))?, fc));
            }
            LayerSpec::Norm => return Ok(Self::Norm(BatchNorm::new(channels, scope)?)),
            LayerSpec::PRelu => return Ok(Self::PRelu(scope.parameter("weight", channels, Init::Constant(0.25))?)),
            LayerSpec::RepMlp { config, outputs, .. } => {
                let Some(shape) = config.shape(channels, *outputs, map) else {
                    bail!("partitions {:?} do not divide the map {map:?}", config.partition);
                };
                return Ok(Self::RepMlp(RepMlpBlock::new(config, shape, scope)?));
            }
            LayerSpec::ShareSetMlp { shape, .. } => {
                return Ok(Self::ShareSetMlp(ShareSetMlp::new(shape, site, scope)?));
            }
            LayerSpec::NonLocal { config, .. } => {
                return Ok(Self::NonLocal(NonLocal::new(config.shape(channels), scope)?));
            }
            LayerSpec::GlobalContext { config, .. } => {
                return Ok(Self::GlobalContext(GlobalContext::new(config.shape(channels), scope)?));
            }
            LayerSpec::SelfAttention { config, .. } => {
                let shape = SelfAttentionShape::even(site, config.heads);
                return Ok(Self::SelfAttention(SelfAttention::new(shape, scope)?));
            }
            LayerSpec::Activation(activation) => Fixed::Activation(*activation),
            LayerSpec::MaxPool { kernel, stride, padding } => Fixed::MaxPool(PoolGeometry {
                kernel: (*kernel, *kernel),
                stride: (*stride, *stride),
                padding: (*padding, *padding),
            }),
            LayerSpec::AveragePool { kernel } => Fixed::AveragePool(*kernel),
            LayerSpec::GlobalAverage => Fixed::GlobalAverage,
            LayerSpec::AdaptiveAverage { bins } => Fixed::AdaptiveAverage(*bins),
            LayerSpec::Resize { map } => Fixed::Resize(*map),
            LayerSpec::Flatten => Fixed::Flatten,
        };
        Ok(Self::Fixed(fixed))
    }

    /// (C, H, W, N) → (C', H', W', N).
    pub(crate) fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::ConvBn(layer) => layer.forward(x_chwn, mode),
            Self::Pointwise(layer) => layer.forward(x_chwn),
            Self::Linear(layer) => on_columns(x_chwn, |x| layer.forward(x)),
            Self::LinearBn(linear, bn, _) => on_columns(x_chwn, |x| bn.forward(&linear.forward(x)?, mode)),
            Self::Norm(bn) => bn.forward(x_chwn, mode),
            Self::PRelu(slope) => p_relu(x_chwn, slope),
            Self::RepMlp(block) => block.forward(x_chwn, mode),
            Self::ShareSetMlp(block) => block.forward(x_chwn, mode),
            Self::NonLocal(block) => block.forward(x_chwn, mode),
            Self::GlobalContext(block) => block.forward(x_chwn),
            Self::SelfAttention(block) => block.forward(x_chwn, mode),
            Self::Fixed(layer) => layer.forward(x_chwn),
        }
    }

    /// The deployed form of the same function.
    pub(crate) fn reparameterize(&self) -> Result<DeployedLayer> {
        Ok(match self {
            Self::ConvBn(layer) => DeployedLayer::ConvBn(layer.reparameterize()?),
            Self::Pointwise(layer) => DeployedLayer::Pointwise(layer.detached()),
            Self::Linear(layer) => DeployedLayer::Linear(layer.detached(), ""),
            Self::LinearBn(linear, bn, fc) => {
                let (weight, bias) = fuse_bn(&linear.weight, bn)?;
                DeployedLayer::Linear(Linear { weight, bias: Some(bias) }, fc)
            }
            Self::Norm(bn) => {
                let (scale, shift) = bn.scale_and_shift()?;
                DeployedLayer::Affine { scale, shift }
            }
            Self::PRelu(slope) => DeployedLayer::PRelu(slope.detach()),
            Self::RepMlp(block) => DeployedLayer::RepMlp(block.reparameterize()?),
            Self::ShareSetMlp(block) => DeployedLayer::ShareSetMlp(block.reparameterize()?),
            Self::NonLocal(block) => DeployedLayer::NonLocal(block.reparameterize()?),
            Self::GlobalContext(block) => DeployedLayer::GlobalContext(block.detached()),
            Self::SelfAttention(block) => DeployedLayer::SelfAttention(block.reparameterize()?),
            Self::Fixed(layer) => DeployedLayer::Fixed(*layer),
        })
    }
}

impl Fixed {
    /// (C, H, W, N) → (C', H', W', N).
    pub(crate) fn forward(self, x_chwn: &Tensor) -> Result<Tensor> {
        let (c, h, w, n) = x_chwn.dims4()?;
        match self {
            Self::Activation(Activation::Relu) => relu(x_chwn),
            Self::Activation(Activation::Silu) => x_chwn.silu(),
            Self::Activation(Activation::Gelu) => x_chwn.gelu_erf(),
            Self::Activation(Activation::Sigmoid) => candle_nn::ops::sigmoid(x_chwn),
            Self::MaxPool(geometry) => max_pool2d(x_chwn, geometry),
            Self::AveragePool(k) => resample::resample(x_chwn, &resample::windows(h, k), &resample::windows(w, k)),
            Self::GlobalAverage => x_chwn.reshape((c, h * w, n))?.mean(1)?.reshape((c, 1, 1, n)),
            Self::AdaptiveAverage(b) => resample::resample(x_chwn, &resample::bins(h, b), &resample::bins(w, b)),
            Self::Resize((to_h, to_w)) => {
                resample::resample(x_chwn, &resample::bilinear(h, to_h), &resample::bilinear(w, to_w))
            }
            Self::Flatten => x_chwn.reshape((c * h * w, 1, 1, n)),
        }
    }
}

/// An FC layer on a 1×1 map: (P, 1, 1, N) → (Q, 1, 1, N).
pub(crate) fn on_columns(x_chwn: &Tensor, fc: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (c, h, w, n) = x_chwn.dims4()?;
    if (h, w) != (1, 1) {
        bail!("an FC layer stands on a 1x1 map, not on {h}x{w}");
    }
    let y = fc(&x_chwn.reshape((c, n))?)?;
    let outputs = y.dim(0)?;
    y.reshape((outputs, 1, 1, n))
}

/// max(x, 0) + slope·min(x, 0).
pub(crate) fn p_relu(x_chwn: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let negative = relu(&x_chwn.neg()?)?;
    relu(x_chwn)? - negative.broadcast_mul(&slope.reshape(((), 1, 1, 1))?)?
}
