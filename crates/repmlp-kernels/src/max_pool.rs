//! 2×2 max pooling with stride 2 in the layout that has images fastest.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::element::{for_dtype, has_kernel, slice, with_slice};

/// (C, H, W, N) → (C, H/2, W/2, N), the largest of each 2×2 square; its gradient goes to the first of equals.
///
/// # Errors
/// When H or W is odd.
pub fn max_pool_2x2(x_chwn: &Tensor) -> Result<Tensor> {
    let (_, h, w, _) = x_chwn.dims4()?;
    if h % 2 != 0 || w % 2 != 0 {
        bail!("2x2 pooling needs an even map, not {h}x{w}");
    }
    if has_kernel(x_chwn) { x_chwn.contiguous()?.apply_op1(MaxPool2x2) } else { composite(x_chwn) }
}

/// The same with candle's operations; its gradient is shared among equals.
pub(crate) fn composite(x_chwn: &Tensor) -> Result<Tensor> {
    let (c, h, w, n) = x_chwn.dims4()?;
    x_chwn.reshape((c, h / 2, 2, w / 2, 2 * n))?.max(2)?.reshape((c, h / 2, w / 2, 2, n))?.max(3)
}

struct MaxPool2x2;

impl CustomOp1 for MaxPool2x2 {
    fn name(&self) -> &'static str {
        "max_pool_2x2"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (c, h, w, n) = layout.shape().dims4()?;
        let y =
            for_dtype!(storage.dtype(), T => T::to_cpu_storage_owned(forward(slice::<T>(storage, layout)?, (w, n))));
        Ok((y, Shape::from((c, h / 2, w / 2, n))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, w, n) = x.dims4()?;
        let dx = for_dtype!(x.dtype(), T => {
            let dx = with_slice::<T, _>(x, |x| with_slice::<T, _>(dy, |dy| backward(x, dy, (w, n))))??;
            Tensor::from_vec(dx, x.shape(), x.device())?
        });
        Ok(Some(dx))
    }
}

/// The four places of a square, given that of its first and the lengths of a row and of a pixel.
fn square(first: usize, row: usize, n: usize) -> [usize; 4] {
    [first, first + n, first + row, first + row + n]
}

fn forward<T: WithDType>(x: &[T], (w, n): (usize, usize)) -> Vec<T> {
    let row = w * n;
    let mut y = vec![T::zero(); x.len() / 4];
    // A pair of rows of x makes a row of y, whatever the channel.
    y.par_chunks_mut(row / 2).zip(x.par_chunks(2 * row)).for_each(|(y, x)| {
        for (column, y) in y.chunks_mut(n).enumerate() {
            for (i, y) in y.iter_mut().enumerate() {
                let [a, b, c, d] = square(2 * column * n + i, row, n).map(|at| x[at]);
                let (top, bottom) = (if b > a { b } else { a }, if d > c { d } else { c });
                *y = if bottom > top { bottom } else { top };
            }
        }
    });
    y
}

fn backward<T: WithDType>(x: &[T], dy: &[T], (w, n): (usize, usize)) -> Vec<T> {
    let row = w * n;
    let mut dx = vec![T::zero(); x.len()];
    dx.par_chunks_mut(2 * row).zip(x.par_chunks(2 * row)).zip(dy.par_chunks(row / 2)).for_each(|((dx, x), dy)| {
        for (column, dy) in dy.chunks(n).enumerate() {
            for (i, &dy) in dy.iter().enumerate() {
                let places = square(2 * column * n + i, row, n);
                let mut largest = places[0];
                for place in &places[1..] {
                    if x[*place] > x[largest] {
                        largest = *place;
                    }
                }
                dx[largest] = dy;
            }
        }
    });
    dx
}
