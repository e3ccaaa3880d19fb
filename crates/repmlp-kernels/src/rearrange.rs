//! Reordering dimensions in a single copy. Candle needs three operations for it, each with its own backward passes.
#![expect(unsafe_code, reason = "outputs are written in full before they count as numbers")]

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::composed::{Passed, with_gradient};
use crate::element::{TASK_ELEMENTS, for_dtype, has_kernel, slice, with_slice};
use crate::fresh::{unwritten, write_all, written};
use crate::pixels::{Sizes, add_to_pixels};

/// Returns the numbers of x in another order. x is viewed with shape `view`; dimension `order[i]` of the view becomes
/// dimension i. The result is contiguous and has the shape `result`.
///
/// # Errors
/// Fails when `view` or `result` has another number of elements than x, or when `order` is not a permutation of the
/// dimensions of `view`.
pub fn rearrange<const D: usize>(
    x: &Tensor,
    view: [usize; D],
    order: [usize; D],
    result: impl Into<Shape>,
) -> Result<Tensor> {
    let result = result.into();
    check(x, &view, &order, &result)?;
    if has_kernel(x) {
        x.contiguous()?.apply_op1(Rearrange { view, order, result })
    } else {
        composite(x, view, order, &result)
    }
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite<const D: usize>(
    x: &Tensor,
    view: [usize; D],
    order: [usize; D],
    result: &Shape,
) -> Result<Tensor> {
    let y = x.detach().reshape(&view[..])?.permute(&order[..])?.force_contiguous()?.reshape(result)?;
    with_gradient([x], y, move |passed: &Passed<1>| {
        let dy = passed.dy.reshape(order.map(|d| view[d]).as_slice())?.permute(inverse(order).as_slice())?;
        Ok([Some(dy.reshape(passed.inputs[0].shape())?)])
    })
}

/// Returns the order that undoes `order`.
fn inverse<const D: usize>(order: [usize; D]) -> [usize; D] {
    let mut back = [0; D];
    for (i, &d) in order.iter().enumerate() {
        back[d] = i;
    }
    back
}

/// Like `rearrange` to (C, …, M), and adds `shared` (C, M) to each pixel, that is to every index between the first and
/// the last dimension. A separate addition would cost another pass and another tensor in the graph.
///
/// # Errors
/// Fails when `rearrange` fails, when `shared` does not fit the result, or when x is empty.
pub fn rearrange_plus<const D: usize>(
    x: &Tensor,
    view: [usize; D],
    order: [usize; D],
    result: impl Into<Shape>,
    shared: &Tensor,
) -> Result<Tensor> {
    let result = result.into();
    let runs_fit =
        D > 0 && order[D - 1] == D - 1 && shared.dims().last().is_some_and(|m| m.is_multiple_of(view[D - 1].max(1)));
    if !has_kernel(x) || !runs_fit || x.elem_count() == 0 {
        return add_to_pixels(&rearrange(x, view, order, result)?, shared);
    }
    let sizes = Sizes::of_shape(result.dims())?;
    if shared.dims() != [sizes.channels, sizes.columns] {
        bail!("a tensor of shape {:?} cannot be added to each pixel of {result:?}", shared.dims());
    }
    check(x, &view, &order, &result)?;
    let rearrange = Rearrange { view, order, result };
    x.contiguous()?.apply_op2(&shared.contiguous()?, RearrangePlus { rearrange, sizes })
}

/// Fails when the shapes have different numbers of elements, or when `order` is not a permutation of the dimensions of
/// `view`.
fn check(x: &Tensor, view: &[usize], order: &[usize], result: &Shape) -> Result<()> {
    let count = x.elem_count();
    if view.iter().product::<usize>() != count || result.elem_count() != count {
        bail!("a tensor of shape {:?} cannot become {view:?} and {result:?}: the numbers of elements differ", x.dims());
    }
    if (0..view.len()).any(|d| !order.contains(&d)) {
        bail!("{order:?} is not a permutation of {} dimensions", view.len());
    }
    Ok(())
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
            T::to_cpu_storage_owned(copy(slice::<T>(x, layout)?, self.view, self.order, None))
        });
        Ok((y, self.result.clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        self.back(x, dy).map(Some)
    }
}

impl<const D: usize> Rearrange<D> {
    /// Returns dy in the order of x.
    fn back(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let mut back = [0; D];
        for (i, &d) in self.order.iter().enumerate() {
            back[d] = i;
        }
        for_dtype!(x.dtype(), T => {
            let dx = with_slice::<T, _>(dy, |dy| copy(dy, self.order.map(|d| self.view[d]), back, None))?;
            Tensor::from_vec(dx, x.shape(), x.device())
        })
    }
}

struct RearrangePlus<const D: usize> {
    rearrange: Rearrange<D>,
    sizes: Sizes,
}

impl<const D: usize> CustomOp2 for RearrangePlus<D> {
    fn name(&self) -> &'static str {
        "rearrange_plus"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        shared: &CpuStorage,
        shared_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Rearrange { view, order, ref result } = self.rearrange;
        let y = for_dtype!(x.dtype(), T => {
            let (x, shared) = (slice::<T>(x, x_layout)?, slice::<T>(shared, shared_layout)?);
            T::to_cpu_storage_owned(copy(x, view, order, Some((shared, self.sizes))))
        });
        Ok((y, result.clone()))
    }

    fn bwd(&self, x: &Tensor, shared: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let d_shared = for_dtype!(x.dtype(), T => {
            let d_shared = with_slice::<T, _>(dy, |dy| self.sizes.sum(dy, 1.0))?;
            Tensor::from_vec(d_shared, shared.shape(), shared.device())?
        });
        // Input images need no gradient.
        let dx = if x.track_op() { Some(self.rearrange.back(x, dy)?) } else { None };
        Ok((dx, Some(d_shared)))
    }
}

/// Copies x in runs: a run is the last dimension of the result. It is contiguous in x where that dimension is also the
/// last of the view. `plus` holds numbers to add, which the pixels of a channel share. A run never crosses the end of a
/// row of these numbers.
fn copy<T: WithDType, const D: usize>(
    x: &[T],
    view: [usize; D],
    order: [usize; D],
    plus: Option<(&[T], Sizes)>,
) -> Vec<T> {
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
            if let Some((shared, sizes)) = plus {
                let place = (task * runs_a_task + i) * run;
                let channel = place / (sizes.pixels * sizes.columns);
                let shared = &shared[channel * sizes.columns + place % sizes.columns..][..run];
                write_all(to, x[start..start + run].iter().zip(shared).map(|(&x, &shared)| x + shared));
            } else if step == 1 {
                write_all(to, x[start..start + run].iter().copied());
            } else {
                write_all(to, (0..run).map(|i| x[start + i * step]));
            }
        }
    });
    // SAFETY: the tasks cover all runs, and each writes as many numbers as its run has.
    unsafe { written(y) }
}
