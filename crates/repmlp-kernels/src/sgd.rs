//! One step of stochastic gradient descent with momentum, in place and in two passes.

use candle_core::{Result, Tensor, Var, WithDType};

use crate::element::has_kernel;
use crate::update::{Rule, inplace};

/// What one step needs besides tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// Share of the velocity that is kept.
    pub momentum: f64,
    /// L2 penalty: its gradient is `weight_decay · parameter`.
    pub weight_decay: f64,
    /// Look ahead along the velocity.
    pub nesterov: bool,
}

/// d = gradient + `weight_decay·parameter`; velocity ← momentum·velocity + d;
/// parameter ← parameter − `learning_rate·(nesterov` ? d + momentum·velocity : velocity), as PyTorch has it.
///
/// # Errors
/// When the shapes differ.
pub fn sgd_step(parameter: &Var, velocity: &Var, gradient: &Tensor, step: SgdStep) -> Result<()> {
    if !has_kernel(parameter) {
        return composite(parameter, velocity, gradient, step);
    }
    let gradient = gradient.contiguous()?;
    // Velocity first: both rules need the parameter as it was.
    velocity.inplace_op3(&gradient, parameter, &Velocity(step))?;
    parameter.inplace_op3(velocity, &gradient, &Descend(step))
}

/// The same with candle's operations.
pub(crate) fn composite(parameter: &Var, velocity: &Var, gradient: &Tensor, step: SgdStep) -> Result<()> {
    let d = (gradient + (parameter.as_tensor() * step.weight_decay)?)?;
    let moved = ((velocity.as_tensor() * step.momentum)? + &d)?;
    velocity.set(&moved)?;
    let along = if step.nesterov { (d + (moved * step.momentum)?)? } else { moved };
    parameter.set(&(parameter.as_tensor() - (along * step.learning_rate)?)?)
}

struct Velocity(SgdStep);
struct Descend(SgdStep);

impl Rule for Velocity {
    const NAME: &'static str = "sgd_velocity";
    #[inline(always)]
    fn apply<T: WithDType>(&self, velocity: T, gradient: T, parameter: T) -> T {
        T::from_f64(self.0.momentum) * velocity + gradient + T::from_f64(self.0.weight_decay) * parameter
    }
}

impl Rule for Descend {
    const NAME: &'static str = "sgd_descend";
    #[inline(always)]
    fn apply<T: WithDType>(&self, parameter: T, velocity: T, gradient: T) -> T {
        let along = if self.0.nesterov {
            gradient + T::from_f64(self.0.weight_decay) * parameter + T::from_f64(self.0.momentum) * velocity
        } else {
            velocity
        };
        parameter - T::from_f64(self.0.learning_rate) * along
    }
}

inplace!(Velocity);
inplace!(Descend);
