//! Batch norm over the rows of a matrix: row = channel (or feature), columns = everything that shares its statistics.

use candle_core::{Result, Tensor, Var};
use repmlp_kernels::{Epilogue, LinearMap, Moments, NormedBranch, affine_with_epilogue, batch_norm_with_epilogue};

use crate::Mode;
use crate::vars::{Init, Scope};

/// What every batch norm of a network shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormSettings {
    /// Keeps the variance away from zero.
    pub eps: f64,
    /// Share of a batch's statistics in the running ones.
    pub momentum: f64,
}

impl Default for BatchNormSettings {
    /// The framework defaults that the paper trains with.
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
    /// For `channels` rows; starts as the identity on standardised input.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(channels: usize, scope: &Scope<'_>) -> Result<Self> {
        Ok(Self {
            settings: scope.batch_norm(),
            weight: scope.parameter("weight", channels, Init::Constant(1.0))?,
            bias: scope.parameter("bias", channels, Init::Constant(0.0))?,
            running_mean: scope.statistic("running_mean", channels, 0.0)?,
            running_var: scope.statistic("running_var", channels, 1.0)?,
        })
    }

    /// Normalises x, whose first dimensions are the channels (or features); the shape stays.
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward_with_epilogue(x, mode, Epilogue::None)
    }

    /// The same and what follows it.
    ///
    /// # Errors
    /// When what is added has another shape.
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

    /// A linear map with this norm behind it.
    pub(crate) fn behind<'a>(&'a self, map: LinearMap, weight: &'a Tensor) -> NormedBranch<'a> {
        NormedBranch { map, weight, gamma: &self.weight, beta: &self.bias, eps: self.settings.eps }
    }

    /// Moves the running statistics towards those of a batch that has so many numbers.
    pub(crate) fn learn(&self, moments: &Moments, numbers: usize) -> Result<()> {
        let columns = (numbers / self.weight.elem_count()) as f64;
        // The running variance is unbiased, the normalising one is not: PyTorch's convention.
        let unbiased = (&moments.variance * (columns / (columns - 1.0).max(1.0)))?;
        for (running, batch) in [(&self.running_mean, &moments.mean), (&self.running_var, &unbiased)] {
            let momentum = self.settings.momentum;
            running.set(&((running.as_tensor() * (1.0 - momentum))? + (batch * momentum)?)?)?;
        }
        Ok(())
    }

    /// What batch norm does with fixed statistics: y = scale·x + shift, both (channels); γ/σ and β − μγ/σ of Eq. 16.
    ///
    /// # Errors
    /// Those of candle.
    pub fn scale_and_shift(&self) -> Result<(Tensor, Tensor)> {
        let sigma = (self.running_var.as_tensor() + self.settings.eps)?.sqrt()?;
        let scale = (&self.weight / sigma)?.detach();
        let shift = (&self.bias - (self.running_mean.as_tensor() * &scale)?)?.detach();
        Ok((scale, shift))
    }
}
