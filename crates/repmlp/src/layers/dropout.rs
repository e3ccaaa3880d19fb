//! Dropout (Srivastava et al. 2014) and stochastic depth (Huang et al. 2016): a training pass leaves out by chance, and scales what
//! is left, so that its expectation is the whole.
//!
//! What is left out hangs on the run's seed, the step and the layer's name alone. It is drawn by one thread, before the tensor
//! is touched: neither threads nor a stop of the training change a bit.

use candle_core::{Result, Tensor};

use crate::Mode;
use crate::stream::{stream, uniform};
use crate::vars::Scope;

/// How much is left out, and of what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutSpec {
    /// Share that is left out, in [0, 1).
    pub rate: f64,
    /// What stays or goes as a whole.
    pub unit: DropoutUnit,
}

/// What stays or goes as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropoutUnit {
    /// Each number on its own: dropout.
    Number,
    /// A channel of an image (PyTorch's `Dropout2d`).
    Channel,
    /// All of an image: stochastic depth, when it stands at the end of a residual block's body.
    Image,
}

impl DropoutUnit {
    /// Dimensions of the factors for a tensor (C, H, W, N).
    fn factors(self, (c, h, w, n): (usize, usize, usize, usize)) -> (usize, usize, usize, usize) {
        match self {
            Self::Number => (c, h, w, n),
            Self::Channel => (c, 1, 1, n),
            Self::Image => (1, 1, 1, n),
        }
    }
}

impl DropoutSpec {
    /// Numbers that a training step keeps of one image, given channels and map: what is left, and the factors.
    pub(crate) fn kept(self, channels: usize, (h, w): (usize, usize)) -> usize {
        let (c, factor_h, factor_w, _) = self.unit.factors((channels, h, w, 1));
        channels * h * w + c * factor_h * factor_w
    }
}

/// A layer that leaves out by chance while training and is nothing otherwise.
pub struct Dropout {
    spec: DropoutSpec,
    /// What its stream is for: its name is in it.
    purpose: String,
}

impl Dropout {
    /// The layer with the name of `scope`.
    pub fn new(spec: DropoutSpec, scope: &Scope<'_>) -> Self {
        Self { spec, purpose: format!("dropout {}", scope.name()) }
    }

    /// (C, H, W, N) → the same shape.
    ///
    /// # Errors
    /// When the input has other than four dimensions.
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

    /// What is made of ones: the factors, spread over (C, H, W, N).
    fn factors(layer: &Dropout, shape: (usize, usize, usize, usize), draws: Draws) -> Vec<f32> {
        let ones = Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        layer.forward(&ones, Mode::Train(draws)).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    proptest! {
        #[test]
        fn the_expectation_is_the_whole(rate in 0.0..0.9f64, seed: u64, step: u64) {
            let layer = dropout(rate, DropoutUnit::Number, "a");
            let factors = factors(&layer, (8, 5, 5, 50), Draws { seed, step });
            let mean = factors.iter().map(|&f| f64::from(f)).sum::<f64>() / 1e4;
            // A factor deviates by sqrt(rate / (1 - rate)), at most 3; the mean of 10,000 by a hundredth of that.
            let deviation = (rate / (1.0 - rate)).sqrt() / 100.0;
            prop_assert!((mean - 1.0).abs() <= 6.0 * deviation + 1e-6, "{mean}");
            let left = (1.0 / (1.0 - rate)) as f32;
            prop_assert!(factors.iter().all(|&f| f.to_bits() == 0 || f.to_bits() == left.to_bits()));
        }

        #[test]
        fn images_are_kept_or_left_out_as_a_whole(rate in 0.0..0.9f64, seed: u64) {
            let (c, side, n) = (3, 2, 2000);
            let factors = factors(&dropout(rate, DropoutUnit::Image, "a"), (c, side, side, n), Draws { seed, step: 4 });
            prop_assert!(factors.chunks_exact(n).all(|pixel| pixel == &factors[..n]));
            let kept = factors[..n].iter().filter(|&&f| f > 0.0).count() as f64 / n as f64;
            // A share of 2000 draws deviates by at most sqrt(1/4 / 2000) = 0.011.
            prop_assert!((kept - (1.0 - rate)).abs() < 0.07, "{kept}");
        }
    }

    #[test]
    fn channels_of_an_image_go_as_a_whole_and_each_on_its_own() {
        let factors = factors(&dropout(0.5, DropoutUnit::Channel, "a"), (40, 2, 2, 3), Draws::default());
        for channel in factors.chunks_exact(12) {
            assert!(channel.chunks_exact(3).all(|pixel| pixel == &channel[..3]));
        }
        assert!(factors.chunks_exact(12).any(|channel| channel[0].to_bits() != channel[1].to_bits()));
    }

    #[test]
    fn draws_hang_on_seed_step_and_name_and_on_nothing_else() {
        let of = |name: &str, seed, step| {
            factors(&dropout(0.5, DropoutUnit::Number, name), (4, 2, 2, 4), Draws { seed, step })
        };
        assert_eq!(of("a", 1, 2), of("a", 1, 2));
        for other in [of("b", 1, 2), of("a", 2, 2), of("a", 1, 3)] {
            assert_ne!(of("a", 1, 2), other);
        }
    }

    #[test]
    fn an_evaluation_leaves_nothing_out() -> Result<()> {
        let x = Tensor::arange(0f32, 16.0, &Device::Cpu)?.reshape((2, 2, 2, 2))?;
        let y = dropout(0.5, DropoutUnit::Number, "a").forward(&x, Mode::Evaluate)?;
        assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, x.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    #[test]
    fn gradients_are_scaled_and_left_out_alike() -> Result<()> {
        let x = candle_core::Var::ones((2, 3, 3, 4), DType::F32, &Device::Cpu)?;
        let y = dropout(0.5, DropoutUnit::Image, "a").forward(x.as_tensor(), Mode::Train(Draws::default()))?;
        let gradients = y.sum_all()?.backward()?;
        let gradient = gradients.get(&x).unwrap().flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(gradient, y.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }
}
