//! Average pooling. Windows that do not overlap and cover the map exactly are sums of rows. All other windows are a
//! depthwise convolution with equal, untrained weights.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::composed::{Passed, with_gradient};
use crate::conv::{ConvGeometry, conv2d};
use crate::element::{for_dtype, has_kernel, slice, with_slice};
use crate::max_pool::PoolGeometry;
use crate::simd::{InstructionSet, for_each_set};

/// Returns the mean of each window: (C, H, W, N) → (C, H', W', N), with H' = ⌊(H + 2·padding − kernel)/stride⌋ + 1 and
/// W' likewise. Padding counts as zeros, which is the default in PyTorch.
///
/// # Errors
/// Fails when the window is larger than the padded map, or when a dimension is empty.
pub fn avg_pool2d(x_chwn: &Tensor, geometry: PoolGeometry) -> Result<Tensor> {
    match Windows::of(x_chwn, geometry)? {
        Some(windows) if has_kernel(x_chwn) => x_chwn.contiguous()?.apply_op1(windows),
        Some(windows) => windows.composite(x_chwn),
        None => by_convolution(x_chwn, geometry),
    }
}

fn by_convolution(x_chwn: &Tensor, geometry: PoolGeometry) -> Result<Tensor> {
    let (channels, ..) = x_chwn.dims4()?;
    let PoolGeometry { kernel, stride, padding } = geometry;
    let share = 1.0 / (kernel.0 * kernel.1).max(1) as f64;
    let weight = (Tensor::ones((channels, 1, kernel.0, kernel.1), x_chwn.dtype(), x_chwn.device())? * share)?;
    conv2d(x_chwn, &weight, ConvGeometry { stride, padding, dilation: (1, 1), groups: channels })
}

/// Windows that do not overlap and cover the map exactly.
struct Windows {
    /// Height and width of a window, in pixels.
    kernel: (usize, usize),
    /// Number of windows along the height and the width.
    count: (usize, usize),
    channels: usize,
    images: usize,
}

impl Windows {
    /// Returns `None` when windows overlap, skip pixels or reach beyond the map.
    fn of(x_chwn: &Tensor, geometry: PoolGeometry) -> Result<Option<Self>> {
        let (channels, h, w, images) = x_chwn.dims4()?;
        let PoolGeometry { kernel, stride, padding } = geometry;
        let fits = |size: usize, kernel: usize| kernel > 0 && size > 0 && size.is_multiple_of(kernel);
        let covers = kernel == stride && padding == (0, 0) && fits(h, kernel.0) && fits(w, kernel.1);
        let count = || (h / kernel.0, w / kernel.1);
        Ok((covers && channels > 0 && images > 0).then(|| Self { kernel, count: count(), channels, images }))
    }

    /// Returns the means, computed with candle's operations.
    fn composite(&self, x_chwn: &Tensor) -> Result<Tensor> {
        let Self { kernel, count, channels, images } = *self;
        let view = (channels * count.0, kernel.0, count.1, kernel.1, images);
        let y = (x_chwn.detach().reshape(view)?.sum((1, 3))? * self.share())?;
        let share = self.share();
        with_gradient([x_chwn], y.reshape((channels, count.0, count.1, images))?, move |passed: &Passed<1>| {
            let of_pixel = (&passed.dy * share)?.reshape((view.0, 1, view.2, 1, view.4))?.broadcast_as(view)?;
            Ok([Some(of_pixel.reshape(passed.inputs[0].shape())?)])
        })
    }

    /// Number of values in a row of pixels.
    fn row(&self) -> usize {
        self.count.1 * self.kernel.1 * self.images
    }

    fn share(&self) -> f64 {
        1.0 / (self.kernel.0 * self.kernel.1) as f64
    }

    /// Returns the mean of each window. Each task computes one row of windows from its rows of pixels.
    fn means<T: WithDType>(&self, x: &[T]) -> Vec<T> {
        let (set, of_row) = (InstructionSet::get(), self.count.1 * self.images);
        let mut means = vec![T::zero(); self.channels * self.count.0 * of_row];
        means.par_chunks_mut(of_row).zip(x.par_chunks(self.kernel.0 * self.row())).for_each(|(means, rows)| {
            let mut sums = vec![0.0; of_row];
            for row in rows.chunks_exact(self.row()) {
                add_row(set, row, self.kernel.1, self.images, &mut sums);
            }
            means.iter_mut().zip(sums).for_each(|(mean, sum)| *mean = T::from_f64(sum * self.share()));
        });
        means
    }

    /// Returns the gradient of x.
    fn spread<T: WithDType>(&self, dy: &[T]) -> Vec<T> {
        let (share, of_row) = (T::from_f64(self.share()), self.count.1 * self.images);
        let mut dx = vec![T::zero(); self.channels * self.count.0 * self.kernel.0 * self.row()];
        dx.par_chunks_mut(self.kernel.0 * self.row()).zip(dy.par_chunks(of_row)).for_each(|(rows, dy)| {
            for (i, pixel) in rows.chunks_exact_mut(self.images).enumerate() {
                let window = i / self.kernel.1 % self.count.1;
                let dy = &dy[window * self.images..][..self.images];
                pixel.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx = dy * share);
            }
        });
        dx
    }
}

for_each_set! {
    /// Adds a row of pixels to the sums (window, image).
    fn add_row[T: WithDType](row: &[T], columns: usize, images: usize, sums: &mut [f64]) {
        for (window, sums) in row.chunks_exact(columns * images).zip(sums.chunks_exact_mut(images)) {
            for pixel in window.chunks_exact(images) {
                for (sum, x) in sums.iter_mut().zip(pixel) {
                    *sum += x.to_f64();
                }
            }
        }
    }
}

impl CustomOp1 for Windows {
    fn name(&self) -> &'static str {
        "avg_pool2d_chwn"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(x.dtype(), T => T::to_cpu_storage_owned(self.means(slice::<T>(x, layout)?)));
        Ok((y, Shape::from((self.channels, self.count.0, self.count.1, self.images))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = for_dtype!(x.dtype(), T => {
            Tensor::from_vec(with_slice::<T, _>(dy, |dy| self.spread(dy))?, x.shape(), x.device())?
        });
        Ok(Some(dx))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{Windows, avg_pool2d};
    use crate::PoolGeometry;
    use crate::oracle_tests::{agree, bound, numbers};

    proptest! {
        #[test]
        fn windows_that_cover_a_map_equal_their_composite(
            c in 1..4usize,
            kernel in (1..5usize, 1..5usize),
            count in (1..4usize, 1..4usize),
            n in 1..20usize,
            double in any::<bool>(),
        ) {
            let dtype = if double { DType::F64 } else { DType::F32 };
            let x = numbers(&[c, kernel.0 * count.0, kernel.1 * count.1, n], 9, dtype).unwrap();
            let geometry = PoolGeometry { kernel, stride: kernel, padding: (0, 0) };
            let windows = Windows::of(&x, geometry).unwrap().unwrap();
            let worst = agree(&[x], |t| avg_pool2d(&t[0], geometry), |t| windows.composite(&t[0])).unwrap();
            prop_assert!(worst < bound(dtype), "{worst}");
        }
    }
}
