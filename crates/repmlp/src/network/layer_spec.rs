//! A layer as data: what it is asked to be. Its input's channels and map come from where it stands.

use candle_core::{Result, bail};

use crate::ConfigFault;
use crate::blocks::{GlobalContextConfig, NonLocalConfig, RepMlpConfig, SelfAttentionConfig, ShareSetMlpShape};
use crate::cost::{Account, CountedForm, LayerCost};
use crate::layers::{ConvBn, ConvShape};
use crate::network::Node;
use crate::vars::joined;

/// Where a layer stands: what it is given for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Channels.
    pub channels: usize,
    /// Height and width of the map.
    pub map: (usize, usize),
}

/// A kind of layer with its sizes.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerSpec {
    /// A convolution and batch norm. Names: `conv`, `bn`.
    ConvBn(ConvBnSpec),
    /// A 1×1 convolution with a bias.
    Pointwise {
        /// O.
        outputs: usize,
    },
    /// An FC layer with a bias, on a 1×1 map.
    Linear {
        /// Q.
        outputs: usize,
    },
    /// An FC layer without a bias and batch norm, on a 1×1 map. Its two names are siblings.
    LinearBn {
        /// Q.
        outputs: usize,
        /// Name of the FC layer.
        fc: &'static str,
        /// Name of the norm.
        bn: &'static str,
    },
    /// Batch norm alone. Deployed, it is in the 1×1 convolution behind it, or a scale and a shift.
    Norm,
    /// A function of each number.
    Activation(Activation),
    /// `ReLU` with a learnt slope for negative numbers of each channel.
    PRelu,
    /// The largest of each K×K window.
    MaxPool {
        /// K.
        kernel: usize,
        /// Pixels from one window to the next.
        stride: usize,
        /// Border around the map, never the largest.
        padding: usize,
    },
    /// The mean of each K×K window, windows side by side.
    AveragePool {
        /// K.
        kernel: usize,
    },
    /// The mean of the whole map: 1×1.
    GlobalAverage,
    /// Means of b×b bins that cover the map as evenly as whole pixels allow (PSPNet's pyramid pooling).
    AdaptiveAverage {
        /// b.
        bins: usize,
    },
    /// Bilinear, corners upon corners.
    Resize {
        /// Height and width of the result.
        map: (usize, usize),
    },
    /// (C, H, W) as C·H·W channels of a 1×1 map.
    Flatten,
    /// The paper's block.
    RepMlp {
        /// How it is asked for.
        config: RepMlpConfig,
        /// O.
        outputs: usize,
        /// The configuration's key, which faults name.
        key: String,
    },
    /// The block of the paper's successor, RepMLPNet.
    ShareSetMlp {
        /// Its sizes.
        shape: ShareSetMlpShape,
        /// The configuration's key, which faults name.
        key: String,
    },
    /// A non-local block with its shortcut.
    NonLocal {
        /// How it is asked for.
        config: NonLocalConfig,
        /// The configuration's key, which faults name.
        key: String,
    },
    /// A global context block with its shortcut.
    GlobalContext {
        /// How it is asked for.
        config: GlobalContextConfig,
        /// The configuration's key, which faults name.
        key: String,
    },
    /// Self-attention and batch norm, without a shortcut.
    SelfAttention {
        /// How it is asked for.
        config: SelfAttentionConfig,
        /// The configuration's key, which faults name.
        key: String,
    },
}

/// A function of each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x·σ(x).
    Silu,
    /// x·Φ(x), exact.
    Gelu,
    /// σ(x).
    Sigmoid,
}

/// A convolution with batch norm, given O and K; the rest as in most layers: stride 1, the map kept, one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvBnSpec {
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    groups: usize,
}

impl ConvBnSpec {
    /// With another stride.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With taps further apart, the map kept.
    #[must_use]
    pub fn dilation(self, dilation: usize) -> Self {
        Self { dilation, padding: dilation * (self.kernel / 2), ..self }
    }

    /// Without zeros around the map.
    #[must_use]
    pub fn unpadded(self) -> Self {
        Self { padding: 0, ..self }
    }

    /// With groups.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Its sizes for `inputs` channels.
    pub(crate) fn shape(self, inputs: usize) -> ConvShape {
        let Self { outputs, kernel, stride, padding, dilation, groups } = self;
        ConvShape { inputs, outputs, kernel, groups, stride, padding, dilation }
    }

    pub(crate) fn is_pointwise(self) -> bool {
        self.shape(self.outputs).is_pointwise()
    }
}

impl From<ConvBnSpec> for Node<LayerSpec> {
    fn from(spec: ConvBnSpec) -> Self {
        Self::Layer(LayerSpec::ConvBn(spec))
    }
}

impl From<LayerSpec> for Node<LayerSpec> {
    fn from(spec: LayerSpec) -> Self {
        Self::Layer(spec)
    }
}

impl LayerSpec {
    /// A K×K convolution and batch norm.
    pub fn conv_bn(outputs: usize, kernel: usize) -> ConvBnSpec {
        ConvBnSpec { outputs, kernel, stride: 1, padding: kernel / 2, dilation: 1, groups: 1 }
    }

    /// Where the output stands; `None` where a window does not fit into the map even once.
    pub fn output(&self, site: Site) -> Option<Site> {
        let Site { channels, map } = site;
        let windows = |kernel: usize, stride: usize, padding: usize| {
            let side = |size: usize| Some((size + 2 * padding).checked_sub(kernel)? / stride + 1);
            Some((side(map.0)?, side(map.1)?))
        };
        Some(match self {
            Self::ConvBn(conv) => Site { channels: conv.outputs, map: conv.shape(channels).output_map(map)? },
            Self::Pointwise { outputs } => Site { channels: *outputs, map },
            Self::Linear { outputs } | Self::LinearBn { outputs, .. } => Site { channels: *outputs, map: (1, 1) },
            Self::MaxPool { kernel, stride, padding } => Site { channels, map: windows(*kernel, *stride, *padding)? },
            Self::AveragePool { kernel } => Site { channels, map: windows(*kernel, *kernel, 0)? },
            Self::GlobalAverage => Site { channels, map: (1, 1) },
            Self::AdaptiveAverage { bins } => Site { channels, map: (*bins, *bins) },
            Self::Resize { map } => Site { channels, map: *map },
            Self::Flatten => Site { channels: channels * map.0 * map.1, map: (1, 1) },
            Self::RepMlp { outputs, .. } => Site { channels: *outputs, map },
            Self::Norm
            | Self::Activation(_)
            | Self::PRelu
            | Self::ShareSetMlp { .. }
            | Self::NonLocal { .. }
            | Self::GlobalContext { .. }
            | Self::SelfAttention { .. } => site,
        })
    }

    /// The same as a result.
    pub(crate) fn fitting_output(&self, site: Site) -> Result<Site> {
        match self.output(site) {
            Some(output) => Ok(output),
            None => bail!("{self:?} does not fit a {}x{} map", site.map.0, site.map.1),
        }
    }

    /// What cannot be built at `site`.
    pub(crate) fn faults(&self, site: Site) -> Vec<ConfigFault> {
        let Site { channels, map: (h, w) } = site;
        match self {
            Self::RepMlp { config, outputs, key } => config.faults((channels, *outputs), site.map, key),
            Self::ShareSetMlp { shape, key } => shape.faults(site, key),
            Self::NonLocal { config, key } => config.faults(channels, key),
            Self::GlobalContext { config, key } => config.faults(channels, key),
            Self::SelfAttention { config, key } => config.faults(channels, key),
            Self::ConvBn(conv)
                if !channels.is_multiple_of(conv.groups) || !conv.outputs.is_multiple_of(conv.groups) =>
            {
                let (groups, outputs) = (conv.groups, conv.outputs);
                let message =
                    format!("{groups} groups of a convolution do not divide {channels} and {outputs} channels");
                vec![ConfigFault::new("model", message)]
            }
            _ if self.output(site).is_none() => {
                let message = format!("too small: a window of the network does not fit its {h}x{w} map");
                vec![ConfigFault::new("data.image_size", message)]
            }
            Self::AdaptiveAverage { bins } if h.min(w) < *bins => {
                let message = format!("too small: {bins}x{bins} bins of the pyramid do not fit its {h}x{w} map");
                vec![ConfigFault::new("data.image_size", message)]
            }
            _ => Vec::new(),
        }
    }

    /// Adds what the layer costs at `site`.
    pub(crate) fn account(&self, site: Site, at: &str, account: &mut Account) {
        let Site { channels, map: (h, w) } = site;
        let Some(output) = self.output(site) else { return };
        let numbers = output.channels * output.map.0 * output.map.1;
        let plain = |shape: Vec<usize>, params: usize, flops: usize, kept: usize| LayerCost {
            name: at.to_owned(),
            shape,
            params,
            flops,
            activation_flops: 0,
            output: [output.channels, output.map.0, output.map.1],
            kept,
        };
        match self {
            Self::ConvBn(conv) => ConvBn::account(conv.shape(channels), output.map, at, account),
            Self::Pointwise { outputs: o } => {
                let weights = o * channels;
                account.add(plain(vec![*o, channels, 1, 1], weights + o, weights * h * w, 2 * numbers));
            }
            Self::Linear { outputs: o } => {
                account.add(plain(vec![*o, channels], o * channels + o, o * channels, 2 * numbers));
            }
            Self::LinearBn { outputs: o, fc, .. } => {
                let params = o * channels + account.norm_params(*o);
                let cost = plain(vec![*o, channels], params, o * channels, 2 * numbers);
                account.add(LayerCost { name: joined(at, fc), ..cost });
            }
            Self::Norm => {
                let numbers_of_norm = if account.form() == CountedForm::Training { 4 } else { 2 };
                account.add(plain(Vec::new(), numbers_of_norm * channels, 0, numbers));
            }
            Self::PRelu => account.add(plain(Vec::new(), channels, 0, 3 * numbers)),
            Self::RepMlp { config, outputs, .. } => {
                // A partition that does not divide the map is a fault; there is nothing to count then.
                if let Some(shape) = config.shape(channels, *outputs, site.map) {
                    config.account(shape, at, account);
                }
            }
            Self::ShareSetMlp { shape, .. } => shape.account(site, at, account),
            Self::NonLocal { config, .. } => config.account(site, at, account),
            Self::GlobalContext { config, .. } => config.account(site, at, account),
            Self::SelfAttention { config, .. } => config.account(site, at, account),
            // An exact function of each number takes some temporaries with it; the others keep their output.
            Self::Activation(Activation::Silu | Activation::Gelu) => account.add(plain(Vec::new(), 0, 0, 3 * numbers)),
            Self::Activation(Activation::Relu | Activation::Sigmoid)
            | Self::MaxPool { .. }
            | Self::AveragePool { .. }
            | Self::GlobalAverage
            | Self::AdaptiveAverage { .. }
            | Self::Resize { .. } => account.add(plain(Vec::new(), 0, 0, numbers)),
            Self::Flatten => {}
        }
    }
}
