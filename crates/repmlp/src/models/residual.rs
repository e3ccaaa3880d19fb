//! The residual blocks of Fig. 3 and Fig. 5 of the paper as trees of layers: the original bottleneck, the RepMLP
//! Bottleneck and the RepMLP Light Block. Batch norm follows every convolution, and `ReLU` follows the addition.

use crate::blocks::{GlobalContextConfig, NonLocalConfig, RepMlpConfig, SelfAttentionConfig};
use crate::models::part::{Part, part, relu};
use crate::network::{ConvBnSpec, Fixed, LayerSpec, Node, chain, identity, sum};

/// Sizes of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Residual {
    /// Input channels.
    pub(super) inputs: usize,
    /// Channels of the 3×3 convolution.
    pub(super) middle: usize,
    /// Output channels.
    pub(super) outputs: usize,
    /// Stride of the 3×3 convolution and of the shortcut.
    pub(super) stride: usize,
    /// Dilation of the 3×3 convolution.
    pub(super) dilation: usize,
}

impl Residual {
    /// The bottleneck: 1×1 (→ middle), 3×3, 1×1 (→ outputs).
    pub(super) fn bottleneck(self) -> Node<LayerSpec> {
        let spatial = LayerSpec::conv_bn(self.middle, 3).stride(self.stride).dilation(self.dilation);
        self.around_spatial([part("conv2", spatial), relu()], [])
    }

    /// The bottleneck with a global context block in front of the addition.
    pub(super) fn with_global_context(self, config: &GlobalContextConfig, key: &str) -> Node<LayerSpec> {
        let spatial = LayerSpec::conv_bn(self.middle, 3).stride(self.stride).dilation(self.dilation);
        let context = LayerSpec::block(config.clone(), key);
        self.around_spatial([part("conv2", spatial), relu()], [part("context", context)])
    }

    /// The bottleneck with self-attention instead of the 3×3 convolution (BoTNet). A stride of 2 becomes 2×2 average
    /// pooling.
    pub(super) fn with_self_attention(self, config: &SelfAttentionConfig, key: &str) -> Node<LayerSpec> {
        let attention = LayerSpec::block(config.clone(), key);
        let mut spatial = vec![part("attention", attention), relu()];
        if self.stride > 1 {
            spatial.push(part("", Fixed::AveragePool { kernel: self.stride }));
        }
        self.around_spatial(spatial, [])
    }

    fn around_spatial(
        self,
        spatial: impl IntoIterator<Item = Part>,
        last: impl IntoIterator<Item = Part>,
    ) -> Node<LayerSpec> {
        let mut body = vec![part("conv1", LayerSpec::conv_bn(self.middle, 1)), relu()];
        body.extend(spatial);
        body.push(part("conv3", LayerSpec::conv_bn(self.outputs, 1)));
        body.extend(last);
        self.add_shortcut(body)
    }

    /// The RepMLP Bottleneck: 1×1 (→ m), 3×3 (m → m/r), RepMLP, 3×3 (m/r → m), 1×1 (→ outputs), where m are the middle
    /// channels.
    pub(super) fn rep_mlp_bottleneck(self, reduction: usize, rep_mlp: &RepMlpConfig, key: &str) -> Node<LayerSpec> {
        let inner = self.middle / reduction;
        let block = LayerSpec::block(rep_mlp.clone(), key);
        self.add_shortcut(vec![
            part("btnk_conv1", LayerSpec::conv_bn(self.middle, 1)),
            relu(),
            part("btnk_conv2", LayerSpec::conv_bn(inner, 3)),
            relu(),
            part("btnk_repmlp", block),
            relu(),
            part("btnk_conv4", LayerSpec::conv_bn(self.middle, 3)),
            relu(),
            part("btnk_conv5", LayerSpec::conv_bn(self.outputs, 1)),
        ])
    }

    /// The RepMLP Light Block: 1×1 (→ outputs/reduction), RepMLP, 1×1 (→ outputs).
    pub(super) fn rep_mlp_light(self, reduction: usize, rep_mlp: &RepMlpConfig, key: &str) -> Node<LayerSpec> {
        let inner = self.outputs / reduction;
        let block = LayerSpec::block(rep_mlp.clone(), key);
        self.add_shortcut(vec![
            part("light_conv1", LayerSpec::conv_bn(inner, 1)),
            relu(),
            part("light_repmlp", block),
            relu(),
            part("light_conv3", LayerSpec::conv_bn(self.outputs, 1)),
        ])
    }

    /// The bottleneck with a non-local block in front of it.
    pub(super) fn behind_non_local(self, config: &NonLocalConfig, key: &str) -> Node<LayerSpec> {
        let block = LayerSpec::block(config.clone(), key);
        chain([part("non_local", block), part("", self.bottleneck())])
    }

    fn add_shortcut(self, body: Vec<Part>) -> Node<LayerSpec> {
        let projection: Option<ConvBnSpec> = (self.stride != 1 || self.inputs != self.outputs)
            .then(|| LayerSpec::conv_bn(self.outputs, 1).stride(self.stride));
        let shortcut = projection.map_or_else(|| part("", identity()), |conv| part("shortcut", conv));
        chain([part("", sum([part("", chain(body)), shortcut])), relu()])
    }
}
