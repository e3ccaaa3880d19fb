//! Batch norm over the rows of a matrix. A row is a channel (or feature); the columns are all numbers that share its
//! statistics.

use candle_core::{Result, Tensor, Var};
use repmlp_kernels::{
    Epilogue, LinearMap, Moments, NormedBranch, affine_with_epilogue, batch_norm_with_epilogue, blend,
};

use crate::Mode;
use crate::vars::{Init, Scope};

/// Settings that all batch norms of a network share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormSettings {
    /// Constant ε that is added to the variance.
    pub eps: f64,
    /// Weight of a batch's statistics when the running statistics are updated.
    pub momentum: f64,
}

impl Default for BatchNormSettings {
    /// PyTorch's defaults, which the paper uses for training.
    fn default() -> Self {
        Self { eps: 1e-5, momentum: 0.1 }
    }
}

/// Batch normalisation.
pub struct BatchNorm {
    settings: BatchNormSettings,
    weight: Tensor,
    bias: Tensor,
    running_mean: Var,
    running_var: Var,
}

impl BatchNorm {
    /// Creates batch norm for `channels` rows. Its initial values are γ = 1, β = 0, mean 0 and variance 1.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn new(channels: usize, scope: &Scope<'_>) -> Result<Self> {
        Ok(Self {
            settings: scope.batch_norm(),
            weight: scope.parameter("weight", channels, Init::Constant(1.0))?,
            bias: scope.parameter("bias", channels, Init::Constant(0.0))?,
            running_mean: scope.statistic("running_mean", channels, 0.0)?,
            running_var: scope.statistic("running_var", channels, 1.0)?,
        })
    }

    /// Normalises x. The leading dimensions of x are the channels (or features). The result has the shape of x.
    ///
    /// # Errors
    /// When candle fails.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward_with_epilogue(x, mode, Epilogue::None)
    }

    /// Like [`Self::forward`], followed by `epilogue`.
    ///
    /// # Errors
    /// When the epilogue adds a tensor of a different shape.
    pub(crate) fn forward_with_epilogue(&self, x: &Tensor, mode: Mode, epilogue: Epilogue<'_>) -> Result<Tensor> {
        match mode {
            Mode::Train(_) => self.forward_train(x, epilogue),
            Mode::Evaluate => {
                let (scale, shift) = self.scale_and_shift()?;
                affine_with_epilogue(x, &scale, &shift, epilogue)
            }
        }
    }

    fn forward_train(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let (y, moments) = batch_norm_with_epilogue(x, &self.weight, &self.bias, self.settings.eps, epilogue)?;
        self.learn(&moments, x.elem_count())?;
        Ok(y)
    }

    /// Returns a linear map followed by this norm, as a branch for `repmlp_kernels`.
    pub(crate) fn behind<'a>(&'a self, map: LinearMap, weight: &'a Tensor) -> NormedBranch<'a> {
        NormedBranch { map, weight, gamma: &self.weight, beta: &self.bias, eps: self.settings.eps }
    }

    /// Updates the running statistics with those of a batch. `numbers` is the number of elements in the batch.
    pub(crate) fn learn(&self, moments: &Moments, numbers: usize) -> Result<()> {
        let columns = (numbers / self.weight.elem_count()) as f64;
        // As in PyTorch, the running variance is unbiased, but the variance that normalises the batch is not.
        let unbiased = (&moments.variance * (columns / (columns - 1.0).max(1.0)))?;
        blend(&self.running_mean, &moments.mean, self.settings.momentum)?;
        blend(&self.running_var, &unbiased, self.settings.momentum)
    }

    /// Returns scale and shift, both (channels), of batch norm with fixed statistics: y = scale·x + shift. In Eq. 16
    /// these are γ/σ and β − μγ/σ.
    ///
    /// # Errors
    /// When candle fails.
    pub fn scale_and_shift(&self) -> Result<(Tensor, Tensor)> {
        let sigma = (self.running_var.as_tensor() + self.settings.eps)?.sqrt()?;
        let scale = (&self.weight / sigma)?.detach();
        let shift = (&self.bias - (self.running_mean.as_tensor() * &scale)?)?.detach();
        Ok((scale, shift))
    }
}
