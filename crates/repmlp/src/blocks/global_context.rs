//! The global context block (Cao et al. 2019, fusion by addition), one of the paper's baselines.
//!
//! y = x + FC2(ReLU(LN(FC1(c)))), where c is the mean of all pixels, weighted by a softmax over the map. Layer norm has
//! no running statistics, so there is nothing to merge. Both forms have the same type.

use candle_core::{Result, Tensor};
use repmlp_kernels::{add_to_pixels, relu, softmax};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cost::{Account, LayerCost};
use crate::layers::{Conv2d, ConvShape, Linear, Visitor};
use crate::network::{BlockSpec, DeployedBlock, Site, TrainingBlock};
use crate::vars::{Init, Scope, joined};
use crate::{ConfigFault, Mode};

/// Configuration of a global context block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalContextConfig {
    /// The number of outputs of FC1 is the block's channels divided by this. Original: 16.
    #[serde(default = "sixteen")]
    pub reduction: usize,
}

fn sixteen() -> usize {
    16
}

/// All sizes of a global context block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GlobalContextShape {
    /// Channels, C.
    pub channels: usize,
    /// Outputs of FC1.
    pub inner: usize,
    /// Constant ε that layer norm adds to the variance.
    pub layer_norm_eps: f64,
}

impl GlobalContextShape {
    /// The value in the original code.
    pub const LAYER_NORM_EPS: f64 = 1e-6;
}

impl GlobalContextConfig {
    pub(crate) fn shape(&self, channels: usize) -> GlobalContextShape {
        let layer_norm_eps = GlobalContextShape::LAYER_NORM_EPS;
        GlobalContextShape { channels, inner: channels / self.reduction, layer_norm_eps }
    }
}

impl BlockSpec for GlobalContextConfig {
    fn faults(&self, Site { channels, .. }: Site, key: &str) -> Vec<ConfigFault> {
        if self.reduction > 0 && channels.is_multiple_of(self.reduction) {
            return Vec::new();
        }
        let message = format!("reduction {} does not divide {channels} channels", self.reduction);
        vec![ConfigFault::new(format!("{key}.reduction"), message)]
    }

    fn account(&self, site: Site, at: &str, account: &mut Account) {
        let (h, w) = site.map;
        let GlobalContextShape { channels, inner, .. } = self.shape(site.channels);
        account.add(LayerCost {
            // The weighted sum of all pixels.
            activation_flops: channels * h * w,
            kept: (channels + 3) * h * w,
            ..LayerCost::pointwise(joined(at, "conv_attn"), (channels, 1), (h, w))
        });
        for (name, sizes) in [("mlp_add.fc1", (channels, inner)), ("mlp_add.fc2", (inner, channels))] {
            account.add(LayerCost::pointwise(joined(at, name), sizes, (1, 1)));
        }
        account.add(LayerCost {
            name: joined(at, "mlp_add.norm"),
            params: 2 * inner,
            output: [inner, 1, 1],
            kept: 6 * inner + channels * h * w,
            ..LayerCost::default()
        });
    }

    fn description(&self, input: Site) -> Option<Value> {
        let GlobalContextShape { channels, inner, layer_norm_eps } = self.shape(input.channels);
        Some(json!({
            "layer": "global-context",
            "channels": channels,
            "inner": inner,
            "layer_norm_eps": layer_norm_eps,
        }))
    }

    fn build(&self, input: Site, scope: &Scope<'_>) -> Result<Box<dyn TrainingBlock>> {
        Ok(Box::new(GlobalContext::new(self.shape(input.channels), scope)?))
    }
}

/// The block, in both forms. Names of its parts: `conv_attn`, `mlp_add.fc1`, `mlp_add.norm`, `mlp_add.fc2`.
#[derive(Clone)]
pub struct GlobalContext {
    attention: Conv2d,
    fc1: Linear,
    norm_weight: Tensor,
    norm_bias: Tensor,
    fc2: Linear,
    layer_norm_eps: f64,
}

impl GlobalContext {
    /// Creates the block with its variables in `scope`.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn new(shape: GlobalContextShape, scope: &Scope<'_>) -> Result<Self> {
        let GlobalContextShape { channels, inner, layer_norm_eps } = shape;
        let mlp = scope.enter("mlp_add");
        let norm = mlp.enter("norm");
        Ok(Self {
            attention: Conv2d::new(ConvShape::pointwise(channels, 1), &scope.enter("conv_attn"))?,
            fc1: Linear::new(channels, inner, &mlp.enter("fc1"))?,
            norm_weight: norm.parameter("weight", inner, Init::Constant(1.0))?,
            norm_bias: norm.parameter("bias", inner, Init::Constant(0.0))?,
            fc2: Linear::new(inner, channels, &mlp.enter("fc2"))?,
            layer_norm_eps,
        })
    }

    /// Forward pass: (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// When candle fails.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let weights = softmax(&self.attention.forward(x_chwn)?.flatten(0, 2)?.t()?.contiguous()?)?.t()?;
        let context = x_chwn.flatten(1, 2)?.broadcast_mul(&weights.unsqueeze(0)?)?.sum(1)?;
        let hidden = relu(&self.layer_norm(&self.fc1.forward(&context)?)?)?;
        add_to_pixels(x_chwn, &self.fc2.forward(&hidden)?)
    }

    /// Layer norm of each image: (inner, N) → (inner, N).
    fn layer_norm(&self, x_pn: &Tensor) -> Result<Tensor> {
        let centred = x_pn.broadcast_sub(&x_pn.mean_keepdim(0)?)?;
        let sigma = (centred.sqr()?.mean_keepdim(0)? + self.layer_norm_eps)?.sqrt()?;
        let normed = centred.broadcast_div(&sigma)?;
        normed.broadcast_mul(&self.norm_weight.unsqueeze(1)?)?.broadcast_add(&self.norm_bias.unsqueeze(1)?)
    }

    /// Returns a copy that is detached from the variables.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            attention: self.attention.detached(),
            fc1: self.fc1.detached(),
            norm_weight: self.norm_weight.detach(),
            norm_bias: self.norm_bias.detach(),
            fc2: self.fc2.detached(),
            layer_norm_eps: self.layer_norm_eps,
        }
    }

    /// Calls `visit` for each tensor. The names start with `at`.
    ///
    /// # Errors
    /// When `visit` fails.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        self.attention.visit(&joined(at, "conv_attn"), visit)?;
        self.fc1.visit(&joined(at, "mlp_add.fc1"), visit)?;
        visit(&joined(at, "mlp_add.norm.weight"), &mut self.norm_weight)?;
        visit(&joined(at, "mlp_add.norm.bias"), &mut self.norm_bias)?;
        self.fc2.visit(&joined(at, "mlp_add.fc2"), visit)
    }
}

impl TrainingBlock for GlobalContext {
    fn forward(&self, x_chwn: &Tensor, _mode: Mode) -> Result<Tensor> {
        self.forward(x_chwn)
    }

    fn reparameterize(&self) -> Result<Box<dyn DeployedBlock>> {
        Ok(Box::new(self.detached()))
    }
}

impl DeployedBlock for GlobalContext {
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
