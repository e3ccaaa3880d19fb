//! Layers as data. A description does not contain the channels and the map of the input; they follow from the layer's
//! position in the network.

use std::sync::Arc;

use candle_core::{Result, bail};

use crate::ConfigFault;
use crate::cost::{Account, CountedForm, LayerCost};
use crate::layers::{ConvBn, ConvShape, DropoutSpec};
use crate::network::{BlockSpec, Fc3Shape, Fixed, Node};
use crate::vars::joined;

/// Channels and map size at one position of a network, for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Channels.
    pub channels: usize,
    /// Height and width of the map.
    pub map: (usize, usize),
}

/// Description of a layer: its kind and sizes.
#[derive(Clone, Debug)]
pub enum LayerSpec {
    /// A convolution and batch norm. Their names are `conv` and `bn`.
    ConvBn(ConvBnSpec),
    /// A 1×1 convolution with a bias.
    Pointwise {
        /// Output channels, O.
        outputs: usize,
    },
    /// An FC layer with a bias, on a 1×1 map.
    Linear {
        /// Outputs, Q.
        outputs: usize,
    },
    /// An FC layer without a bias, followed by batch norm, on a 1×1 map. Both names are in the same scope.
    LinearBn {
        /// Outputs, Q.
        outputs: usize,
        /// Name of the FC layer.
        fc: &'static str,
        /// Name of the batch norm.
        bn: &'static str,
    },
    /// Batch norm, a 1×1 convolution, and batch norm again. In the deployed form they are one convolution. Both names
    /// are in the same scope.
    NormConvBn {
        /// Name of the first batch norm.
        norm: &'static str,
        /// Name of the convolution and the batch norm after it.
        conv_bn: &'static str,
        /// Output channels, O.
        outputs: usize,
    },
    /// Batch norm that no neighbouring layer can absorb. In the deployed form it is a scale and a shift.
    Norm,
    /// `ReLU` with a learnt slope for negative numbers, one per channel.
    PRelu,
    /// Dropout or stochastic depth. The deployed form does not have this layer.
    Dropout(DropoutSpec),
    /// A layer without variables.
    Fixed(Fixed),
    /// A block.
    Block {
        /// The block.
        spec: Arc<dyn BlockSpec>,
        /// Key of its configuration, for faults.
        key: String,
    },
}

/// Description of a convolution with batch norm. By default it has stride 1, padding that keeps the map size, and one
/// group.
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
    /// Sets the stride.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Sets the dilation, and the padding that keeps the map size at stride 1.
    #[must_use]
    pub fn dilation(self, dilation: usize) -> Self {
        Self { dilation, padding: dilation * (self.kernel / 2), ..self }
    }

    /// Sets the padding to 0.
    #[must_use]
    pub fn unpadded(self) -> Self {
        Self { padding: 0, ..self }
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Returns the sizes of the convolution for `inputs` input channels.
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
    /// Describes a K×K convolution with batch norm.
    pub fn conv_bn(outputs: usize, kernel: usize) -> ConvBnSpec {
        ConvBnSpec { outputs, kernel, stride: 1, padding: kernel / 2, dilation: 1, groups: 1 }
    }

    /// Describes a block. `key` is the key of its configuration.
    pub fn block(spec: impl BlockSpec + 'static, key: &str) -> Self {
        Self::Block { spec: Arc::new(spec), key: key.to_owned() }
    }

    /// Returns channels and map of the output; `None` if a window is larger than the padded map.
    pub fn output(&self, site: Site) -> Option<Site> {
        let Site { channels, map } = site;
        Some(match self {
            Self::ConvBn(conv) => Site { channels: conv.outputs, map: conv.shape(channels).output_map(map)? },
            Self::Pointwise { outputs } | Self::NormConvBn { outputs, .. } => Site { channels: *outputs, map },
            Self::Linear { outputs } | Self::LinearBn { outputs, .. } => Site { channels: *outputs, map: (1, 1) },
            Self::Fixed(layer) => layer.output(site)?,
            Self::Block { spec, .. } => spec.output(site),
            Self::Norm | Self::PRelu | Self::Dropout(_) => site,
        })
    }

    /// Returns the sizes of the layer's FC3. See [`BlockSpec::fc3`].
    pub(crate) fn fc3(&self, site: Site) -> Option<Fc3Shape> {
        if let Self::Block { spec, .. } = self { spec.fc3(site) } else { None }
    }

    /// Like [`Self::output`], but returns an error instead of `None`.
    pub(crate) fn fitting_output(&self, site: Site) -> Result<Site> {
        match self.output(site) {
            Some(output) => Ok(output),
            None => bail!("{self:?} does not fit into a {}x{} map", site.map.0, site.map.1),
        }
    }

    /// Returns the faults that prevent building the layer at `site`.
    pub(crate) fn faults(&self, site: Site) -> Vec<ConfigFault> {
        let Site { channels, map: (h, w) } = site;
        match self {
            Self::Block { spec, key } => spec.faults(site, key),
            Self::ConvBn(conv)
                if !channels.is_multiple_of(conv.groups) || !conv.outputs.is_multiple_of(conv.groups) =>
            {
                let (groups, outputs) = (conv.groups, conv.outputs);
                let message = format!(
                    "{groups} groups of a convolution do not divide its {channels} input and {outputs} output channels"
                );
                vec![ConfigFault::new("model", message)]
            }
            _ if self.output(site).is_none() => {
                let message = format!("too small: a convolution or pooling window does not fit into its {h}x{w} map");
                vec![ConfigFault::new("data.image_size", message)]
            }
            _ => Vec::new(),
        }
    }

    /// Adds the costs of the layer at `site` to `account`.
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
                // In the deployed form, the first norm is merged into the convolution.
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
            // What has faults is reported, and there is nothing to count.
            Self::Block { spec, key } => {
                if spec.faults(site, key).is_empty() {
                    spec.account(site, at, account);
                }
            }
            Self::Dropout(dropout) if account.form() == CountedForm::Training => {
                account.add(plain(Vec::new(), 0, 0, dropout.kept(channels, site.map)));
            }
            Self::Dropout(_) => {}
            Self::Fixed(layer) => account.add(plain(Vec::new(), 0, 0, layer.kept(numbers))),
        }
    }
}
