//! The non-local block (Wang et al. 2018, embedded Gaussian), one of the paper's baselines.
//!
//! y = x + BN(z(softmax(s·θᵀφ)·g)), where θ, φ, g and z are 1×1 convolutions with biases. The original has no scaling
//! (s = 1).

use candle_core::{Result, Tensor};
use repmlp_kernels::{Epilogue, Heads, add_bias, attention, grouped_fc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::blocks::BlockKind;
use crate::cost::{Account, CountedForm, LayerCost};
use crate::layers::{BatchNorm, Conv2d, ConvShape, Visitor};
use crate::network::{BlockSpec, DeployedBlock, LayerSpec, Node, Site, TrainingBlock};
use crate::reparam::fuse_bn;
use crate::vars::{Scope, joined};
use crate::{ConfigFault, Mode};

/// Configuration of a non-local block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NonLocalConfig {
    /// The number of channels of θ, φ and g is the block's channels divided by this. Original: 2.
    #[serde(default = "half")]
    pub inner_reduction: usize,
    /// Divide the products of θ and φ by the square root of their number of channels, as attention does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled: bool,
}

/// All sizes of a non-local block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonLocalShape {
    /// Channels, C.
    pub channels: usize,
    /// Channels of θ, φ and g.
    pub inner: usize,
    /// Factor s on the products of θ and φ.
    pub scale: f64,
}

fn half() -> usize {
    2
}

impl Default for NonLocalConfig {
    /// The settings of the original.
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
}

impl BlockSpec for NonLocalConfig {
    fn faults(&self, Site { channels, .. }: Site, key: &str) -> Vec<ConfigFault> {
        if self.inner_reduction > 0 && channels.is_multiple_of(self.inner_reduction) {
            return Vec::new();
        }
        let message = format!("reduction {} does not divide {channels} channels", self.inner_reduction);
        vec![ConfigFault::new(format!("{key}.inner_reduction"), message)]
    }

    fn account(&self, site: Site, at: &str, account: &mut Account) {
        let (h, w) = site.map;
        let NonLocalShape { channels, inner, .. } = self.shape(site.channels);
        let conv = |name: &str, sizes| LayerCost::pointwise(joined(at, name), sizes, (h, w));
        for name in ["t", "p"] {
            account.add(conv(name, (channels, inner)));
        }
        // The output with bias is not kept: the bias of g is added as part of the bias of z.
        account.add(LayerCost { kept: inner * h * w, ..conv("g", (channels, inner)) });
        account.add(LayerCost {
            name: joined(at, "attention"),
            activation_flops: 2 * inner * (h * w).pow(2),
            output: [inner, h, w],
            // The output, and two numbers for each query.
            kept: (inner + 2) * h * w,
            ..LayerCost::default()
        });
        // Merging adds the shift of the norm to the existing bias of z.
        let norm = match account.form() {
            CountedForm::Training => 4 * channels,
            CountedForm::Deployed => 0,
        };
        let z = conv("z", (inner, channels));
        account.add(LayerCost { params: z.params + norm, kept: 2 * z.kept, ..z });
    }

    fn description(&self, input: Site) -> Option<Value> {
        let NonLocalShape { channels, inner, scale } = self.shape(input.channels);
        Some(json!({ "layer": "non-local", "channels": channels, "inner": inner, "scale": scale }))
    }

    fn build(&self, input: Site, scope: &Scope<'_>) -> Result<Box<dyn TrainingBlock>> {
        Ok(Box::new(NonLocal::new(self.shape(input.channels), scope)?))
    }
}

/// The part that both forms share: θ, φ and g. Their names are `t`, `p` and `g`.
#[derive(Clone)]
struct Attention {
    theta: Conv2d,
    phi: Conv2d,
    g: Conv2d,
    scale: f64,
}

/// The training form. Names of its parts: `t`, `p`, `g`, `z`, `norm`.
pub struct NonLocal {
    attention: Attention,
    z: Conv2d,
    norm: BatchNorm,
}

/// The deployed form. The norm is merged into z.
#[derive(Clone)]
pub struct DeployedNonLocal {
    attention: Attention,
    z: Conv2d,
}

impl Attention {
    /// Computes the attention output of every pixel, without the bias of g: (C, H, W, N) → (C', H, W, N).
    fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let g = self.g.with(self.g.weight.clone(), None).forward(x_chwn)?;
        let heads = Heads { count: 1, scale: self.scale };
        attention(&self.theta.forward(x_chwn)?, &self.phi.forward(x_chwn)?, &g, heads)
    }

    /// Applies `z` to the attention output.
    ///
    /// The attention weights of a pixel sum to one, so the bias of g only adds a constant to the output of z. It is
    /// therefore added as part of the bias of z. Batch norm follows, so the exact gradient of this bias is zero;
    /// computed this way, its rounding errors stay small.
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
    /// Creates the block with its variables in `scope`.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn new(shape: NonLocalShape, scope: &Scope<'_>) -> Result<Self> {
        let NonLocalShape { channels, inner, scale } = shape;
        let into = |name| Conv2d::new(ConvShape::pointwise(channels, inner), &scope.enter(name));
        Ok(Self {
            attention: Attention { theta: into("t")?, phi: into("p")?, g: into("g")?, scale },
            z: Conv2d::new(ConvShape::pointwise(inner, channels), &scope.enter("z"))?,
            norm: BatchNorm::new(channels, &scope.enter("norm"))?,
        })
    }

    /// Forward pass: (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// When candle fails.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        let gathered = self.attention.forward_through(&self.z, x_chwn)?;
        self.norm.forward_with_epilogue(&gathered, mode, Epilogue::Add(x_chwn))
    }

    /// Returns the deployed form.
    ///
    /// # Errors
    /// When candle fails.
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
    /// Forward pass: (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// When candle fails.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        x_chwn + self.attention.forward_through(&self.z, x_chwn)?
    }

    /// Calls `visit` for each tensor. The names start with `at`.
    ///
    /// # Errors
    /// When `visit` fails.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        let Attention { theta, phi, g, .. } = &mut self.attention;
        for (name, conv) in [("t", theta), ("p", phi), ("g", g), ("z", &mut self.z)] {
            conv.visit(&joined(at, name), visit)?;
        }
        Ok(())
    }
}

impl TrainingBlock for NonLocal {
    fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward(x_chwn, mode)
    }

    fn reparameterize(&self) -> Result<Box<dyn DeployedBlock>> {
        Ok(Box::new(self.reparameterize()?))
    }
}

impl DeployedBlock for DeployedNonLocal {
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

impl BlockKind for NonLocalConfig {
    fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault> {
        BlockSpec::faults(self, site, key)
    }

    fn node(&self, _site: Site, key: &str) -> Node<LayerSpec> {
        LayerSpec::block(self.clone(), key).into()
    }
}
