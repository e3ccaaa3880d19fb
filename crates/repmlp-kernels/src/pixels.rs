//! Operations on all pixels of a map: their mean, and adding the same numbers to each.
#![expect(unsafe_code, reason = "outputs are written in full before they count as numbers")]

use std::mem::MaybeUninit;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::composed::{Passed, with_gradient};
use crate::element::{for_dtype, has_kernel, slice, with_slice};
use crate::fresh::{unwritten, write_all, written};
use crate::simd::{InstructionSet, for_each_set};

/// Returns the mean over all dimensions between the first and the last: (C, …, M) → (C, M).
///
/// # Errors
/// Fails when x has fewer than two dimensions, or when a dimension is empty.
pub fn mean_pixel(x: &Tensor) -> Result<Tensor> {
    let sizes = Sizes::of(x)?;
    if has_kernel(x) { x.contiguous()?.apply_op1(MeanPixel(sizes)) } else { composite_mean(x) }
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite_mean(x: &Tensor) -> Result<Tensor> {
    let sizes = Sizes::of(x)?;
    let mean = x.detach().reshape(sizes.dims())?.mean(1)?;
    with_gradient([x], mean, move |passed: &Passed<1>| {
        let share = (&passed.dy * (1.0 / sizes.pixels as f64))?.unsqueeze(1)?;
        Ok([Some(share.broadcast_as(sizes.dims())?.reshape(passed.inputs[0].shape())?)])
    })
}

/// Adds `pixel` (C, M) to each pixel of x (C, …, M), that is to every index between the first and the last dimension.
///
/// # Errors
/// Fails when the shapes do not fit.
pub fn add_to_pixels(x: &Tensor, pixel: &Tensor) -> Result<Tensor> {
    let sizes = Sizes::of(x)?;
    if pixel.dims() != [sizes.channels, sizes.columns] {
        bail!("a tensor of shape {:?} cannot be added to each pixel of {:?}", pixel.dims(), x.dims());
    }
    if has_kernel(x) {
        x.contiguous()?.apply_op2(&pixel.contiguous()?, AddToPixels(sizes))
    } else {
        composite_add(x, pixel)
    }
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite_add(x: &Tensor, pixel: &Tensor) -> Result<Tensor> {
    let sizes = Sizes::of(x)?;
    let y = x.detach().reshape(sizes.dims())?.broadcast_add(&pixel.detach().unsqueeze(1)?)?.reshape(x.shape())?;
    with_gradient([x, pixel], y, move |passed: &Passed<2>| {
        let d_pixel = if passed.needed[1] { Some(passed.dy.reshape(sizes.dims())?.sum(1)?) } else { None };
        Ok([Some(passed.dy.clone()), d_pixel])
    })
}

/// Sizes (C, P, M), where P is the product of the dimensions between the first and the last.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) channels: usize,
    pub(crate) pixels: usize,
    pub(crate) columns: usize,
}

impl Sizes {
    fn of(x: &Tensor) -> Result<Self> {
        Self::of_shape(x.dims())
    }

    /// Returns the sizes of a tensor with these dimensions.
    pub(crate) fn of_shape(dims: &[usize]) -> Result<Self> {
        let &[channels, ref between @ .., columns] = dims else {
            bail!("{dims:?} has no pixels: at least two dimensions are needed")
        };
        let pixels = between.iter().product();
        if channels * pixels * columns == 0 {
            bail!("pixels of {dims:?}: no dimension may be empty");
        }
        Ok(Self { channels, pixels, columns })
    }

    fn dims(self) -> (usize, usize, usize) {
        (self.channels, self.pixels, self.columns)
    }

    /// Returns scale · the sum of the pixels of each channel.
    pub(crate) fn sum<T: WithDType>(self, x: &[T], scale: f64) -> Vec<T> {
        let mut all = vec![T::zero(); self.channels * self.columns];
        let channels = all.par_chunks_mut(self.columns).zip(x.par_chunks(self.pixels * self.columns));
        let set = InstructionSet::get();
        channels.for_each(|(to, x)| {
            let mut sums = vec![0.0; self.columns];
            for pixel in x.chunks_exact(self.columns) {
                add_pixel(set, pixel, &mut sums);
            }
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = T::from_f64(sum * scale);
            }
        });
        all
    }

    /// Returns new pixels that `write` fills. It gets a pixel, the numbers that all pixels of the channel share, and
    /// the index of the pixel.
    ///
    /// # Safety
    /// `write` writes all numbers of its pixel.
    unsafe fn each_pixel<T: WithDType>(
        self,
        shared: &[T],
        write: impl Fn(&mut [MaybeUninit<T>], &[T], usize) + Sync,
    ) -> Vec<T> {
        let mut all = unwritten(self.channels * self.pixels * self.columns);
        let channels = all.par_chunks_mut(self.pixels * self.columns).zip(shared.par_chunks(self.columns));
        channels.enumerate().for_each(|(channel, (map, shared))| {
            for (pixel, to) in map.chunks_exact_mut(self.columns).enumerate() {
                write(to, shared, channel * self.pixels + pixel);
            }
        });
        // SAFETY: these are all pixels of all channels, and the caller guarantees that `write` fills each.
        unsafe { written(all) }
    }
}

for_each_set! {
    fn add_pixel[T: WithDType](pixel: &[T], sums: &mut [f64]) {
        for (sum, x) in sums.iter_mut().zip(pixel) {
            *sum += x.to_f64();
        }
    }
}

struct MeanPixel(Sizes);

impl CustomOp1 for MeanPixel {
    fn name(&self) -> &'static str {
        "mean_pixel"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let scale = 1.0 / self.0.pixels as f64;
        let y = for_dtype!(x.dtype(), T => T::to_cpu_storage_owned(self.0.sum(slice::<T>(x, layout)?, scale)));
        Ok((y, Shape::from((self.0.channels, self.0.columns))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = for_dtype!(x.dtype(), T => {
            let scale = T::from_f64(1.0 / self.0.pixels as f64);
            // SAFETY: the shared numbers are as many as a pixel has.
            let dx = with_slice::<T, _>(dy, |dy| unsafe {
                self.0.each_pixel(dy, |to, dy, _| write_all(to, dy.iter().map(|&dy| dy * scale)))
            })?;
            Tensor::from_vec(dx, x.shape(), x.device())?
        });
        Ok(Some(dx))
    }
}

struct AddToPixels(Sizes);

impl CustomOp2 for AddToPixels {
    fn name(&self) -> &'static str {
        "add_to_pixels"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        pixel: &CpuStorage,
        pixel_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let columns = self.0.columns;
        let y = for_dtype!(x.dtype(), T => {
            let (x, pixel) = (slice::<T>(x, x_layout)?, slice::<T>(pixel, pixel_layout)?);
            // SAFETY: the shared numbers are as many as a pixel has, and so are those of the pixel of x.
            T::to_cpu_storage_owned(unsafe {
                self.0.each_pixel(pixel, |to, shared, p| {
                    write_all(to, x[p * columns..][..columns].iter().zip(shared).map(|(&x, &shared)| x + shared));
                })
            })
        });
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, pixel: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let d_pixel = for_dtype!(pixel.dtype(), T => {
            let d_pixel = with_slice::<T, _>(dy, |dy| self.0.sum(dy, 1.0))?;
            Tensor::from_vec(d_pixel, pixel.shape(), pixel.device())?
        });
        Ok((Some(dy.clone()), Some(d_pixel)))
    }
}
