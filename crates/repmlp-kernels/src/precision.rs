//! The number type of matrix products in training. Everything else is computed in the type of the tensors.

use std::borrow::Cow;
use std::cell::Cell;

use candle_core::{DType, Device, Result, Tensor, WithDType};
use half::bf16;

/// How exact the products of convolutions and FC layers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In the type of the tensors.
    #[default]
    Full,
    /// Both factors are rounded to bf16, which has 8 bits, and their products are added in f32. A GPU also rounds the
    /// result. Only for f32 tensors.
    Bf16,
}

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::Full) };
}

/// Calls `f`. The operations that it makes use this precision, and so do their gradients, whenever they are computed.
pub fn with_precision<R>(precision: Precision, f: impl FnOnce() -> R) -> R {
    /// Sets the precision back, also after a panic.
    struct Back(Precision);
    impl Drop for Back {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _back = Back(CURRENT.replace(precision));
    f()
}

impl Precision {
    /// Returns the precision of new operations on this thread.
    pub(crate) fn current() -> Self {
        CURRENT.get()
    }

    fn rounds(self, dtype: DType) -> bool {
        self == Self::Bf16 && dtype == DType::F32
    }

    /// Returns the numbers as a factor of a product.
    pub(crate) fn factor<T: WithDType>(self, numbers: &[T]) -> Cow<'_, [T]> {
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
    fn a_precision_ends_with_its_call_and_gradients_keep_it() {
        let x = Var::from_tensor(&numbers(&[4, 6, 6, 9], 1, DType::F32).unwrap()).unwrap();
        let weight = Var::from_tensor(&numbers(&[5, 4, 3, 3], 2, DType::F32).unwrap()).unwrap();
        let geometry = ConvGeometry { stride: (1, 1), padding: (1, 1), dilation: (1, 1), groups: 1 };
        let run = |precision: Precision| {
            let y = with_precision(precision, || conv2d(x.as_tensor(), weight.as_tensor(), geometry)).unwrap();
            let gradients = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
            [y.detach(), gradients.get(&x).unwrap().clone(), gradients.get(&weight).unwrap().clone()]
        };
        let (full, rounded) = (run(Precision::Full), run(Precision::Bf16));
        for (full, rounded) in full.iter().zip(&rounded) {
            // A factor is off by up to 2^-9 = 0.002, a product by twice that. Relative to the largest of the sums,
            // which have at least twenty terms of both signs, this is less; it is never zero.
            let difference = difference(rounded, full).unwrap();
            assert!(difference > 1e-5 && difference < 8e-3, "{difference:e}");
        }
        assert_eq!(Precision::current(), Precision::Full);
        assert!(run(Precision::Full).iter().zip(&full).all(|(a, b)| difference(a, b).unwrap() <= 0.0));
    }
}
