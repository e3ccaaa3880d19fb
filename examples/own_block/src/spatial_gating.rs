//! Spatial gating, after the unit of gMLP (Liu et al. 2021): y = x + x ⊙ BN(W·x), where W mixes the pixels of a map.
//!
//! The channels are divided into groups, and each group has its own matrix W. In the deployed form, the norm is merged
//! into W and a bias.

use candle_core::{Result, Tensor};
use repmlp::blocks::BlockKind;
use repmlp::cost::{Account, LayerCost};
use repmlp::kernels::grouped_fc;
use repmlp::layers::{BatchNorm, Visitor};
use repmlp::network::{BlockSpec, DeployedBlock, LayerSpec, Node, Site, TrainingBlock};
use repmlp::reparam::fuse_bn;
use repmlp::vars::{Init, Scope};
use repmlp::{ConfigFault, Mode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Spatial gating: each pixel of a channel is multiplied by a mixture of all its pixels.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpatialGatingConfig {
    /// Number of groups of channels with a mixing matrix of their own; a divisor of the channels.
    groups: usize,
}

impl BlockKind for SpatialGatingConfig {
    fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault> {
        BlockSpec::faults(self, site, key)
    }

    fn node(&self, _site: Site, key: &str) -> Node<LayerSpec> {
        LayerSpec::block(self.clone(), key).into()
    }
}

impl BlockSpec for SpatialGatingConfig {
    fn faults(&self, Site { channels, .. }: Site, key: &str) -> Vec<ConfigFault> {
        if self.groups > 0 && channels.is_multiple_of(self.groups) {
            return Vec::new();
        }
        let message = format!("{} groups do not divide {channels} channels", self.groups);
        vec![ConfigFault::new(format!("{key}.groups"), message)]
    }

    fn account(&self, Site { channels, map: (h, w) }: Site, at: &str, account: &mut Account) {
        let (groups, pixels) = (self.groups, h * w);
        account.add(LayerCost {
            name: format!("{at}.mix"),
            shape: vec![groups * pixels, pixels],
            params: groups * pixels * pixels + account.norm_params(groups),
            flops: channels * pixels * pixels,
            activation_flops: channels * pixels,
            output: [channels, h, w],
            // The map in the order of the groups, the mixture, the output of the norm, and the product.
            kept: 4 * channels * pixels,
            ..LayerCost::default()
        });
    }

    fn build(&self, Site { map: (h, w), .. }: Site, scope: &Scope<'_>) -> Result<Box<dyn TrainingBlock>> {
        let (groups, pixels) = (self.groups, h * w);
        let weight = scope.enter("mix").parameter("weight", (groups * pixels, pixels), Init::FanIn(pixels))?;
        Ok(Box::new(SpatialGating { groups, weight, norm: BatchNorm::new(groups, &scope.enter("norm"))? }))
    }
}

/// The training form.
struct SpatialGating {
    groups: usize,
    /// The mixing matrices, (G·H·W, H·W).
    weight: Tensor,
    norm: BatchNorm,
}

/// The deployed form: the norm is merged.
#[derive(Clone)]
struct DeployedSpatialGating {
    groups: usize,
    weight: Tensor,
    /// One number for each group.
    bias: Tensor,
}

impl TrainingBlock for SpatialGating {
    fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        let mixed = grouped_fc(&to_groups(x_chwn, self.groups)?, &self.weight, self.groups)?;
        gated(x_chwn, &self.norm.forward(&mixed, mode)?)
    }

    fn reparameterize(&self) -> Result<Box<dyn DeployedBlock>> {
        // One channel of the norm covers the H·W rows of its group.
        let of_groups = self.weight.reshape((self.groups, ()))?;
        let (weight, bias) = fuse_bn(&of_groups, &self.norm)?;
        let weight = weight.reshape(self.weight.shape())?.detach();
        Ok(Box::new(DeployedSpatialGating { groups: self.groups, weight, bias }))
    }
}

impl DeployedBlock for DeployedSpatialGating {
    fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let mixed = grouped_fc(&to_groups(x_chwn, self.groups)?, &self.weight, self.groups)?;
        gated(x_chwn, &mixed.broadcast_add(&self.bias.reshape(((), 1, 1))?)?)
    }

    fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        visit(&format!("{at}.mix.weight"), &mut self.weight)?;
        visit(&format!("{at}.mix.bias"), &mut self.bias)
    }

    fn boxed(&self) -> Box<dyn DeployedBlock> {
        Box::new(self.clone())
    }
}

/// Rearranges (C, H, W, N) to (G, H·W, C/G·N): the maps of a group become the columns that its matrix is applied to.
fn to_groups(x_chwn: &Tensor, groups: usize) -> Result<Tensor> {
    let (c, h, w, n) = x_chwn.dims4()?;
    let maps = x_chwn.reshape((groups, c / groups, h * w, n))?.transpose(1, 2)?.contiguous()?;
    maps.reshape((groups, h * w, c / groups * n))
}

/// Multiplies a map by a gate in the order of `to_groups`, and adds the map.
fn gated(x_chwn: &Tensor, gate: &Tensor) -> Result<Tensor> {
    let (c, _, _, n) = x_chwn.dims4()?;
    let (groups, pixels, _) = gate.dims3()?;
    let gate = gate.reshape((groups, pixels, c / groups, n))?.transpose(1, 2)?.contiguous()?;
    x_chwn + (x_chwn * gate.reshape(x_chwn.shape())?)?
}
