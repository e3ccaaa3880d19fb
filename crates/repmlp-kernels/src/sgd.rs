//! One step of stochastic gradient descent with momentum, in place and in two passes.

use candle_core::{Result, Tensor, Var, WithDType};

use crate::composed::put;
use crate::element::has_kernel;
use crate::update::{Rule, inplace};

/// Settings of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// Factor of the previous velocity.
    pub momentum: f64,
    /// Factor of the L2 penalty. Its gradient is `weight_decay · parameter`.
    pub weight_decay: f64,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
}

/// Updates a parameter and its velocity, as PyTorch does:
///
/// - d = gradient + `weight_decay`·parameter
/// - velocity ← momentum·velocity + d
/// - parameter ← parameter − `learning_rate`·velocity, or parameter − `learning_rate`·(d + momentum·velocity) with
///   `nesterov`
///
/// # Errors
/// Fails when the shapes differ.
pub fn sgd_step(parameter: &Var, velocity: &Var, gradient: &Tensor, step: SgdStep) -> Result<()> {
    if !has_kernel(parameter) {
        return composite(parameter, velocity, gradient, step);
    }
    let gradient = gradient.contiguous()?;
    // Velocity first: both updates need the old parameter.
    velocity.inplace_op3(&gradient, parameter, &Velocity(step))?;
    parameter.inplace_op3(velocity, &gradient, &Descend(step))
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite(parameter: &Var, velocity: &Var, gradient: &Tensor, step: SgdStep) -> Result<()> {
    let old = parameter.as_detached_tensor();
    let d = (gradient + (&old * step.weight_decay)?)?;
    let moved = ((velocity.as_detached_tensor() * step.momentum)? + &d)?;
    let along = if step.nesterov { (d + (&moved * step.momentum)?)? } else { moved.clone() };
    put(parameter, &(old - (along * step.learning_rate)?)?)?;
    put(velocity, &moved)
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
