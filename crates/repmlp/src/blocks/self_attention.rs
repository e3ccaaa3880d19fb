//! Multi-head self-attention with relative positions (BoTNet, Srinivas et al. 2021): one of the paper's baselines.
//!
//! y = BN(MHSA(x)). The rows of the attention weights sum to one, so the norm's scale and shift pass through them into
//! the values: merged, only the projection and one shift are left.

use candle_core::{Result, Tensor};
use repmlp_kernels::softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cost::{Account, LayerCost};
use crate::layers::{BatchNorm, Conv2d, ConvShape, Visitor};
use crate::network::Site;
use crate::vars::{Init, Scope, joined};
use crate::{ConfigFault, Mode};

/// Multi-head self-attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfAttentionConfig {
    /// Heads, a divisor of the channels; 4 in BoTNet.
    #[serde(default = "four")]
    pub heads: usize,
}

/// All sizes of the attention: C → heads·`head_dim_v` channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfAttentionShape {
    /// C.
    pub channels: usize,
    /// Heads.
    pub heads: usize,
    /// Height and width of the map.
    pub map: (usize, usize),
    /// Channels of a query and of a key.
    pub head_dim_qk: usize,
    /// Channels of a value.
    pub head_dim_v: usize,
}

fn four() -> usize {
    4
}

impl SelfAttentionShape {
    /// Heads that share the channels evenly.
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

impl SelfAttentionConfig {
    pub(crate) fn faults(&self, channels: usize, key: &str) -> Vec<ConfigFault> {
        if self.heads > 0 && channels.is_multiple_of(self.heads) {
            return Vec::new();
        }
        let message = format!("{} heads do not divide {channels} channels", self.heads);
        vec![ConfigFault::new(format!("{key}.heads"), message)]
    }

    pub(crate) fn account(&self, site: Site, at: &str, account: &mut Account) {
        let (channels, (h, w)) = (site.channels, site.map);
        let (pixels, head_dim) = (h * w, channels / self.heads);
        account.add(LayerCost {
            name: joined(at, "qkv"),
            shape: vec![3 * channels, channels, 1, 1],
            params: 3 * channels * channels + account.norm_params(channels),
            flops: 3 * channels * channels * pixels,
            output: [3 * channels, h, w],
            kept: 6 * channels * pixels,
            ..LayerCost::default()
        });
        account.add(LayerCost {
            name: joined(at, "pos_embed"),
            shape: vec![2 * h - 1 + 2 * w - 1, head_dim],
            params: (2 * h - 1 + 2 * w - 1) * head_dim,
            activation_flops: 2 * channels * pixels * pixels + channels * pixels * (h + w),
            output: [channels, h, w],
            kept: 2 * self.heads * pixels * pixels + 6 * channels * pixels,
            ..LayerCost::default()
        });
    }
}

/// The attention alone. Names: `qkv`, `pos_embed.height_rel`, `pos_embed.width_rel`.
#[derive(Clone)]
pub struct Attention {
    shape: SelfAttentionShape,
    qkv: Conv2d,
    height_rel: Tensor,
    width_rel: Tensor,
}

/// The training form; `norm` beside the attention.
pub struct SelfAttention {
    attention: Attention,
    norm: BatchNorm,
}

/// The inference form: the norm's scale is in the values' part of the projection, its shift behind the attention.
#[derive(Clone)]
pub struct DeployedSelfAttention {
    attention: Attention,
    shift: Tensor,
}

impl Attention {
    /// The attention with its variables below `scope`.
    ///
    /// # Errors
    /// When a name is taken.
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

    /// (C, H, W, N) → (heads·`head_dim_v`, H, W, N).
    ///
    /// # Errors
    /// When the map has another size.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let (_, h, w, n) = x_chwn.dims4()?;
        let SelfAttentionShape { heads, head_dim_qk, head_dim_v, .. } = self.shape;
        let pixels = h * w;
        let projected = self.qkv.forward(x_chwn)?;
        // (heads·d, H, W, N) -> (N·heads, H·W, d)
        let part = |first: usize, d: usize| {
            let part = projected.narrow(0, first, heads * d)?.reshape((heads, d, pixels, n))?;
            part.permute((3, 0, 2, 1))?.reshape((n * heads, pixels, d))
        };
        let (q, k) = (part(0, head_dim_qk)?, part(heads * head_dim_qk, head_dim_qk)?);
        let v = part(2 * heads * head_dim_qk, head_dim_v)?;
        let scaled = (&q * (1.0 / (head_dim_qk as f64).sqrt()))?;
        let (seen_from_x, seen_from_y) = self.positions(&q, (h, w))?;
        // One product gives all three parts: content, place along x, place along y.
        let queries = Tensor::cat(&[&scaled, &seen_from_x, &seen_from_y], 2)?;
        let places = places_of_pixels((h, w), &q)?.unsqueeze(0)?.expand((n * heads, w + h, pixels))?;
        let keys = Tensor::cat(&[k.transpose(1, 2)?, places], 1)?;
        let gathered = softmax(&queries.matmul(&keys)?)?.matmul(&v)?;
        let gathered = gathered.reshape((n, heads, pixels, head_dim_v))?.permute((1, 3, 2, 0))?;
        gathered.reshape((self.shape.outputs(), h, w, n))
    }

    /// How much each pixel wants each column and each row of the map, relative to itself:
    /// q (B, H·W, d) → (B, H·W, W) and (B, H·W, H).
    fn positions(&self, q: &Tensor, (h, w): (usize, usize)) -> Result<(Tensor, Tensor)> {
        let (b, pixels, d) = q.dims3()?;
        let q = q.reshape((b, h, w, d))?;
        let along_x = q.permute((2, 0, 1, 3))?.reshape((w, b * h, d))?.matmul(&relative(&self.width_rel, w)?)?;
        let along_y = q.permute((1, 0, 2, 3))?.reshape((h, b * w, d))?.matmul(&relative(&self.height_rel, h)?)?;
        Ok((
            along_x.reshape((w, b, h, w))?.permute((1, 2, 0, 3))?.reshape((b, pixels, w))?,
            along_y.reshape((h, b, w, h))?.permute((1, 0, 2, 3))?.reshape((b, pixels, h))?,
        ))
    }
}

/// Which column and which row each pixel of the map lies in: (W + H, H·W), ones and zeros, typed and placed like `like`.
fn places_of_pixels((h, w): (usize, usize), like: &Tensor) -> Result<Tensor> {
    let lies = |place: usize, pixel: usize| if place < w { pixel % w == place } else { pixel / w == place - w };
    let values: Vec<u8> =
        (0..w + h).flat_map(|place| (0..h * w).map(move |pixel| u8::from(lies(place, pixel)))).collect();
    Tensor::from_vec(values, (w + h, h * w), like.device())?.to_dtype(like.dtype())
}

/// Embeddings of relative places (2·size − 1, d) → (size, d, size): for each place, those of all places seen from it.
fn relative(table: &Tensor, size: usize) -> Result<Tensor> {
    let d = table.dim(1)?;
    let index: Vec<u32> = (0..size).flat_map(|from| (0..size).map(move |to| (to + size - 1 - from) as u32)).collect();
    let index = Tensor::from_vec(index, size * size, table.device())?;
    table.index_select(&index, 0)?.reshape((size, size, d))?.transpose(1, 2)?.contiguous()
}

impl SelfAttention {
    /// Attention and norm with their variables below `scope`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(shape: SelfAttentionShape, scope: &Scope<'_>) -> Result<Self> {
        let norm = BatchNorm::new(shape.outputs(), &scope.enter("norm"))?;
        Ok(Self { attention: Attention::new(shape, scope)?, norm })
    }

    /// (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// When the map has another size.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.norm.forward(&self.attention.forward(x_chwn)?, mode)
    }

    /// The inference form.
    ///
    /// # Errors
    /// Those of candle.
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
    /// (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// When the map has another size.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let y = self.attention.forward(x_chwn)?;
        y.broadcast_add(&self.shift.reshape(((), 1, 1, 1))?)
    }

    /// Shows its tensors to `visit`, named below `at`.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        let Attention { qkv, height_rel, width_rel, .. } = &mut self.attention;
        qkv.visit(&joined(at, "qkv"), visit)?;
        visit(&joined(at, "pos_embed.height_rel"), height_rel)?;
        visit(&joined(at, "pos_embed.width_rel"), width_rel)?;
        visit(&joined(at, "shift"), &mut self.shift)
    }
}
