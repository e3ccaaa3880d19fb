//! How exact the factors of matrix products are. Everything else is computed in the type of the tensors.

use std::borrow::Cow;
use std::cell::Cell;

use candle_core::{DType, Device, Result, Tensor, WithDType};
use half::bf16;

/// How exact the factors of products are, in convolutions and FC layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Factors {
    /// As they are.
    #[default]
    Exact,
    /// Both factors are rounded to bf16, which has 8 bits, and their products are added in f32. A GPU also rounds the
    /// result. Only for f32 tensors.
    Bf16,
}

thread_local! {
    static CURRENT: Cell<Factors> = const { Cell::new(Factors::Exact) };
}

/// Calls `f`. The operations that it makes use these factors, and so do their gradients, whenever they are computed.
pub fn with_factors<R>(factors: Factors, f: impl FnOnce() -> R) -> R {
    /// Sets the precision back, also after a panic.
    struct Back(Factors);
    impl Drop for Back {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _back = Back(CURRENT.replace(factors));
    f()
}

impl Factors {
    /// Returns the factors of new operations on this thread.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.get()
    }

    fn rounds(self, dtype: DType) -> bool {
        self == Self::Bf16 && dtype == DType::F32
    }

    /// Returns the numbers as a factor of a product.
    pub(crate) fn of<T: WithDType>(self, numbers: &[T]) -> Cow<'_, [T]> {
        if !self.rounds(T::DTYPE) {
            return Cow::Borrowed(numbers);
        }
        Cow::Owned(numbers.iter().map(|number| T::from_f64(bf16::from_f64(number.to_f64()).to_f64())).collect())
    }

    /// Returns a·b for tensors without a graph.
    ///
    /// # Errors
    /// Fails when the shapes do not fit.
    pub(crate) fn product(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        if !self.rounds(a.dtype()) {
            return a.matmul(b);
        }
        let (a, b) = (a.to_dtype(DType::BF16)?, b.to_dtype(DType::BF16)?);
        if matches!(a.device(), Device::Cpu) {
            // Candle's CPU has no products of bf16.
            return a.to_dtype(DType::F32)?.matmul(&b.to_dtype(DType::F32)?);
        }
        a.matmul(&b)?.to_dtype(DType::F32)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::oracle_tests::{difference, numbers};
    use crate::{ConvGeometry, backward, conv2d};

    #[test]
    fn rounded_factors_end_with_their_call_and_gradients_keep_it() {
        let x = Var::from_tensor(&numbers(&[4, 6, 6, 9], 1, DType::F32).unwrap()).unwrap();
        let weight = Var::from_tensor(&numbers(&[5, 4, 3, 3], 2, DType::F32).unwrap()).unwrap();
        let geometry = ConvGeometry { stride: (1, 1), padding: (1, 1), dilation: (1, 1), groups: 1 };
        let run = |factors: Factors| {
            let y = with_factors(factors, || conv2d(x.as_tensor(), weight.as_tensor(), geometry)).unwrap();
            let gradients = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
            [y.detach(), gradients.get(&x).unwrap().clone(), gradients.get(&weight).unwrap().clone()]
        };
        let (full, rounded) = (run(Factors::Exact), run(Factors::Bf16));
        for (full, rounded) in full.iter().zip(&rounded) {
            // A factor is off by up to 2^-9 = 0.002, a product by twice that. Relative to the largest of the sums,
            // which have at least twenty terms of both signs, this is less; it is never zero.
            let difference = difference(rounded, full).unwrap();
            assert!(difference > 1e-5 && difference < 8e-3, "{difference:e}");
        }
        assert_eq!(Factors::current(), Factors::Exact);
        assert!(run(Factors::Exact).iter().zip(&full).all(|(a, b)| difference(a, b).unwrap() <= 0.0));
    }
}
