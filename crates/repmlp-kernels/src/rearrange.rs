//! Dimensions in another order, as one copy: candle needs three operations for it, each with passes of its own backward.
#![expect(unsafe_code, reason = "outputs are written in full before they count as numbers")]

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::element::{TASK_ELEMENTS, for_dtype, has_kernel, slice, with_slice};
use crate::fresh::{unwritten, write_all, written};

/// The numbers of x as a tensor of shape `view`, whose dimension `order[i]` becomes dimension i; the result is contiguous and has
/// the shape `result`.
///
/// # Errors
/// When the shapes have other numbers of elements than x, or `order` is none of the dimensions of `view`.
pub fn rearrange<const D: usize>(
    x: &Tensor,
    view: [usize; D],
    order: [usize; D],
    result: impl Into<Shape>,
) -> Result<Tensor> {
    let (result, count) = (result.into(), x.elem_count());
    if view.iter().product::<usize>() != count || result.elem_count() != count {
        bail!("{:?} is neither {view:?} nor {result:?}", x.dims());
    }
    if (0..D).any(|d| !order.contains(&d)) {
        bail!("{order:?} is no order of {D} dimensions");
    }
    if has_kernel(x) {
        x.contiguous()?.apply_op1(Rearrange { view, order, result })
    } else {
        composite(x, view, order, &result)
    }
}

/// The same with candle's operations.
pub(crate) fn composite<const D: usize>(
    x: &Tensor,
    view: [usize; D],
    order: [usize; D],
    result: &Shape,
) -> Result<Tensor> {
    x.reshape(&view[..])?.permute(&order[..])?.reshape(result)
}

struct Rearrange<const D: usize> {
    view: [usize; D],
    order: [usize; D],
    result: Shape,
}

impl<const D: usize> CustomOp1 for Rearrange<D> {
    fn name(&self) -> &'static str {
        "rearrange"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(x.dtype(), T => {
            T::to_cpu_storage_owned(copy(slice::<T>(x, layout)?, self.view, self.order))
        });
        Ok((y, self.result.clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let mut back = [0; D];
        for (i, &d) in self.order.iter().enumerate() {
            back[d] = i;
        }
        let dx = for_dtype!(x.dtype(), T => {
            let dx = with_slice::<T, _>(dy, |dy| copy(dy, self.order.map(|d| self.view[d]), back))?;
            Tensor::from_vec(dx, x.shape(), x.device())?
        });
        Ok(Some(dx))
    }
}

/// The last dimension of the result is a run: neighbours in x where that one is the last there too.
fn copy<T: WithDType, const D: usize>(x: &[T], view: [usize; D], order: [usize; D]) -> Vec<T> {
    let mut steps = [1; D];
    for d in (1..D).rev() {
        steps[d - 1] = steps[d] * view[d];
    }
    let (sizes, steps) = (order.map(|d| view[d]), order.map(|d| steps[d]));
    if x.is_empty() {
        return Vec::new();
    }
    let mut y = unwritten(x.len());
    let (run, step) = (sizes[D - 1], steps[D - 1]);
    let runs_a_task = (TASK_ELEMENTS / run).max(1);
    y.par_chunks_mut(run * runs_a_task).enumerate().for_each(|(task, y)| {
        for (i, to) in y.chunks_exact_mut(run).enumerate() {
            let mut rest = task * runs_a_task + i;
            let mut start = 0;
            for d in (0..D - 1).rev() {
                start += rest % sizes[d] * steps[d];
                rest /= sizes[d];
            }
            if step == 1 {
                write_all(to, x[start..start + run].iter().copied());
            } else {
                write_all(to, (0..run).map(|i| x[start + i * step]));
            }
        }
    });
    // SAFETY: the tasks are all runs, and each writes as many numbers as its run has.
    unsafe { written(y) }
}
