//! A convolution on an h×w map as an FC kernel (paper Eq. 15), and back for its gradient. Each direction is one pass
//! over the FC kernel.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::composed::{Passed, with_gradient};
use crate::element::{for_dtype, has_kernel, slice, with_slice};
use crate::kernel_places::KernelPlaces;

/// Returns the FC kernel: (O, C/g, Kʰ, Kʷ) → (O·h·w, C/g·h·w). W[(o,y,x),(c,y',x')] = F[o, c, y'−y+⌊Kʰ/2⌋, x'−x+⌊Kʷ/2⌋]
/// where both offsets lie in the kernel, and 0 elsewhere.
///
/// # Errors
/// Fails when candle fails.
pub fn conv_to_fc(kernel: &Tensor, (h, w): (usize, usize)) -> Result<Tensor> {
    if has_kernel(kernel) { kernel.contiguous()?.apply_op1(ConvToFc { h, w }) } else { composite(kernel, (h, w)) }
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite(kernel: &Tensor, map: (usize, usize)) -> Result<Tensor> {
    let (o, c, k_h, k_w) = kernel.dims4()?;
    let places = KernelPlaces { inputs: c, kernels: vec![(k_h, k_w)], map };
    let pixels = map.0 * map.1;
    let fc = places.spread(&kernel.detach().flatten_from(1)?)?.reshape((o * pixels, c * pixels))?;
    with_gradient([kernel], fc, move |passed: &Passed<1>| {
        let d_kernel = places.gather(&passed.dy.reshape((o, ()))?)?;
        Ok([Some(d_kernel.reshape(passed.inputs[0].shape())?)])
    })
}

struct ConvToFc {
    h: usize,
    w: usize,
}

/// Sizes that both passes need.
#[derive(Clone, Copy)]
struct Sizes {
    c: usize,
    k: (usize, usize),
    h: usize,
    w: usize,
}

/// Consecutive taps that read consecutive input pixels for one output pixel.
struct Segment {
    /// First tap in its kernel.
    tap: usize,
    /// First input pixel in its h×w map.
    input: usize,
    /// Number of taps.
    length: usize,
}

impl Sizes {
    /// Returns all segments of an output pixel. They are the same for every channel.
    fn segments(self, pixel: usize) -> Vec<Segment> {
        let Self { k: (k_h, k_w), h, w, .. } = self;
        let p = k_w / 2;
        let (y, x) = (pixel / w, pixel % w);
        let first_kx = p.saturating_sub(x);
        let end_kx = k_w.min(w + p - x);
        let rows = (0..k_h).filter_map(|ky| Some((ky, (y + ky).checked_sub(k_h / 2).filter(|&y| y < h)?)));
        rows.filter(|_| first_kx < end_kx)
            .map(|(ky, input_y)| Segment {
                tap: ky * k_w + first_kx,
                input: input_y * w + x + first_kx - p,
                length: end_kx - first_kx,
            })
            .collect()
    }
}

impl CustomOp1 for ConvToFc {
    fn name(&self) -> &'static str {
        "conv_to_fc"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (o, c, k_h, k_w) = layout.shape().dims4()?;
        let sizes = Sizes { c, k: (k_h, k_w), h: self.h, w: self.w };
        let fc = for_dtype!(storage.dtype(), T => {
            T::to_cpu_storage_owned(forward(slice::<T>(storage, layout)?, sizes))
        });
        let pixels = self.h * self.w;
        Ok((fc, Shape::from((o * pixels, c * pixels))))
    }

    fn bwd(&self, kernel: &Tensor, _fc: &Tensor, d_fc: &Tensor) -> Result<Option<Tensor>> {
        let (_, c, k_h, k_w) = kernel.dims4()?;
        let sizes = Sizes { c, k: (k_h, k_w), h: self.h, w: self.w };
        let d_kernel = for_dtype!(kernel.dtype(), T => {
            let d_kernel = with_slice::<T, _>(d_fc, |d_fc| backward(d_fc, kernel.elem_count(), sizes))?;
            Tensor::from_vec(d_kernel, kernel.shape(), kernel.device())?
        });
        Ok(Some(d_kernel))
    }
}

fn forward<T: WithDType>(kernel: &[T], sizes: Sizes) -> Vec<T> {
    let Sizes { c, k, h, w } = sizes;
    let (taps, pixels) = (k.0 * k.1, h * w);
    let outputs = kernel.len() / (c * taps);
    let segments: Vec<Vec<Segment>> = (0..pixels).map(|pixel| sizes.segments(pixel)).collect();
    let mut fc = vec![T::zero(); outputs * pixels * c * pixels];
    fc.par_chunks_mut(c * pixels).enumerate().for_each(|(row, fc)| {
        let (o, pixel) = (row / pixels, row % pixels);
        let kernels = kernel[o * c * taps..(o + 1) * c * taps].chunks_exact(taps);
        for (map, kernel) in fc.chunks_exact_mut(pixels).zip(kernels) {
            for &Segment { tap, input, length } in &segments[pixel] {
                map[input..input + length].copy_from_slice(&kernel[tap..tap + length]);
            }
        }
    });
    fc
}

fn backward<T: WithDType>(d_fc: &[T], elements: usize, sizes: Sizes) -> Vec<T> {
    let Sizes { c, k, h, w } = sizes;
    let (taps, pixels) = (k.0 * k.1, h * w);
    let segments: Vec<Vec<Segment>> = (0..pixels).map(|pixel| sizes.segments(pixel)).collect();
    let mut d_kernel = vec![T::zero(); elements];
    let of_output = d_kernel.par_chunks_mut(c * taps).zip(d_fc.par_chunks(pixels * c * pixels));
    of_output.for_each(|(d_kernels, d_fc)| {
        for (d_row, segments) in d_fc.chunks_exact(c * pixels).zip(&segments) {
            for (d_map, d_kernel) in d_row.chunks_exact(pixels).zip(d_kernels.chunks_exact_mut(taps)) {
                for &Segment { tap, input, length } in segments {
                    let seen = &d_map[input..input + length];
                    d_kernel[tap..tap + length].iter_mut().zip(seen).for_each(|(d, &s)| *d += s);
                }
            }
        }
    });
    d_kernel
}
