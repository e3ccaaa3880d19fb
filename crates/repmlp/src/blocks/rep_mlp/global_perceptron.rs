//! The Global Perceptron (paper section 3.2): FC1 and FC2 connect the partitions of a map.

use candle_core::{Result, Tensor};
use repmlp_kernels::relu;

use crate::Mode;
use crate::blocks::rep_mlp::RepMlpShape;
use crate::cost::{Account, CountedForm, LayerCost};
use crate::layers::{BatchNorm, Linear, Visitor};
use crate::reparam::fuse_bn_before_fc;
use crate::vars::{Scope, joined};

/// Average pooling to one value per channel and partition, then batch norm, FC1, `ReLU` and FC2. The result is added to
/// every pixel of the partition. Names of its parts: `avg.bn`, `fc1_fc2.fc1`, `fc1_fc2.fc2`.
pub(crate) struct GlobalPerceptron {
    bn: BatchNorm,
    fcs: FcPair,
}

/// FC1 and FC2. After merging, the Global Perceptron consists of these two layers.
#[derive(Clone)]
pub(crate) struct FcPair {
    /// FC layer with n inputs and n/ρ outputs, where n = `C·h_p·w_p`.
    pub(crate) fc1: Linear,
    /// FC layer with n/ρ inputs and n outputs.
    pub(crate) fc2: Linear,
}

impl GlobalPerceptron {
    /// Creates the Global Perceptron for a map with `channels` channels and `partitions` partitions. `reduction` is ρ.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub(crate) fn new(channels: usize, partitions: usize, reduction: usize, scope: &Scope<'_>) -> Result<Self> {
        let n = channels * partitions;
        let fcs = scope.enter("fc1_fc2");
        Ok(Self {
            bn: BatchNorm::new(channels, &scope.enter("avg").enter("bn"))?,
            fcs: FcPair {
                fc1: Linear::new(n, n / reduction, &fcs.enter("fc1"))?,
                fc2: Linear::new(n / reduction, n, &fcs.enter("fc2"))?,
            },
        })
    }

    /// Computes the values to add to the pixels of each partition. Input: the means of the partitions. Input and output
    /// have the shape (C, `h_p·w_p·N`).
    ///
    /// # Errors
    /// When candle fails.
    pub(crate) fn forward(&self, pooled: &Tensor, images: usize, mode: Mode) -> Result<Tensor> {
        self.fcs.forward(&self.bn.forward(pooled, mode)?, images)
    }

    /// Returns FC1 with the batch norm merged into it, and FC2.
    ///
    /// # Errors
    /// When candle fails.
    pub(crate) fn reparameterize(&self) -> Result<FcPair> {
        let FcPair { fc1, fc2 } = &self.fcs;
        let channels = self.bn.scale_and_shift()?.0.dim(0)?;
        let copies = fc1.weight.dim(1)? / channels;
        let zero = Tensor::zeros(fc1.weight.dim(0)?, fc1.weight.dtype(), fc1.weight.device())?;
        let (weight, bias) = fuse_bn_before_fc(&fc1.weight, fc1.bias.as_ref().unwrap_or(&zero), &self.bn, copies)?;
        Ok(FcPair { fc1: Linear { weight, bias: Some(bias) }, fc2: fc2.detached() })
    }

    /// Adds the costs to `account`.
    pub(crate) fn account(shape: RepMlpShape, reduction: usize, at: &str, account: &mut Account) {
        let (channels, map) = (shape.inputs, (shape.partitioning.h_p, shape.partitioning.w_p));
        let n = channels * shape.partitioning.count();
        let hidden = n / reduction;
        // In the deployed form, the norm before FC1 costs nothing: FC1 already has a bias.
        if account.form() == CountedForm::Training {
            let (name, params) = (format!("{at}.avg.bn"), 4 * channels);
            account.add(LayerCost {
                name,
                params,
                output: [channels, map.0, map.1],
                kept: 2 * n,
                ..LayerCost::default()
            });
        }
        for (name, rows, columns) in [("fc1", hidden, n), ("fc2", n, hidden)] {
            account.add(LayerCost {
                name: format!("{at}.fc1_fc2.{name}"),
                shape: vec![rows, columns],
                params: rows * columns + rows,
                flops: rows * columns,
                output: [rows, 1, 1],
                kept: 2 * rows,
                ..LayerCost::default()
            });
        }
    }
}

impl FcPair {
    /// Computes FC2(ReLU(FC1(pooled))). Input and output have the shape (C, `h_p·w_p·N`).
    ///
    /// # Errors
    /// When candle fails.
    pub(crate) fn forward(&self, pooled: &Tensor, images: usize) -> Result<Tensor> {
        // (C, h_p·w_p·N) has the memory layout of (C·h_p·w_p, N): FC1 sees each image as a column, channel-major as in
        // the paper.
        let pooled_pn = pooled.reshape(((), images))?;
        self.fc2.forward(&relu(&self.fc1.forward(&pooled_pn)?)?)?.reshape(pooled.shape())
    }

    /// Calls `visit` for each tensor. The names start with `at`.
    ///
    /// # Errors
    /// When `visit` fails.
    pub(crate) fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        self.fc1.visit(&joined(at, "fc1_fc2.fc1"), visit)?;
        self.fc2.visit(&joined(at, "fc1_fc2.fc2"), visit)
    }
}
