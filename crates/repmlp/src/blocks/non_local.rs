//! The non-local block (Wang et al. 2018, embedded Gaussian): one of the paper's baselines.
//!
//! y = x + BN(z(softmax(s·θᵀφ)·g)); θ, φ, g and z are 1×1 convolutions with biases. No scaling (s = 1) in the original.

use candle_core::{Result, Tensor};
use repmlp_kernels::{Epilogue, Heads, add_bias, attention, grouped_fc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cost::{Account, CountedForm, LayerCost};
use crate::layers::{BatchNorm, Conv2d, ConvShape, Visitor};
use crate::network::Site;
use crate::reparam::fuse_bn;
use crate::vars::{Scope, joined};
use crate::{ConfigFault, Mode};

/// A non-local block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NonLocalConfig {
    /// Channels of θ, φ and g are the block's channels divided by this; 2 in the original.
    #[serde(default = "half")]
    pub inner_reduction: usize,
    /// Divide the products of θ and φ by the root of their channels, as attention does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled: bool,
}

/// All sizes of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonLocalShape {
    /// C.
    pub channels: usize,
    /// Channels of θ, φ and g.
    pub inner: usize,
    /// s.
    pub scale: f64,
}

fn half() -> usize {
    2
}

impl Default for NonLocalConfig {
    /// The original's.
    fn default() -> Self {
        Self { inner_reduction: half(), scaled: false }
    }
}

impl NonLocalConfig {
    pub(crate) fn shape(&self, channels: usize) -> NonLocalShape {
        let inner = channels / self.inner_reduction;
        let scale = if self.scaled { 1.0 / (inner as f64).sqrt() } else { 1.0 };
        NonLocalShape { channels, inner, scale }
    }

    pub(crate) fn faults(&self, channels: usize, key: &str) -> Vec<ConfigFault> {
        if self.inner_reduction > 0 && channels.is_multiple_of(self.inner_reduction) {
            return Vec::new();
        }
        let message = format!("reduction {} does not divide {channels} channels", self.inner_reduction);
        vec![ConfigFault::new(format!("{key}.inner_reduction"), message)]
    }

    pub(crate) fn account(&self, site: Site, at: &str, account: &mut Account) {
        let (h, w) = site.map;
        let NonLocalShape { channels, inner, .. } = self.shape(site.channels);
        let conv = |name: &str, sizes| LayerCost::pointwise(joined(at, name), sizes, (h, w));
        for name in ["t", "p"] {
            account.add(conv(name, (channels, inner)));
        }
        // Its bias is a part of z's.
        account.add(LayerCost { kept: inner * h * w, ..conv("g", (channels, inner)) });
        account.add(LayerCost {
            name: joined(at, "attention"),
            activation_flops: 2 * inner * (h * w).pow(2),
            output: [inner, h, w],
            // What was gathered, and two numbers for each query.
            kept: (inner + 2) * h * w,
            ..LayerCost::default()
        });
        // The norm's shift joins z's own bias when merged.
        let norm = match account.form() {
            CountedForm::Training => 4 * channels,
            CountedForm::Deployed => 0,
        };
        let z = conv("z", (inner, channels));
        account.add(LayerCost { params: z.params + norm, kept: 2 * z.kept, ..z });
    }
}

/// θ, φ and g: what both forms share. Names: `t`, `p`, `g`.
#[derive(Clone)]
struct Attention {
    theta: Conv2d,
    phi: Conv2d,
    g: Conv2d,
    scale: f64,
}

/// The training form. `z` and `norm` beside θ, φ and g.
pub struct NonLocal {
    attention: Attention,
    z: Conv2d,
    norm: BatchNorm,
}

/// The inference form: the norm is in z.
#[derive(Clone)]
pub struct DeployedNonLocal {
    attention: Attention,
    z: Conv2d,
}

impl Attention {
    /// (C, H, W, N) → what every pixel gathers from the map, (C', H, W, N), without g's bias.
    fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let g = self.g.with(self.g.weight.clone(), None).forward(x_chwn)?;
        let heads = Heads { count: 1, scale: self.scale };
        attention(&self.theta.forward(x_chwn)?, &self.phi.forward(x_chwn)?, &g, heads)
    }

    /// z of what every pixel gathers. The weights that a pixel gives to the map sum to one, so g's bias passes through them and
    /// through z: it is a part of z's bias, where its gradient (zero before batch norm) is not drowned in rounding.
    fn forward_through(&self, z: &Conv2d, x_chwn: &Tensor) -> Result<Tensor> {
        let y = z.with(z.weight.clone(), None).forward(&self.forward(x_chwn)?)?;
        let mut bias = z.bias.clone();
        if let Some(of_g) = &self.g.bias {
            let passed = grouped_fc(&of_g.unsqueeze(1)?, &z.weight.flatten_from(1)?, 1)?.squeeze(1)?;
            bias = Some(bias.map_or(Ok(passed.clone()), |own| own + passed)?);
        }
        bias.map_or(Ok(y.clone()), |bias| add_bias(&y, &bias))
    }
}

impl NonLocal {
    /// The block with its variables below `scope`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(shape: NonLocalShape, scope: &Scope<'_>) -> Result<Self> {
        let NonLocalShape { channels, inner, scale } = shape;
        let into = |name| Conv2d::new(ConvShape::pointwise(channels, inner), &scope.enter(name));
        Ok(Self {
            attention: Attention { theta: into("t")?, phi: into("p")?, g: into("g")?, scale },
            z: Conv2d::new(ConvShape::pointwise(inner, channels), &scope.enter("z"))?,
            norm: BatchNorm::new(channels, &scope.enter("norm"))?,
        })
    }

    /// (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        let gathered = self.attention.forward_through(&self.z, x_chwn)?;
        self.norm.forward_with_epilogue(&gathered, mode, Epilogue::Add(x_chwn))
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
        let Attention { theta, phi, g, scale } = &self.attention;
        let attention = Attention { theta: theta.detached(), phi: phi.detached(), g: g.detached(), scale: *scale };
        Ok(DeployedNonLocal { attention, z: self.z.with(weight, Some(bias)) })
    }
}

impl DeployedNonLocal {
    /// (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        x_chwn + self.attention.forward_through(&self.z, x_chwn)?
    }

    /// Shows its tensors to `visit`, named below `at`.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        let Attention { theta, phi, g, .. } = &mut self.attention;
        for (name, conv) in [("t", theta), ("p", phi), ("g", g), ("z", &mut self.z)] {
            conv.visit(&joined(at, name), visit)?;
        }
        Ok(())
    }
}
