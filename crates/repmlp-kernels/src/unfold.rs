//! The columns of a convolution (im2col): with them a convolution is a matrix product, forward and backward.
//!
//! Stride 1, odd kernel, zero padding ⌊K/2⌋: all that the paper's section 4.1 uses. Images are fastest in memory, so a
//! row of taps is one copy of whole pixels. Kernels are given as (height, width).

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::element::{for_dtype, has_kernel, slice, with_slice};

/// (C, H, W, N) → (C·Kʰ·Kʷ, H·W·N): row (c, ky, kx) holds, for every pixel, its neighbour at (ky − ⌊Kʰ/2⌋, kx − ⌊Kʷ/2⌋),
/// or 0.
///
/// # Errors
/// Those of candle.
pub fn unfold(x_chwn: &Tensor, kernel: (usize, usize)) -> Result<Tensor> {
    if has_kernel(x_chwn) { x_chwn.contiguous()?.apply_op1(Unfold { kernel }) } else { composite(x_chwn, kernel) }
}

/// The same with candle's operations.
pub(crate) fn composite(x_chwn: &Tensor, (kernel_h, kernel_w): (usize, usize)) -> Result<Tensor> {
    let (c, h, w, n) = x_chwn.dims4()?;
    let (p_h, p_w) = (kernel_h / 2, kernel_w / 2);
    let padded = x_chwn.pad_with_zeros(1, p_h, p_h)?.pad_with_zeros(2, p_w, p_w)?;
    let mut taps = Vec::with_capacity(kernel_h * kernel_w);
    for ky in 0..kernel_h {
        for kx in 0..kernel_w {
            taps.push(padded.narrow(1, ky, h)?.narrow(2, kx, w)?);
        }
    }
    Tensor::stack(&taps, 1)?.reshape((c * kernel_h * kernel_w, h * w * n))
}

struct Unfold {
    kernel: (usize, usize),
}

/// The sizes that both passes walk.
#[derive(Clone, Copy)]
struct Sizes {
    kernel: (usize, usize),
    h: usize,
    w: usize,
    n: usize,
}

/// One horizontal run of taps: `length` pixels of a map's row, seen shifted by one tap.
struct Segment {
    /// First pixel in the row of the output (the convolution's centre).
    output_x: usize,
    /// First pixel in the row of the input.
    input_x: usize,
    /// Pixels.
    length: usize,
}

impl Sizes {
    /// The part of a row that tap `kx` sees inside the map; `None` where the kernel is wider than the map.
    fn segment(self, kx: usize) -> Option<Segment> {
        let p = self.kernel.1 / 2;
        let output_x = p.saturating_sub(kx);
        let input_x = kx.saturating_sub(p);
        let length = self.w.checked_sub(output_x.max(input_x)).filter(|&length| length > 0)?;
        Some(Segment { output_x, input_x, length })
    }

    /// The input row that tap `ky` sees from output row `y`.
    fn input_y(self, y: usize, ky: usize) -> Option<usize> {
        (y + ky).checked_sub(self.kernel.0 / 2).filter(|&input_y| input_y < self.h)
    }
}

impl CustomOp1 for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (c, h, w, n) = layout.shape().dims4()?;
        let sizes = Sizes { kernel: self.kernel, h, w, n };
        let columns = for_dtype!(storage.dtype(), T => {
            T::to_cpu_storage_owned(forward(slice::<T>(storage, layout)?, c, sizes))
        });
        Ok((columns, Shape::from((c * self.kernel.0 * self.kernel.1, h * w * n))))
    }

    fn bwd(&self, x: &Tensor, _columns: &Tensor, d_columns: &Tensor) -> Result<Option<Tensor>> {
        let (_, h, w, n) = x.dims4()?;
        let sizes = Sizes { kernel: self.kernel, h, w, n };
        let dx = for_dtype!(x.dtype(), T => {
            let dx = with_slice::<T, _>(d_columns, |d_columns| backward(d_columns, x.elem_count(), sizes))?;
            Tensor::from_vec(dx, x.shape(), x.device())?
        });
        Ok(Some(dx))
    }
}

fn forward<T: WithDType>(x: &[T], channels: usize, sizes: Sizes) -> Vec<T> {
    let Sizes { kernel: (kernel_h, kernel_w), h, w, n } = sizes;
    let (map, row, taps) = (h * w * n, w * n, kernel_h * kernel_w);
    let mut columns = vec![T::zero(); channels * taps * map];
    columns.par_chunks_mut(map).enumerate().for_each(|(i, columns)| {
        let (c, ky, kx) = (i / taps, i % taps / kernel_w, i % kernel_w);
        let Some(Segment { output_x, input_x, length }) = sizes.segment(kx) else { return };
        for y in 0..h {
            let Some(input_y) = sizes.input_y(y, ky) else { continue };
            let to = y * row + output_x * n;
            let from = c * map + input_y * row + input_x * n;
            columns[to..to + length * n].copy_from_slice(&x[from..from + length * n]);
        }
    });
    columns
}

fn backward<T: WithDType>(d_columns: &[T], elements: usize, sizes: Sizes) -> Vec<T> {
    let Sizes { kernel: (kernel_h, kernel_w), h, w, n } = sizes;
    let (map, row, taps) = (h * w * n, w * n, kernel_h * kernel_w);
    let mut dx = vec![T::zero(); elements];
    dx.par_chunks_mut(row).enumerate().for_each(|(i, dx)| {
        let (c, input_y) = (i / h, i % h);
        for tap in 0..taps {
            let (ky, kx) = (tap / kernel_w, tap % kernel_w);
            // The output row that sees this input row through `ky` is where the mirrored tap looks.
            let Some(y) = sizes.input_y(input_y, kernel_h - 1 - ky) else { continue };
            let Some(Segment { output_x, input_x, length }) = sizes.segment(kx) else { continue };
            let from = (c * taps + tap) * map + y * row + output_x * n;
            let to = input_x * n;
            for (dx, &d) in dx[to..to + length * n].iter_mut().zip(&d_columns[from..from + length * n]) {
                *dx += d;
            }
        }
    });
    dx
}
