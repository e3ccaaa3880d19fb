//! Cases of attention blocks. Converts their keys to the sizes of our blocks.

use repmlp::blocks::{GlobalContextShape, NonLocalShape, SelfAttentionShape};
use serde::Deserialize;
use serde_json::Value;

use crate::case::structure::folded;
use crate::case::{KeyFault, Shapes, typed, unit};

/// An attention block.
pub(crate) struct AttentionCase {
    pub(crate) kind: AttentionKind,
    pub(crate) keys: AttentionKeys,
}

/// The kind of block and its sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AttentionKind {
    NonLocal(NonLocalShape),
    GlobalContext(GlobalContextShape),
    /// Attention without norm and shortcut.
    SelfAttention(SelfAttentionShape),
}

/// Keys of the case, without the sizes of its block.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AttentionKeys {
    pub(crate) input: [usize; 4],
    #[serde(default = "unit")]
    pub(crate) weight_gain: f64,
    pub(crate) params: Option<Shapes>,
    block: FamilyKeys,
}

#[derive(Clone, Debug, Deserialize)]
struct FamilyKeys {
    family: String,
    bn_eps: Option<f64>,
    bn_momentum: Option<f64>,
}

#[derive(Deserialize)]
struct Of<T> {
    block: T,
}

#[derive(Deserialize)]
struct NonLocalKeys {
    channels: usize,
    inner: usize,
    #[serde(default = "unit")]
    scale: f64,
}

#[derive(Deserialize)]
struct GlobalContextKeys {
    channels: usize,
    inner: usize,
    layer_norm_eps: Option<f64>,
}

#[derive(Deserialize)]
struct SelfAttentionKeys {
    channels: usize,
    heads: usize,
    height: usize,
    width: usize,
    head_dim_qk: Option<usize>,
    head_dim_v: Option<usize>,
}

impl AttentionCase {
    pub(crate) fn read(value: &Value) -> Result<Self, KeyFault> {
        let keys: AttentionKeys = typed(value)?;
        let kind = match folded(&keys.block.family).as_str() {
            "nonlocal" => {
                let Of { block: NonLocalKeys { channels, inner, scale } } = typed(value)?;
                AttentionKind::NonLocal(NonLocalShape { channels, inner, scale })
            }
            "globalcontext" => AttentionKind::GlobalContext(global_context(value)?),
            "mhsa" | "selfattention" => AttentionKind::SelfAttention(self_attention(value)?),
            other => {
                let message = format!("`{other}` is unknown; use non_local, global_context or mhsa");
                return Err(KeyFault::new("block.family", message));
            }
        };
        Ok(Self { kind, keys })
    }
}

impl AttentionKeys {
    /// Returns the settings of the block's batch norm, if it has one.
    pub(crate) fn batch_norm(&self) -> repmlp::layers::BatchNormSettings {
        super::batch_norm(self.block.bn_eps, self.block.bn_momentum)
    }
}

fn global_context(value: &Value) -> Result<GlobalContextShape, KeyFault> {
    let Of { block: GlobalContextKeys { channels, inner, layer_norm_eps } } = typed(value)?;
    let layer_norm_eps = layer_norm_eps.unwrap_or(GlobalContextShape::LAYER_NORM_EPS);
    Ok(GlobalContextShape { channels, inner, layer_norm_eps })
}

fn self_attention(value: &Value) -> Result<SelfAttentionShape, KeyFault> {
    let Of { block: SelfAttentionKeys { channels, heads, height, width, head_dim_qk, head_dim_v } } = typed(value)?;
    if heads == 0 {
        return Err(KeyFault::new("block.heads", "must be at least 1"));
    }
    let head_dim_qk = head_dim_qk.unwrap_or(channels / heads);
    let head_dim_v = head_dim_v.unwrap_or(channels / heads);
    Ok(SelfAttentionShape { channels, heads, map: (height, width), head_dim_qk, head_dim_v })
}
