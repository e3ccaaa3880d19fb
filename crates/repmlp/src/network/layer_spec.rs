//! A layer as data: what it is asked to be. Its input's channels and map come from where it stands.

use candle_core::{Result, bail};

use crate::ConfigFault;
use crate::blocks::{GlobalContextConfig, NonLocalConfig, RepMlpConfig, SelfAttentionConfig, ShareSetMlpShape};
use crate::cost::{Account, CountedForm, LayerCost};
use crate::layers::{ConvBn, ConvShape, DropoutSpec};
use crate::network::{Fixed, Node};
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
    /// Batch norm, a 1×1 convolution and batch norm again: deployed, one convolution. Its two names are siblings.
    NormConvBn {
        /// Name of the norm before.
        norm: &'static str,
        /// Name of the convolution with the norm behind it.
        conv_bn: &'static str,
        /// O.
        outputs: usize,
    },
    /// Batch norm with no layer beside it to take it in: deployed, a scale and a shift.
    Norm,
    /// `ReLU` with a learnt slope for negative numbers of each channel.
    PRelu,
    /// What a training pass leaves out by chance; nothing in the deployed form.
    Dropout(DropoutSpec),
    /// A layer without variables.
    Fixed(Fixed),
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
}

impl From<ConvBnSpec> for Node<LayerSpec> {
    fn from(spec: ConvBnSpec) -> Self {
        Self::Layer(LayerSpec::ConvBn(spec))
    }
}

impl From<Fixed> for Node<LayerSpec> {
    fn from(layer: Fixed) -> Self {
        Self::Layer(LayerSpec::Fixed(layer))
    }
}

impl From<DropoutSpec> for Node<LayerSpec> {
    fn from(spec: DropoutSpec) -> Self {
        Self::Layer(LayerSpec::Dropout(spec))
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
        Some(match self {
            Self::ConvBn(conv) => Site { channels: conv.outputs, map: conv.shape(channels).output_map(map)? },
            Self::Pointwise { outputs } | Self::NormConvBn { outputs, .. } | Self::RepMlp { outputs, .. } => {
                Site { channels: *outputs, map }
            }
            Self::Linear { outputs } | Self::LinearBn { outputs, .. } => Site { channels: *outputs, map: (1, 1) },
            Self::Fixed(layer) => layer.output(site)?,
            Self::Norm
            | Self::PRelu
            | Self::Dropout(_)
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
            padding_flops: 0,
            activation_flops: 0,
            output: [output.channels, output.map.0, output.map.1],
            kept,
        };
        match self {
            Self::ConvBn(conv) => ConvBn::account(conv.shape(channels), site.map, (1, 1), at, account),
            Self::Pointwise { outputs } => {
                account.add(LayerCost::pointwise(at.to_owned(), (channels, *outputs), site.map));
            }
            Self::Linear { outputs: o } => {
                account.add(plain(vec![*o, channels], o * channels + o, o * channels, 2 * numbers));
            }
            Self::LinearBn { outputs: o, fc, .. } => {
                let params = o * channels + account.norm_params(*o);
                let cost = plain(vec![*o, channels], params, o * channels, 2 * numbers);
                account.add(LayerCost { name: joined(at, fc), ..cost });
            }
            Self::NormConvBn { norm, conv_bn, outputs } => {
                // Deployed, the norm before is in the convolution.
                if account.form() == CountedForm::Training {
                    let (params, kept) = (4 * channels, channels * h * w);
                    let output = [channels, h, w];
                    account.add(LayerCost { name: joined(at, norm), params, output, kept, ..LayerCost::default() });
                }
                let conv = ConvShape::pointwise(channels, *outputs);
                ConvBn::account(conv, site.map, (1, 1), &joined(at, conv_bn), account);
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
            Self::Dropout(dropout) if account.form() == CountedForm::Training => {
                account.add(plain(Vec::new(), 0, 0, dropout.kept(channels, site.map)));
            }
            Self::Dropout(_) => {}
            Self::Fixed(layer) => account.add(plain(Vec::new(), 0, 0, layer.kept(numbers))),
        }
    }
}
