//! The backward pass. For each gradient, candle clears a tensor and adds to it what operations return. For a large
//! weight that only one operation uses, this is wasted work. Kernels pass such gradients on directly, through this
//! module.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, bail};

thread_local! {
    /// Weights and their gradients, while a backward pass on this thread collects them.
    static COLLECTED: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// A backward pass that collects gradients. When it ends, even with an error, the enclosing pass collects again, if
/// there is one.
struct Collecting {
    outer: Option<Vec<(Tensor, Tensor)>>,
}

impl Collecting {
    fn begin() -> Self {
        Self { outer: COLLECTED.replace(Some(Vec::new())) }
    }

    fn collected() -> Vec<(Tensor, Tensor)> {
        COLLECTED.with_borrow_mut(|collected| collected.as_mut().map(std::mem::take).unwrap_or_default())
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        COLLECTED.set(self.outer.take());
    }
}

/// Returns the gradients of a loss with respect to all variables. They equal those of candle's `Tensor::backward` up to
/// rounding, but save a cleared tensor and an addition for each large weight of a kernel. While it runs, an operation's
/// own backward pass must not call `Tensor::backward`: this pass would collect the gradients of that one.
///
/// # Errors
/// Fails when candle's pass fails.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let collecting = Collecting::begin();
    let mut gradients = loss.backward()?;
    let collected = Collecting::collected();
    drop(collecting);
    for (weight, gradient) in collected {
        let sum = match gradients.remove(&weight) {
            Some(there) => (there + gradient)?,
            None => gradient,
        };
        gradients.insert(&weight, sum);
    }
    Ok(gradients)
}

/// Returns the gradient of a weight that an operation hands to candle: `None` where [`backward`] collects it. Only
/// gradients of variables are collected, because no other operation waits for them.
pub(crate) fn of_weight(weight: &Tensor, gradient: Tensor) -> Option<Tensor> {
    if !weight.is_variable() {
        return Some(gradient);
    }
    COLLECTED.with_borrow_mut(|collected| match collected {
        Some(collected) => {
            collected.push((weight.clone(), gradient));
            None
        }
        None => Some(gradient),
    })
}

/// Collects the gradient of a variable that the operation does not have as an input. `gradient` is not computed for a
/// tensor that needs none.
///
/// # Errors
/// Fails outside of [`backward`], where the gradient would be lost, and when `gradient` fails.
pub(crate) fn collect(variable: &Tensor, gradient: impl FnOnce() -> Result<Tensor>) -> Result<()> {
    if !variable.track_op() {
        return Ok(());
    }
    let gradient = gradient()?;
    COLLECTED.with_borrow_mut(|collected| match collected {
        Some(collected) if variable.is_variable() => {
            collected.push((variable.clone(), gradient));
            Ok(())
        }
        _ => bail!("this operation needs the backward pass of repmlp_kernels: candle's own would lose a gradient"),
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{CustomOp1, DType, Result, Tensor, Var};

    use super::{COLLECTED, Collecting, backward, of_weight};
    use crate::grouped_fc;
    use crate::oracle_tests::{difference, numbers};

    fn var(shape: &[usize], seed: u64) -> Var {
        Var::from_tensor(&numbers(shape, seed, DType::F64).unwrap()).unwrap()
    }

    #[test]
    fn gradients_equal_candles_when_other_operations_use_the_weight_too() {
        let (weight, x, alone) = (var(&[6, 4], 1), var(&[4, 3], 2), var(&[6, 4], 3));
        let (w, x_tensor) = (weight.as_tensor(), x.as_tensor());
        // The weight is used twice in a kernel, once in a candle operation, and once through an operation that needs
        // its gradient.
        let twice =
            (grouped_fc(x_tensor, w, 1).unwrap() + grouped_fc(&x_tensor.sqr().unwrap(), w, 1).unwrap()).unwrap();
        let behind = grouped_fc(x_tensor, &w.affine(2.0, 1.0).unwrap(), 1).unwrap();
        let frozen = grouped_fc(x_tensor, &w.detach(), 1).unwrap();
        let alone_in_a_kernel = grouped_fc(x_tensor, &alone, 1).unwrap();
        let y = [behind, frozen, alone_in_a_kernel, w.matmul(x_tensor).unwrap()];
        let y = y.iter().try_fold(twice, |sum, term| sum + term).unwrap();
        let loss = y.sqr().unwrap().sum_all().unwrap();
        let (ours, candles) = (backward(&loss).unwrap(), loss.backward().unwrap());
        for var in [&weight, &x, &alone] {
            let (ours, candles) = (ours.get(var).unwrap(), candles.get(var).unwrap());
            // Sums of about thirty terms, added in another order. 1e-14 is 45 rounding errors of `f64`.
            assert!(difference(ours, candles).unwrap() < 1e-14);
        }
        assert_eq!(ours.get_ids().count(), candles.get_ids().count());
    }

    #[test]
    fn a_variables_gradient_is_collected_only_while_a_pass_runs() {
        let (weight, gradient) = (var(&[2, 2], 1), numbers(&[2, 2], 2, DType::F64).unwrap());
        let collecting = Collecting::begin();
        assert!(of_weight(&weight, gradient.clone()).is_none());
        assert!(of_weight(&weight.affine(2.0, 0.0).unwrap(), gradient.clone()).is_some());
        // An inner pass collects separately.
        drop(Collecting::begin());
        assert_eq!(Collecting::collected().len(), 1);
        drop(collecting);
        assert!(of_weight(&weight, gradient).is_some());
    }

    /// An operation that fails in its backward pass.
    struct Failing;

    impl CustomOp1 for Failing {
        fn name(&self) -> &'static str {
            "failing"
        }

        fn cpu_fwd(
            &self,
            storage: &candle_core::CpuStorage,
            layout: &candle_core::Layout,
        ) -> Result<(candle_core::CpuStorage, candle_core::Shape)> {
            Ok((storage.clone(), layout.shape().clone()))
        }

        fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
            candle_core::bail!("fails on purpose")
        }
    }

    #[test]
    fn a_pass_that_fails_stops_collecting() {
        let x = var(&[3], 1);
        let loss = x.apply_op1(Failing).unwrap().sum_all().unwrap();
        assert!(backward(&loss).is_err());
        assert!(COLLECTED.with_borrow(Option::is_none));
    }
}
