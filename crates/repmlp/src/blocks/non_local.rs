//! The non-local block (Wang et al. 2018, embedded Gaussian): one of the paper's baselines.
//!
//! y = x + BN(z(softmax(θᵀφ)·g)); θ, φ, g and z are 1×1 convolutions with biases. No scaling, as in the original.

use candle_core::{Result, Tensor};
use repmlp_kernels::softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::Site;
use crate::cost::{Account, Position};
use crate::layers::{BatchNorm, Conv2d, ConvShape};
use crate::reparam::fuse_bn;
use crate::vars::Scope;
use crate::{ConfigFault, Mode};

/// A non-local block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NonLocalConfig {
    /// Channels of θ, φ and g are the block's channels divided by this; 2 in the original.
    #[serde(default = "half")]
    pub inner_reduction: usize,
}

fn half() -> usize {
    2
}

impl NonLocalConfig {
    pub(crate) fn faults(&self, channels: usize, path: &str) -> Vec<ConfigFault> {
        if self.inner_reduction > 0 && channels.is_multiple_of(self.inner_reduction) {
            return Vec::new();
        }
        let message = format!("reduction {} does not divide {channels} channels", self.inner_reduction);
        vec![ConfigFault::new(format!("{path}.inner_reduction"), message)]
    }

    pub(crate) fn account(&self, site: Site, at: Position<'_>, account: &mut Account) {
        let pixels = site.map.0 * site.map.1;
        let inner = site.channels / self.inner_reduction;
        let weights = site.channels * inner;
        for name in ["t", "p", "g"] {
            account.layer(&format!("{at}.{name}"), weights + inner, weights * pixels);
        }
        account.activations(&format!("{at}.attention"), 2 * inner * pixels * pixels);
        // z has a bias of its own, which the norm's shift joins when merged.
        let own_bias = match account.form() {
            crate::cost::CountedForm::Training => site.channels,
            crate::cost::CountedForm::Deployed => 0,
        };
        account.weights_with_bn(&format!("{at}.z"), weights + own_bias, site.channels, weights * pixels);
    }
}

/// θ, φ and g: what both forms share. Names: `t`, `p`, `g`.
struct Attention {
    theta: Conv2d,
    phi: Conv2d,
    g: Conv2d,
}

/// The training form. `z` and `norm` beside θ, φ and g.
pub struct NonLocal {
    attention: Attention,
    z: Conv2d,
    norm: BatchNorm,
}

/// The inference form: the norm is in z.
pub struct DeployedNonLocal {
    attention: Attention,
    z: Conv2d,
}

impl Attention {
    /// (C, H, W, N) → what every pixel gathers from the map, (C', H, W, N).
    fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let (_, h, w, n) = x_chwn.dims4()?;
        let columns = |conv: &Conv2d| conv.forward(x_chwn)?.flatten(1, 2)?.permute((2, 0, 1))?.contiguous();
        let (theta, phi, g) = (columns(&self.theta)?, columns(&self.phi)?, columns(&self.g)?);
        let weights = softmax(&theta.transpose(1, 2)?.matmul(&phi)?)?;
        let gathered = g.matmul(&weights.transpose(1, 2)?)?;
        let inner = gathered.dim(1)?;
        gathered.permute((1, 2, 0))?.reshape((inner, h, w, n))
    }
}

impl NonLocal {
    /// The block at `site`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(config: &NonLocalConfig, site: Site, scope: &Scope<'_>) -> Result<Self> {
        let inner = site.channels / config.inner_reduction;
        let into = |name| Conv2d::new(ConvShape::pointwise(site.channels, inner), &scope.enter(name));
        Ok(Self {
            attention: Attention { theta: into("t")?, phi: into("p")?, g: into("g")? },
            z: Conv2d::new(ConvShape::pointwise(inner, site.channels), &scope.enter("z"))?,
            norm: BatchNorm::new(site.channels, &scope.enter("norm"))?,
        })
    }

    /// (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        let gathered = self.z.forward(&self.attention.forward(x_chwn)?)?;
        x_chwn + self.norm.forward(&gathered, mode)?
    }

    /// The inference form.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reparameterize(&self) -> Result<DeployedNonLocal> {
        let (weight, mut bias) = fuse_bn(&self.z.weight, &self.norm)?;
        if let Some(own) = &self.z.bias {
            bias = (bias + (own * self.norm.scale_and_shift()?.0)?)?.detach();
        }
        let z = Conv2d { weight, bias: Some(bias), groups: 1 };
        let Attention { theta, phi, g } = &self.attention;
        let attention = Attention { theta: theta.detached(), phi: phi.detached(), g: g.detached() };
        Ok(DeployedNonLocal { attention, z })
    }
}

impl DeployedNonLocal {
    /// (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        x_chwn + self.z.forward(&self.attention.forward(x_chwn)?)?
    }

    /// Its tensors, named below `prefix`.
    pub fn tensors(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let Attention { theta, phi, g } = &self.attention;
        let parts = [("t", theta), ("p", phi), ("g", g), ("z", &self.z)];
        parts.iter().flat_map(|(name, conv)| conv.tensors(&format!("{prefix}.{name}"))).collect()
    }
}
