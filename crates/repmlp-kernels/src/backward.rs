//! The backward pass. Candle clears a tensor for each gradient and adds what an operation hands back to it; a weight that one
//! operation uses has nothing to be added to, and weights are large. Kernels hand such gradients over here instead.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

thread_local! {
    /// Weights and their gradients, while a pass of this thread collects them.
    static COLLECTED: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// The gradients of a loss with respect to all variables, as candle's `Tensor::backward` gives them, without a cleared tensor and
/// an addition for each weight of a kernel.
///
/// # Errors
/// Those of candle's pass.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let outer = COLLECTED.replace(Some(Vec::new()));
    let passed = loss.backward();
    let collected = COLLECTED.replace(outer).unwrap_or_default();
    let mut gradients = passed?;
    for (weight, gradient) in collected {
        let sum = match gradients.remove(&weight) {
            Some(there) => (there + gradient)?,
            None => gradient,
        };
        gradients.insert(&weight, sum);
    }
    Ok(gradients)
}

/// What an operation hands back for a weight: nothing where [`backward`] collects it. Only a variable's gradient may go past candle,
/// for no other operation waits for it.
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

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::backward;
    use crate::grouped_fc;
    use crate::oracle_tests::{difference, numbers};

    #[test]
    fn gradients_are_candles_whoever_else_uses_the_weight() {
        let weight = Var::from_tensor(&numbers(&[6, 4], 1, DType::F64).unwrap()).unwrap();
        let x = Var::from_tensor(&numbers(&[4, 3], 2, DType::F64).unwrap()).unwrap();
        let (w, x_tensor) = (weight.as_tensor(), x.as_tensor());
        // Twice in a kernel, once in an operation of candle's, and once behind an operation that waits for its gradient.
        let twice =
            (grouped_fc(x_tensor, w, 1).unwrap() + grouped_fc(&x_tensor.sqr().unwrap(), w, 1).unwrap()).unwrap();
        let behind = grouped_fc(x_tensor, &w.affine(2.0, 1.0).unwrap(), 1).unwrap();
        let y = ((twice + behind).unwrap() + w.matmul(x_tensor).unwrap()).unwrap();
        let loss = y.sqr().unwrap().sum_all().unwrap();
        let (ours, candles) = (backward(&loss).unwrap(), loss.backward().unwrap());
        for var in [&weight, &x] {
            let (ours, candles) = (ours.get(var).unwrap(), candles.get(var).unwrap());
            assert!(difference(ours, candles).unwrap() < 1e-14);
        }
        assert_eq!(ours.get_ids().count(), candles.get_ids().count());
    }
}
