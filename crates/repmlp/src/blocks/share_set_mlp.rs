//! The block of RepMLPNet, the successor of RepMLP (arXiv 2112.11081; official code of 2022). It is not an option of
//! the RepMLP block: the two blocks share only the merging.
//!
//! The channels are divided into S share-sets; channel c belongs to set c mod S. FC3 mixes the pixels of a map with one
//! matrix per set. In training, convolutions with S groups run in parallel to FC3. A gate, computed from the whole map,
//! multiplies the result. Only the case of the official models is implemented: one partition, as large as the map.

use candle_core::{Result, Tensor};
use repmlp_kernels::{Epilogue, LinearMap, grouped_fc_with_epilogue, mean_pixel, rearrange, relu};

use serde_json::{Value, json};

use crate::blocks::rep_mlp::{LocalBranch, Partitioning, RepMlpShape};
use crate::cost::{Account, CountedForm, LayerCost};
use crate::layers::{BatchNorm, Conv2d, ConvBn, ConvShape, Normed, Visitor, normed_sum};
use crate::network::{BlockSpec, DeployedBlock, Site, TrainingBlock};
use crate::reparam::fuse_bn;
use crate::vars::{Init, Scope, joined};
use crate::{ConfigFault, Mode};

/// Sizes of the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSetMlpShape {
    /// Number S of share-sets.
    pub share_sets: usize,
    /// Sizes K of the local convolutions.
    pub local_kernels: Vec<usize>,
    /// The hidden layer of the gate has the block's channels divided by this.
    pub gate_reduction: usize,
}

impl ShareSetMlpShape {
    /// Sizes of the RepMLP block with S channels and S groups that performs the same merging.
    fn of_sets(&self, map: (usize, usize)) -> RepMlpShape {
        let partitioning = Partitioning { h: map.0, w: map.1, h_p: 1, w_p: 1, map };
        RepMlpShape { inputs: self.share_sets, outputs: self.share_sets, groups: self.share_sets, partitioning }
    }
}

impl BlockSpec for ShareSetMlpShape {
    fn faults(&self, site: Site, key: &str) -> Vec<ConfigFault> {
        let Site { channels, map: (h, w) } = site;
        let mut faults = Vec::new();
        if self.share_sets == 0 || !channels.is_multiple_of(self.share_sets) {
            let message = format!("{} share-sets do not divide {channels} channels", self.share_sets);
            faults.push(ConfigFault::new(format!("{key}.share_sets"), message));
        }
        if self.gate_reduction == 0 || !channels.is_multiple_of(self.gate_reduction) {
            let message = format!("reduction {} does not divide {channels} channels", self.gate_reduction);
            faults.push(ConfigFault::new(format!("{key}.gate_reduction"), message));
        }
        if let Some(k) = self.local_kernels.iter().find(|&&k| k.is_multiple_of(2) || k > h.min(w)) {
            let message = format!("kernel {k} must be odd and not larger than the {h}x{w} map");
            faults.push(ConfigFault::new(format!("{key}.local_kernels"), message));
        }
        faults
    }

    fn account(&self, site: Site, at: &str, account: &mut Account) {
        let Site { channels, map: (h, w) } = site;
        let (pixels, sets, hidden) = (h * w, self.share_sets, channels / self.gate_reduction);
        for (name, sizes) in [("gp.fc1", (channels, hidden)), ("gp.fc2", (hidden, channels))] {
            account.add(LayerCost::pointwise(joined(at, name), sizes, (1, 1)));
        }
        let norm = match account.form() {
            CountedForm::Training => 4 * sets,
            CountedForm::Deployed => sets * pixels,
        };
        account.add(LayerCost {
            name: joined(at, "fc3"),
            shape: vec![sets * pixels, pixels, 1, 1],
            params: sets * pixels * pixels + norm,
            // Each of the C/S channels of a set is multiplied with the matrix of the set.
            flops: channels * pixels * pixels,
            output: [channels, h, w],
            kept: 5 * channels * pixels,
            ..LayerCost::default()
        });
        if account.form() == CountedForm::Training {
            for &k in &self.local_kernels {
                let mut branch = Account::new(CountedForm::Training);
                let name = joined(at, &LocalBranch::name(k));
                ConvBn::account(self.of_sets(site.map).conv(k), site.map, (1, 1), &name, &mut branch);
                let times = channels / sets;
                for cost in branch.layers() {
                    account.add(LayerCost {
                        flops: cost.flops * times,
                        padding_flops: cost.padding_flops * times,
                        kept: cost.kept * times,
                        ..cost.clone()
                    });
                }
            }
        }
    }

    fn description(&self, Site { channels, map }: Site) -> Option<Value> {
        Some(json!({
            "layer": "share-set-mlp",
            "channels": channels,
            "share_sets": self.share_sets,
            "map": map,
            "local_kernels": self.local_kernels,
            "hidden": channels / self.gate_reduction,
        }))
    }

    fn build(&self, input: Site, scope: &Scope<'_>) -> Result<Box<dyn TrainingBlock>> {
        Ok(Box::new(ShareSetMlp::new(self, input, scope)?))
    }
}

/// The gate σ(FC2(ReLU(FC1(mean of the map)))). Names of its parts: `gp.fc1`, `gp.fc2`.
#[derive(Clone)]
struct Gate {
    fc1: Conv2d,
    fc2: Conv2d,
}

/// The training form. Names of its parts: `gp`, `fc3`, `fc3_bn`, `repconvK`.
pub struct ShareSetMlp {
    shape: RepMlpShape,
    gate: Gate,
    weight: Tensor,
    bn: BatchNorm,
    local: Vec<LocalBranch>,
}

/// The deployed form: FC3 with a bias, and the gate.
#[derive(Clone)]
pub struct DeployedShareSetMlp {
    shape: RepMlpShape,
    gate: Gate,
    weight: Tensor,
    bias: Tensor,
}

impl ShareSetMlp {
    /// Creates the block with its variables in `scope`.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn new(shape: &ShareSetMlpShape, site: Site, scope: &Scope<'_>) -> Result<Self> {
        let (channels, hidden) = (site.channels, site.channels / shape.gate_reduction);
        let of_sets = shape.of_sets(site.map);
        let pixels = of_sets.partitioning.pixels();
        let gate = scope.enter("gp");
        let local = shape.local_kernels.iter().map(|&k| LocalBranch::new(of_sets, k, scope));
        Ok(Self {
            shape: of_sets,
            gate: Gate {
                fc1: Conv2d::new(ConvShape::pointwise(channels, hidden), &gate.enter("fc1"))?,
                fc2: Conv2d::new(ConvShape::pointwise(hidden, channels), &gate.enter("fc2"))?,
            },
            weight: scope.enter("fc3").parameter("weight", (shape.share_sets * pixels, pixels), Init::FanIn(pixels))?,
            bn: BatchNorm::new(shape.share_sets, &scope.enter("fc3_bn"))?,
            local: local.collect::<Result<_>>()?,
        })
    }

    /// Forward pass: (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// When the map has a different size.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        let maps = to_sets(x_chwn, self.shape)?;
        let fc3 =
            Normed { map: LinearMap::GroupedFc { groups: self.shape.groups }, weight: &self.weight, bn: &self.bn };
        let branches: Vec<Normed<'_>> =
            std::iter::once(fc3).chain(self.local.iter().map(LocalBranch::normed)).collect();
        let y = normed_sum(&maps, &branches, mode, Epilogue::None)?;
        from_sets(&y, x_chwn)?.broadcast_mul(&self.gate.forward(x_chwn)?)
    }

    /// Returns the deployed form, which computes the same function with the running statistics.
    ///
    /// # Errors
    /// When candle fails.
    pub fn reparameterize(&self) -> Result<DeployedShareSetMlp> {
        let (sets, pixels) = (self.shape.groups, self.shape.partitioning.pixels());
        // One channel of the norm covers the h·w rows of its set.
        let (weight, bias) = fuse_bn(&self.weight.reshape((sets, pixels * pixels))?, &self.bn)?;
        let mut weight = weight.reshape((sets * pixels, pixels))?;
        let mut bias = bias.unsqueeze(1)?.expand((sets, pixels))?.flatten_all()?;
        for branch in &self.local {
            let (more_weight, more_bias) = branch.reparameterize()?;
            weight = (weight + more_weight)?;
            bias = (bias + more_bias)?;
        }
        let gate = Gate { fc1: self.gate.fc1.detached(), fc2: self.gate.fc2.detached() };
        Ok(DeployedShareSetMlp { shape: self.shape, gate, weight: weight.detach(), bias: bias.detach() })
    }
}

impl DeployedShareSetMlp {
    /// Forward pass: (C, H, W, N) → (C, H, W, N).
    ///
    /// # Errors
    /// When the map has a different size.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let maps = to_sets(x_chwn, self.shape)?;
        let y = grouped_fc_with_epilogue(&maps, &self.weight, &self.bias, self.shape.groups, Epilogue::None)?;
        from_sets(&y, x_chwn)?.broadcast_mul(&self.gate.forward(x_chwn)?)
    }

    /// Calls `visit` for each tensor with its official name. The names start with `at`.
    ///
    /// # Errors
    /// When `visit` fails.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        self.gate.fc1.visit(&joined(at, "gp.fc1"), visit)?;
        self.gate.fc2.visit(&joined(at, "gp.fc2"), visit)?;
        visit(&joined(at, "fc3.weight"), &mut self.weight)?;
        visit(&joined(at, "fc3.bias"), &mut self.bias)
    }
}

impl Gate {
    /// Computes the gate: (C, H, W, N) → (C, 1, 1, N).
    fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let (c, _, _, n) = x_chwn.dims4()?;
        let pooled = mean_pixel(x_chwn)?.reshape((c, 1, 1, n))?;
        candle_nn::ops::sigmoid(&self.fc2.forward(&relu(&self.fc1.forward(&pooled)?)?)?)
    }
}

/// Rearranges (C, H, W, N) to (S, H, W, C/S·N). The maps of a set become images.
fn to_sets(x_chwn: &Tensor, shape: RepMlpShape) -> Result<Tensor> {
    let (c, h, w, n) = x_chwn.dims4()?;
    let sets = shape.groups;
    rearrange(x_chwn, [c / sets, sets, h * w, n], [1, 2, 0, 3], (sets, h, w, c / sets * n))
}

/// Inverse of `to_sets`. `x_chwn` is the input of `to_sets`.
fn from_sets(maps: &Tensor, x_chwn: &Tensor) -> Result<Tensor> {
    let (c, h, w, n) = x_chwn.dims4()?;
    let sets = maps.dim(0)?;
    rearrange(maps, [sets, h * w, c / sets, n], [2, 0, 1, 3], (c, h, w, n))
}

impl TrainingBlock for ShareSetMlp {
    fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward(x_chwn, mode)
    }

    fn reparameterize(&self) -> Result<Box<dyn DeployedBlock>> {
        Ok(Box::new(self.reparameterize()?))
    }
}

impl DeployedBlock for DeployedShareSetMlp {
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
