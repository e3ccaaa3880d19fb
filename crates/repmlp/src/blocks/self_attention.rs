//! Multi-head self-attention with relative positions (BoTNet, Srinivas et al. 2021), with a shortcut around it: one of
//! the paper's baselines.
//!
//! y = x + BN(MHSA(x)). The rows of the attention weights sum to one, so the norm's scale and shift pass through them
//! into the values: merged, only the projection and one shift are left.

use candle_core::{Result, Tensor};
use repmlp_kernels::softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::Site;
use crate::cost::{Account, CountedForm, Position};
use crate::layers::{BatchNorm, Conv2d, ConvShape};
use crate::vars::{Init, Scope};
use crate::{ConfigFault, Mode};

/// Multi-head self-attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfAttentionConfig {
    /// Heads, a divisor of the channels; 4 in BoTNet.
    #[serde(default = "four")]
    pub heads: usize,
}

fn four() -> usize {
    4
}

impl SelfAttentionConfig {
    pub(crate) fn faults(&self, channels: usize, path: &str) -> Vec<ConfigFault> {
        if self.heads > 0 && channels.is_multiple_of(self.heads) {
            return Vec::new();
        }
        let message = format!("{} heads do not divide {channels} channels", self.heads);
        vec![ConfigFault::new(format!("{path}.heads"), message)]
    }

    pub(crate) fn account(&self, site: Site, at: Position<'_>, account: &mut Account) {
        let (channels, (h, w)) = (site.channels, site.map);
        let pixels = h * w;
        let norm = match account.form() {
            CountedForm::Training => 4 * channels,
            CountedForm::Deployed => channels,
        };
        account.layer(&format!("{at}.qkv"), 3 * channels * channels + norm, 3 * channels * channels * pixels);
        account.layer(&format!("{at}.pos_embed"), (2 * h - 1 + 2 * w - 1) * (channels / self.heads), 0);
        let positions = channels * pixels * (h + w);
        account.activations(&format!("{at}.attention"), 2 * channels * pixels * pixels + positions);
    }
}

/// Projection and positions: what both forms share. Names: `qkv`, `pos_embed.height_rel`, `pos_embed.width_rel`.
struct Attention {
    qkv: Conv2d,
    height_rel: Tensor,
    width_rel: Tensor,
    heads: usize,
}

/// The training form; `norm` beside the attention.
pub struct SelfAttention {
    attention: Attention,
    norm: BatchNorm,
}

/// The inference form: the norm's scale is in the values' part of the projection, its shift behind the attention.
pub struct DeployedSelfAttention {
    attention: Attention,
    shift: Tensor,
}

impl Attention {
    /// (C, H, W, N) → (C, H, W, N).
    fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let (c, h, w, n) = x_chwn.dims4()?;
        let (heads, d, pixels) = (self.heads, c / self.heads, h * w);
        // (3, heads, d, H·W, N) -> (3, N·heads, H·W, d)
        let qkv = self.qkv.forward(x_chwn)?.reshape((3, heads, d, pixels, n))?.permute((0, 4, 1, 3, 2))?;
        let qkv = qkv.reshape((3, n * heads, pixels, d))?;
        let (q, k, v) = (qkv.get(0)?, qkv.get(1)?, qkv.get(2)?);
        let scaled = (&q * (1.0 / (d as f64).sqrt()))?;
        let (seen_from_x, seen_from_y) = self.positions(&q, (h, w))?;
        // One product gives all three parts: content, place along x, place along y.
        let queries = Tensor::cat(&[&scaled, &seen_from_x, &seen_from_y], 2)?;
        let places = places_of_pixels((h, w), &q)?.unsqueeze(0)?.expand((n * heads, w + h, pixels))?;
        let keys = Tensor::cat(&[k.transpose(1, 2)?, places], 1)?;
        let gathered = softmax(&queries.matmul(&keys)?)?.matmul(&v)?;
        gathered.reshape((n, heads, pixels, d))?.permute((1, 3, 2, 0))?.reshape((c, h, w, n))
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
    /// The block at `site`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(config: &SelfAttentionConfig, site: Site, scope: &Scope<'_>) -> Result<Self> {
        let Site { channels, map: (h, w) } = site;
        let d = channels / config.heads;
        let positions = scope.enter("pos_embed");
        let init = Init::Deviation(1.0 / (d as f64).sqrt());
        Ok(Self {
            attention: Attention {
                qkv: Conv2d::without_bias(ConvShape::pointwise(channels, 3 * channels), &scope.enter("qkv"))?,
                height_rel: positions.parameter("height_rel", (2 * h - 1, d), init)?,
                width_rel: positions.parameter("width_rel", (2 * w - 1, d), init)?,
                heads: config.heads,
            },
            norm: BatchNorm::new(channels, &scope.enter("norm"))?,
        })
    }

    /// (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        x_chwn + self.norm.forward(&self.attention.forward(x_chwn)?, mode)?
    }

    /// The inference form.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reparameterize(&self) -> Result<DeployedSelfAttention> {
        let (scale, shift) = self.norm.scale_and_shift()?;
        let Attention { qkv, height_rel, width_rel, heads } = &self.attention;
        let channels = scale.dim(0)?;
        let ones = Tensor::ones(2 * channels, scale.dtype(), scale.device())?;
        let row_scale = Tensor::cat(&[&ones, &scale], 0)?;
        let weight =
            qkv.weight.flatten_from(1)?.broadcast_mul(&row_scale.unsqueeze(1)?)?.reshape(qkv.weight.shape())?;
        Ok(DeployedSelfAttention {
            attention: Attention {
                qkv: Conv2d { weight: weight.detach(), bias: None, groups: 1 },
                height_rel: height_rel.detach(),
                width_rel: width_rel.detach(),
                heads: *heads,
            },
            shift,
        })
    }
}

impl DeployedSelfAttention {
    /// (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let (c, _, _, _) = x_chwn.dims4()?;
        (x_chwn + self.attention.forward(x_chwn)?)?.broadcast_add(&self.shift.reshape((c, 1, 1, 1))?)
    }

    /// Its tensors, named below `prefix`.
    pub fn tensors(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let Attention { qkv, height_rel, width_rel, .. } = &self.attention;
        let mut all = qkv.tensors(&format!("{prefix}.qkv"));
        all.push((format!("{prefix}.pos_embed.height_rel"), height_rel.clone()));
        all.push((format!("{prefix}.pos_embed.width_rel"), width_rel.clone()));
        all.push((format!("{prefix}.shift"), self.shift.clone()));
        all
    }
}
