//! max(x, 0). Candle's own `relu` has gradient 1 at exactly 0, and its backward pass makes four passes over memory.
#![expect(unsafe_code, reason = "outputs are written in full before they count as numbers")]

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::composed::{Passed, with_gradient};
use crate::element::{TASK_ELEMENTS, for_dtype, has_kernel, slice, with_slice};
use crate::fresh::{unwritten, write_all, written};

/// Returns max(x, 0) for any shape. The gradient is 1 where x > 0 and 0 elsewhere.
///
/// # Errors
/// Fails when candle fails.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if has_kernel(x) { x.contiguous()?.apply_op1(Relu) } else { composite(x) }
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite(x: &Tensor) -> Result<Tensor> {
    // Candle's `relu` would turn a NaN into 0.
    with_gradient([x], x.detach().elu(0.0)?, |passed: &Passed<1>| Ok([Some((&passed.dy * passed.y.sign()?)?)]))
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(storage.dtype(), T => T::to_cpu_storage_owned(forward(slice::<T>(storage, layout)?)));
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = for_dtype!(y.dtype(), T => {
            let dx = with_slice::<T, _>(y, |y| with_slice::<T, _>(dy, |dy| backward(y, dy)))??;
            Tensor::from_vec(dx, y.shape(), y.device())?
        });
        Ok(Some(dx))
    }
}

fn forward<T: WithDType>(x: &[T]) -> Vec<T> {
    // This order keeps NaN as NaN, so that a diverging run is noticed.
    map_pairs(x, x, |x, _| if x < T::zero() { T::zero() } else { x })
}

fn backward<T: WithDType>(y: &[T], dy: &[T]) -> Vec<T> {
    map_pairs(y, dy, |y, dy| if y > T::zero() { dy } else { T::zero() })
}

/// Applies f to each pair of elements.
fn map_pairs<T: WithDType>(a: &[T], b: &[T], f: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    let mut all = unwritten(a.len());
    let parts = a.par_chunks(TASK_ELEMENTS).zip(b.par_chunks(TASK_ELEMENTS));
    all.par_chunks_mut(TASK_ELEMENTS)
        .zip(parts)
        .for_each(|(to, (a, b))| write_all(to, a.iter().zip(b).map(|(&a, &b)| f(a, b))));
    // SAFETY: both inputs are as long as the output, so every part is written in full.
    unsafe { written(all) }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::oracle_tests::with_gradients;

    #[test]
    fn relu_keeps_a_nan_and_has_no_gradient_at_zero() {
        let x = Tensor::new(&[f32::NAN, 0.0, -1.0, 2.0], &Device::Cpu).unwrap();
        let y: Vec<f32> = relu(&x).unwrap().to_vec1().unwrap();
        assert!(y[0].is_nan());
        let all = with_gradients(&[Tensor::new(&[0f32, 1.0], &Device::Cpu).unwrap()], |t| relu(&t[0])).unwrap();
        assert_eq!(all[1].to_vec1::<f32>().unwrap()[0].to_bits(), 0);
    }
}
