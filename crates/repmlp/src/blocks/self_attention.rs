//! Multi-head self-attention with relative positions (BoTNet, Srinivas et al. 2021), one of the paper's baselines.
//!
//! y = BN(MHSA(x)). The output is linear in the values, so the scale of the norm can be merged into the projection of
//! the values. The deployed form has only the projection, the positions and one shift.

use candle_core::{Result, Tensor};
use repmlp_kernels::{Heads, RelativePositions, attention_on_map};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::blocks::BlockKind;
use crate::cost::{Account, LayerCost};
use crate::layers::{BatchNorm, Conv2d, ConvShape, Visitor};
use crate::network::{BlockSpec, DeployedBlock, LayerSpec, Node, Site, TrainingBlock, identity, sum};
use crate::vars::{Init, Scope, joined};
use crate::{ConfigFault, Mode};

/// Configuration of multi-head self-attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfAttentionConfig {
    /// Number of heads; a divisor of the channels. BoTNet: 4.
    #[serde(default = "four")]
    pub heads: usize,
}

/// All sizes of self-attention. Its input has C channels, its output heads·`head_dim_v` channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfAttentionShape {
    /// Input channels, C.
    pub channels: usize,
    /// Number of heads.
    pub heads: usize,
    /// Height and width of the map.
    pub map: (usize, usize),
    /// Channels of a query and of a key in one head.
    pub head_dim_qk: usize,
    /// Channels of a value in one head.
    pub head_dim_v: usize,
}

fn four() -> usize {
    4
}

impl SelfAttentionShape {
    /// Sizes of attention whose heads share the channels evenly.
    pub fn even(site: Site, heads: usize) -> Self {
        let d = site.channels / heads;
        Self { channels: site.channels, heads, map: site.map, head_dim_qk: d, head_dim_v: d }
    }

    fn projection(self) -> ConvShape {
        ConvShape::pointwise(self.channels, self.heads * (2 * self.head_dim_qk + self.head_dim_v))
    }

    fn outputs(self) -> usize {
        self.heads * self.head_dim_v
    }
}

impl BlockSpec for SelfAttentionConfig {
    fn faults(&self, Site { channels, .. }: Site, key: &str) -> Vec<ConfigFault> {
        if self.heads > 0 && channels.is_multiple_of(self.heads) {
            return Vec::new();
        }
        let message = format!("{} heads do not divide {channels} channels", self.heads);
        vec![ConfigFault::new(format!("{key}.heads"), message)]
    }

    fn account(&self, site: Site, at: &str, account: &mut Account) {
        let (channels, (h, w)) = (site.channels, site.map);
        let (pixels, head_dim) = (h * w, channels / self.heads);
        account.add(LayerCost {
            name: joined(at, "qkv"),
            shape: vec![3 * channels, channels, 1, 1],
            params: 3 * channels * channels + account.norm_params(channels),
            flops: 3 * channels * channels * pixels,
            output: [3 * channels, h, w],
            kept: 3 * channels * pixels,
            ..LayerCost::default()
        });
        account.add(LayerCost {
            name: joined(at, "pos_embed"),
            shape: vec![2 * h - 1 + 2 * w - 1, head_dim],
            params: (2 * h - 1 + 2 * w - 1) * head_dim,
            activation_flops: 2 * channels * pixels * pixels + channels * pixels * (h + w),
            output: [channels, h, w],
            // The attention output, the output of the norm, and two numbers for each query and head.
            kept: 2 * (channels + self.heads) * pixels,
            ..LayerCost::default()
        });
    }

    fn description(&self, input: Site) -> Option<Value> {
        let SelfAttentionShape { channels, heads, map, head_dim_qk, head_dim_v } =
            SelfAttentionShape::even(input, self.heads);
        Some(json!({
            "layer": "self-attention",
            "channels": channels,
            "heads": heads,
            "map": map,
            "head_dim_qk": head_dim_qk,
            "head_dim_v": head_dim_v,
        }))
    }

    fn build(&self, input: Site, scope: &Scope<'_>) -> Result<Box<dyn TrainingBlock>> {
        Ok(Box::new(SelfAttention::new(SelfAttentionShape::even(input, self.heads), scope)?))
    }
}

/// Attention without batch norm. Names of its parts: `qkv`, `pos_embed.height_rel`, `pos_embed.width_rel`.
#[derive(Clone)]
pub struct Attention {
    shape: SelfAttentionShape,
    qkv: Conv2d,
    height_rel: Tensor,
    width_rel: Tensor,
}

/// The training form: attention followed by batch norm with the name `norm`.
pub struct SelfAttention {
    attention: Attention,
    norm: BatchNorm,
}

/// The deployed form. The scale of the norm is merged into the projection of the values. Its shift is added after the
/// attention.
#[derive(Clone)]
pub struct DeployedSelfAttention {
    attention: Attention,
    shift: Tensor,
}

impl Attention {
    /// Creates the attention with its variables in `scope`.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn new(shape: SelfAttentionShape, scope: &Scope<'_>) -> Result<Self> {
        let (d, (h, w)) = (shape.head_dim_qk, shape.map);
        let positions = scope.enter("pos_embed");
        let init = Init::Deviation(1.0 / (d as f64).sqrt());
        Ok(Self {
            shape,
            qkv: Conv2d::without_bias(shape.projection(), &scope.enter("qkv"))?,
            height_rel: positions.parameter("height_rel", (2 * h - 1, d), init)?,
            width_rel: positions.parameter("width_rel", (2 * w - 1, d), init)?,
        })
    }

    /// Forward pass: (C, H, W, N) → (heads·`head_dim_v`, H, W, N).
    ///
    /// # Errors
    /// When the map has a different size.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let SelfAttentionShape { heads, head_dim_qk, .. } = self.shape;
        let heads = Heads { count: heads, scale: 1.0 / (head_dim_qk as f64).sqrt() };
        let positions = RelativePositions { height: &self.height_rel, width: &self.width_rel };
        attention_on_map(&self.qkv.forward(x_chwn)?, heads, positions)
    }
}

impl SelfAttention {
    /// Creates attention and norm with their variables in `scope`.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn new(shape: SelfAttentionShape, scope: &Scope<'_>) -> Result<Self> {
        let norm = BatchNorm::new(shape.outputs(), &scope.enter("norm"))?;
        Ok(Self { attention: Attention::new(shape, scope)?, norm })
    }

    /// Forward pass: (C, H, W, N) → (heads·`head_dim_v`, H, W, N).
    ///
    /// # Errors
    /// When the map has a different size.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.norm.forward(&self.attention.forward(x_chwn)?, mode)
    }

    /// Returns the deployed form.
    ///
    /// # Errors
    /// When candle fails.
    pub fn reparameterize(&self) -> Result<DeployedSelfAttention> {
        let (scale, shift) = self.norm.scale_and_shift()?;
        let Attention { shape, qkv, height_rel, width_rel } = &self.attention;
        let ones = Tensor::ones(2 * shape.heads * shape.head_dim_qk, scale.dtype(), scale.device())?;
        let row_scale = Tensor::cat(&[&ones, &scale], 0)?.unsqueeze(1)?;
        let weight = qkv.weight.flatten_from(1)?.broadcast_mul(&row_scale)?.reshape(qkv.weight.shape())?;
        let attention = Attention {
            shape: *shape,
            qkv: qkv.with(weight.detach(), None),
            height_rel: height_rel.detach(),
            width_rel: width_rel.detach(),
        };
        Ok(DeployedSelfAttention { attention, shift })
    }
}

impl DeployedSelfAttention {
    /// Forward pass: (C, H, W, N) → (heads·`head_dim_v`, H, W, N).
    ///
    /// # Errors
    /// When the map has a different size.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let y = self.attention.forward(x_chwn)?;
        y.broadcast_add(&self.shift.reshape(((), 1, 1, 1))?)
    }

    /// Calls `visit` for each tensor. The names start with `at`.
    ///
    /// # Errors
    /// When `visit` fails.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        let Attention { qkv, height_rel, width_rel, .. } = &mut self.attention;
        qkv.visit(&joined(at, "qkv"), visit)?;
        visit(&joined(at, "pos_embed.height_rel"), height_rel)?;
        visit(&joined(at, "pos_embed.width_rel"), width_rel)?;
        visit(&joined(at, "shift"), &mut self.shift)
    }
}

impl TrainingBlock for SelfAttention {
    fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward(x_chwn, mode)
    }

    fn reparameterize(&self) -> Result<Box<dyn DeployedBlock>> {
        Ok(Box::new(self.reparameterize()?))
    }
}

impl DeployedBlock for DeployedSelfAttention {
    fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        self.forward(x_chwn)
    }

    fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        self.visit(at, visit)
    }

    fn boxed(&self) -> Box<dyn DeployedBlock> {
        Box::new(self.clone())
    }
}

impl BlockKind for SelfAttentionConfig {
    fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault> {
        BlockSpec::faults(self, site, key)
    }

    fn node(&self, _site: Site, key: &str) -> Node<LayerSpec> {
        sum([("", identity()), ("", LayerSpec::block(self.clone(), key).into())])
    }
}
