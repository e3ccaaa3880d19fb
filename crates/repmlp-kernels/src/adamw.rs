//! One step of `AdamW` (Loshchilov and Hutter): weight decay apart from the gradient, in place, in three passes.

use candle_core::{Result, Tensor, Var, WithDType};

use crate::composed::put;
use crate::element::has_kernel;
use crate::update::{Rule, inplace};

/// Settings of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// β₁, the decay rate of the mean gradient.
    pub beta1: f64,
    /// β₂, the decay rate of the mean square.
    pub beta2: f64,
    /// Added to the root of the mean square, so that the step never divides by zero.
    pub eps: f64,
    /// The step multiplies the parameter by 1 − `learning_rate · weight_decay`, whatever its gradient.
    pub weight_decay: f64,
    /// Number of steps up to and including this one; the first is 1.
    pub step: u32,
}

/// Updates a parameter and its two means at step t, as PyTorch does:
///
/// - mean ← β₁·mean + (1 − β₁)·gradient
/// - square ← β₂·square + (1 − β₂)·gradient²
/// - parameter ← parameter·(1 − `learning_rate`·`weight_decay`) − `learning_rate`·m̂/(√v̂ + eps), with m̂ = mean/(1 −
///   β₁ᵗ) and v̂ = square/(1 − β₂ᵗ)
///
/// # Errors
/// Fails when the shapes differ.
pub fn adamw_step(parameter: &Var, mean: &Var, square: &Var, gradient: &Tensor, step: AdamWStep) -> Result<()> {
    if !has_kernel(parameter) {
        return composite(parameter, mean, square, gradient, step);
    }
    let gradient = gradient.contiguous()?;
    // The first two updates ignore their third tensor. It is passed because `inplace_op3` takes three.
    mean.inplace_op3(&gradient, parameter, &Mean(step))?;
    square.inplace_op3(&gradient, parameter, &Square(step))?;
    parameter.inplace_op3(mean, square, &Descend::new(step))
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite(parameter: &Var, mean: &Var, square: &Var, gradient: &Tensor, step: AdamWStep) -> Result<()> {
    put(mean, &((mean.as_detached_tensor() * step.beta1)? + (gradient * (1.0 - step.beta1))?)?)?;
    put(square, &((square.as_detached_tensor() * step.beta2)? + (gradient.sqr()? * (1.0 - step.beta2))?)?)?;
    let unbiased_mean = (mean.as_detached_tensor() / (1.0 - power(step.beta1, step.step)))?;
    let root = ((square.as_detached_tensor() / (1.0 - power(step.beta2, step.step)))?.sqrt()? + step.eps)?;
    let kept = (parameter.as_detached_tensor() * (1.0 - step.learning_rate * step.weight_decay))?;
    put(parameter, &(kept - ((unbiased_mean / root)? * step.learning_rate)?)?)
}

fn power(base: f64, exponent: u32) -> f64 {
    base.powi(i32::try_from(exponent).unwrap_or(i32::MAX))
}

struct Mean(AdamWStep);
struct Square(AdamWStep);

/// The update parameter ← kept·parameter − rate·mean/(root·√square + eps).
struct Descend {
    kept: f64,
    rate: f64,
    root: f64,
    eps: f64,
}

impl Descend {
    fn new(step: AdamWStep) -> Self {
        Self {
            kept: 1.0 - step.learning_rate * step.weight_decay,
            rate: step.learning_rate / (1.0 - power(step.beta1, step.step)),
            root: (1.0 - power(step.beta2, step.step)).sqrt().recip(),
            eps: step.eps,
        }
    }
}

impl Rule for Mean {
    const NAME: &'static str = "adamw_mean";
    #[inline(always)]
    fn apply<T: WithDType>(&self, mean: T, gradient: T, _parameter: T) -> T {
        T::from_f64(self.0.beta1) * mean + T::from_f64(1.0 - self.0.beta1) * gradient
    }
}

impl Rule for Square {
    const NAME: &'static str = "adamw_square";
    #[inline(always)]
    fn apply<T: WithDType>(&self, square: T, gradient: T, _parameter: T) -> T {
        T::from_f64(self.0.beta2) * square + T::from_f64(1.0 - self.0.beta2) * gradient * gradient
    }
}

impl Rule for Descend {
    const NAME: &'static str = "adamw_descend";
    #[inline(always)]
    fn apply<T: WithDType>(&self, parameter: T, mean: T, square: T) -> T {
        // The number trait has no square root.
        let root = T::from_f64(square.to_f64().sqrt());
        let kept = T::from_f64(self.kept) * parameter;
        kept - T::from_f64(self.rate) * mean / (T::from_f64(self.root) * root + T::from_f64(self.eps))
    }
}

inplace!(Mean);
inplace!(Square);
inplace!(Descend);

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::oracle_tests::difference;

    #[test]
    fn the_first_step_of_adamw_is_the_learning_rate_times_the_sign() {
        // At step 1, m̂ = g and √v̂ = |g|. The decay takes 0.1·0.5 of the parameter.
        let parameter = Var::new(&[2f64, -2.0], &Device::Cpu).unwrap();
        let zeros = || Var::zeros(2, DType::F64, &Device::Cpu).unwrap();
        let gradient = Tensor::new(&[3f64, -0.25], &Device::Cpu).unwrap();
        let step = AdamWStep { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, eps: 0.0, weight_decay: 0.5, step: 1 };
        adamw_step(&parameter, &zeros(), &zeros(), &gradient, step).unwrap();
        let expected = Tensor::new(&[2.0 * 0.95 - 0.1, -2.0 * 0.95 + 0.1], &Device::Cpu).unwrap();
        assert!(difference(&parameter, &expected).unwrap() < 1e-12);
    }

    #[test]
    fn adamw_equals_pytorchs() {
        // torch 2.15: AdamW([2, -2, 0.5], lr=0.1, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.1) with these gradients.
        let of = |numbers: [f64; 3]| Var::new(&numbers, &Device::Cpu).unwrap();
        let (parameter, mean, square) = (of([2.0, -2.0, 0.5]), of([0.0; 3]), of([0.0; 3]));
        for (gradient, number) in [[3.0, -0.25, 0.0], [-1.0, 0.5, 2.0], [0.125, -4.0, 1.0]].into_iter().zip(1..) {
            let step =
                AdamWStep { learning_rate: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-3, weight_decay: 0.1, step: number };
            adamw_step(&parameter, &mean, &square, &of(gradient), step).unwrap();
        }
        let expected = of([1.7693884470328967, -1.8200159436641623, 0.3318068551154266]);
        assert!(difference(&parameter, &expected).unwrap() < 1e-14);
    }
}
