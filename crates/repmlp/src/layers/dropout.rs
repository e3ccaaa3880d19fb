//! Dropout (Srivastava et al. 2014) and stochastic depth (Huang et al. 2016). A training pass sets randomly chosen
//! numbers to zero and scales the others up, so that the expectation does not change.
//!
//! The choice depends only on the seed of the run, the step and the name of the layer. One thread draws all random
//! numbers before the tensor is changed. The result therefore has the same bits for any number of threads, and after an
//! interruption of the training.

use candle_core::{Result, Tensor};

use crate::Mode;
use crate::stream::{stream, uniform};
use crate::vars::Scope;

/// Rate and unit of dropout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutSpec {
    /// Probability that a unit is dropped, in [0, 1).
    pub rate: f64,
    /// Unit that is kept or dropped as a whole.
    pub unit: DropoutUnit,
}

/// Unit that is kept or dropped as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropoutUnit {
    /// A single number (ordinary dropout).
    Number,
    /// One channel of one image (PyTorch's `Dropout2d`).
    Channel,
    /// All numbers of one image. At the end of the body of a residual block, this is stochastic depth.
    Image,
}

impl DropoutUnit {
    /// Returns the shape of the random factors for a tensor (C, H, W, N).
    fn factors(self, (c, h, w, n): (usize, usize, usize, usize)) -> (usize, usize, usize, usize) {
        match self {
            Self::Number => (c, h, w, n),
            Self::Channel => (c, 1, 1, n),
            Self::Image => (1, 1, 1, n),
        }
    }
}

impl DropoutSpec {
    /// Numbers per image that a training step keeps for the backward pass: the result and the factors.
    pub(crate) fn kept(self, channels: usize, (h, w): (usize, usize)) -> usize {
        let (c, factor_h, factor_w, _) = self.unit.factors((channels, h, w, 1));
        channels * h * w + c * factor_h * factor_w
    }
}

/// A dropout layer. It is active in training only.
pub struct Dropout {
    spec: DropoutSpec,
    /// Purpose of the random stream. It contains the name of the layer.
    purpose: String,
}

impl Dropout {
    /// Creates the layer. Its name is the name of `scope`.
    pub fn new(spec: DropoutSpec, scope: &Scope<'_>) -> Self {
        Self { spec, purpose: format!("dropout {}", scope.name()) }
    }

    /// Forward pass. The result has the shape of the input, (C, H, W, N).
    ///
    /// # Errors
    /// When the input does not have four dimensions.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Train(draws) = mode else { return Ok(x_chwn.clone()) };
        let shape = self.spec.unit.factors(x_chwn.dims4()?);
        let mut rng = stream(draws.seed, &self.purpose, &[draws.step]);
        let left = (1.0 / (1.0 - self.spec.rate)) as f32;
        let mut factor = || if f64::from(uniform(&mut rng)) < self.spec.rate { 0.0 } else { left };
        let factors: Vec<f32> = (0..shape.0 * shape.1 * shape.2 * shape.3).map(|_| factor()).collect();
        let factors = Tensor::from_vec(factors, shape, x_chwn.device())?.to_dtype(x_chwn.dtype())?;
        x_chwn.broadcast_mul(&factors)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use proptest::prelude::*;

    use super::*;
    use crate::Draws;
    use crate::vars::Vars;

    fn dropout(rate: f64, unit: DropoutUnit, name: &str) -> Dropout {
        let vars = Vars::new(0, DType::F32, &Device::Cpu);
        Dropout::new(DropoutSpec { rate, unit }, &vars.root().enter(name))
    }

    /// Returns the factors for each number of (C, H, W, N), by applying the layer to ones.
    fn factors(layer: &Dropout, shape: (usize, usize, usize, usize), draws: Draws) -> Vec<f32> {
        let ones = Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        layer.forward(&ones, Mode::Train(draws)).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    proptest! {
        #[test]
        fn the_expectation_does_not_change(rate in 0.0..0.9f64, seed: u64, step: u64) {
            let layer = dropout(rate, DropoutUnit::Number, "a");
            let factors = factors(&layer, (8, 5, 5, 50), Draws { seed, step });
            let mean = factors.iter().map(|&f| f64::from(f)).sum::<f64>() / 1e4;
            // A factor has a standard deviation of sqrt(rate / (1 - rate)), at most 3. For the mean of 10,000 factors
            // it is a hundredth of that.
            let deviation = (rate / (1.0 - rate)).sqrt() / 100.0;
            prop_assert!((mean - 1.0).abs() <= 6.0 * deviation + 1e-6, "{mean}");
            let left = (1.0 / (1.0 - rate)) as f32;
            prop_assert!(factors.iter().all(|&f| f.to_bits() == 0 || f.to_bits() == left.to_bits()));
        }

        #[test]
        fn images_are_kept_or_dropped_as_a_whole(rate in 0.0..0.9f64, seed: u64) {
            let (c, side, n) = (3, 2, 2000);
            let factors = factors(&dropout(rate, DropoutUnit::Image, "a"), (c, side, side, n), Draws { seed, step: 4 });
            prop_assert!(factors.chunks_exact(n).all(|pixel| pixel == &factors[..n]));
            let kept = factors[..n].iter().filter(|&&f| f > 0.0).count() as f64 / n as f64;
            // The kept share of 2000 draws has a standard deviation of at most sqrt(1/4 / 2000) = 0.011.
            prop_assert!((kept - (1.0 - rate)).abs() < 0.07, "{kept}");
        }
    }

    #[test]
    fn channels_are_dropped_as_a_whole_and_independently_per_image() {
        let factors = factors(&dropout(0.5, DropoutUnit::Channel, "a"), (40, 2, 2, 3), Draws::default());
        for channel in factors.chunks_exact(12) {
            assert!(channel.chunks_exact(3).all(|pixel| pixel == &channel[..3]));
        }
        assert!(factors.chunks_exact(12).any(|channel| channel[0].to_bits() != channel[1].to_bits()));
    }

    #[test]
    fn draws_depend_on_seed_step_and_name() {
        let of = |name: &str, seed, step| {
            factors(&dropout(0.5, DropoutUnit::Number, name), (4, 2, 2, 4), Draws { seed, step })
        };
        assert_eq!(of("a", 1, 2), of("a", 1, 2));
        for other in [of("b", 1, 2), of("a", 2, 2), of("a", 1, 3)] {
            assert_ne!(of("a", 1, 2), other);
        }
    }

    #[test]
    fn evaluation_drops_nothing() -> Result<()> {
        let x = Tensor::arange(0f32, 16.0, &Device::Cpu)?.reshape((2, 2, 2, 2))?;
        let y = dropout(0.5, DropoutUnit::Number, "a").forward(&x, Mode::Evaluate)?;
        assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, x.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    #[test]
    fn gradients_are_dropped_and_scaled_like_values() -> Result<()> {
        let x = candle_core::Var::ones((2, 3, 3, 4), DType::F32, &Device::Cpu)?;
        let y = dropout(0.5, DropoutUnit::Image, "a").forward(x.as_tensor(), Mode::Train(Draws::default()))?;
        let gradients = y.sum_all()?.backward()?;
        let gradient = gradients.get(&x).unwrap().flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(gradient, y.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }
}
