//! Max pooling in the layout with images as the fastest dimension.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::composed::{Passed, with_gradient};
use crate::element::{for_dtype, has_kernel, slice, with_slice};
use crate::places::table;
use crate::simd::{InstructionSet, for_each_set};
use crate::sliding_window::{Moves, SlidingWindow};
use crate::window_places::{Outside, WindowPlaces};

/// A pooling window and how it moves, each as (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolGeometry {
    /// Size of the window.
    pub kernel: (usize, usize),
    /// Input pixels between neighbouring windows.
    pub stride: (usize, usize),
    /// Pixels added on both sides of the map. Max pooling never picks them and allows at most half a window. Average
    /// pooling counts them as zeros.
    pub padding: (usize, usize),
}

/// Returns the largest number of each window: (C, H, W, N) → (C, H', W', N), with H' = ⌊(H + 2·padding −
/// kernel)/stride⌋ + 1 and W' likewise. A window with a NaN gives NaN. The gradient goes to the first of equal numbers,
/// in row order.
///
/// # Errors
/// Fails when the window is larger than the padded map or smaller than twice the padding, or when a dimension is empty.
pub fn max_pool2d(x_chwn: &Tensor, geometry: PoolGeometry) -> Result<Tensor> {
    let pool = MaxPool2d::new(x_chwn.dims(), geometry)?;
    if has_kernel(x_chwn) { x_chwn.contiguous()?.apply_op1(pool) } else { composite(x_chwn, &pool) }
}

/// The composite: the same computation, written with candle's own operations.
pub(crate) fn composite(x_chwn: &Tensor, pool: &MaxPool2d) -> Result<Tensor> {
    let (channels, h, w, images) = x_chwn.dims4()?;
    let places = WindowPlaces { rows: pool.rows, columns: pool.columns, outside: Outside::Nearest };
    let read = move |x: &Tensor| {
        let read = places.read(&x.reshape((channels, h * w, images))?)?;
        read.reshape((channels, places.taps(), places.outputs() * images))
    };
    let y = read(&x_chwn.detach())?.max(1)?;
    let y = y.reshape((channels, pool.rows.output, pool.columns.output, images))?;
    with_gradient([x_chwn], y, move |passed: &Passed<1>| {
        let ([x], dy) = (&passed.inputs, &passed.dy);
        let owner = read(x)?.argmax_keepdim(1)?;
        let taps = places.taps();
        let numbered = table(x.device(), ("taps", vec![taps]), || (0..taps as u32).collect())?.reshape((1, taps, 1))?;
        let is_owner = owner.broadcast_eq(&numbered)?.to_dtype(dy.dtype())?;
        let given = is_owner.broadcast_mul(&dy.reshape((channels, 1, ()))?)?.reshape((channels, (), images))?;
        Ok([Some(places.give_back(&given)?.reshape(x.shape())?)])
    })
}

/// Sizes of a max pooling, checked to fit.
#[derive(Clone, Copy)]
pub(crate) struct MaxPool2d {
    rows: SlidingWindow,
    columns: SlidingWindow,
    images: usize,
}

impl MaxPool2d {
    /// Returns the sizes. Fails when the window does not fit the map.
    pub(crate) fn new(x_chwn: &[usize], geometry: PoolGeometry) -> Result<Self> {
        let &[channels, h, w, images] = x_chwn else { bail!("max_pool2d takes (C, H, W, N), not {x_chwn:?}") };
        let PoolGeometry { kernel, stride, padding } = geometry;
        if channels == 0 || images == 0 {
            bail!("max_pool2d of {x_chwn:?}: no dimension may be empty");
        }
        // With more padding, a window could lie entirely outside the map.
        if padding.0 > kernel.0 / 2 || padding.1 > kernel.1 / 2 {
            bail!("max_pool2d with padding {padding:?} and window {kernel:?}: padding may be at most half the window");
        }
        Ok(Self {
            rows: SlidingWindow::new(h, kernel.0, Moves { stride: stride.0, padding: padding.0, dilation: 1 })?,
            columns: SlidingWindow::new(w, kernel.1, Moves { stride: stride.1, padding: padding.1, dilation: 1 })?,
            images,
        })
    }

    fn input_map(&self) -> usize {
        self.rows.input * self.columns.input * self.images
    }

    fn output_row(&self) -> usize {
        self.columns.output * self.images
    }

    /// Returns which pixel of a row each column of each window sees.
    fn seen_pixels(&self) -> Vec<SeenPixel> {
        let (columns, n) = (&self.columns, self.images);
        let pixel = |column, x| SeenPixel { column, output: x * n, input: columns.seen(x, column) * n };
        (0..columns.kernel).flat_map(|kx| columns.inside(kx).map(move |x| pixel(kx, x))).collect()
    }

    /// Returns which input rows the windows of output row `y` see.
    fn seen_rows(&self, y: usize) -> Vec<SeenRow> {
        let row = self.columns.input * self.images;
        let inside = (0..self.rows.kernel).filter(|&ky| self.rows.inside(ky).contains(&y));
        inside.map(|ky| SeenRow { first_tap: ky * self.columns.kernel, start: self.rows.seen(y, ky) * row }).collect()
    }
}

impl CustomOp1 for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d_chwn"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = for_dtype!(storage.dtype(), T => T::to_cpu_storage_owned(forward(slice::<T>(storage, layout)?, self)));
        let channels = layout.shape().dim(0)?;
        Ok((y, Shape::from((channels, self.rows.output, self.columns.output, self.images))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = for_dtype!(x.dtype(), T => {
            let dx = with_slice::<T, _>(x, |x| with_slice::<T, _>(dy, |dy| backward(x, dy, self)))??;
            Tensor::from_vec(dx, x.shape(), x.device())?
        });
        Ok(Some(dx))
    }
}

/// Whether `x` replaces the largest number so far. The first NaN does, and is then kept. There are no branches, so that
/// all lanes run the same instructions.
#[inline(always)]
fn beats<T: WithDType>(x: T, largest: T) -> bool {
    (x > largest) | (is_nan(x) & !is_nan(largest))
}

#[expect(clippy::eq_op, reason = "candle's number trait has no is_nan")]
#[inline(always)]
fn is_nan<T: WithDType>(x: T) -> bool {
    x != x
}

/// Keeps the larger number of each pair. A pixel has few images, so they are taken eight at a time, without checking
/// how many are left. Owners do not matter here, so a later NaN may replace the first.
#[inline(always)]
fn keep_largest<T: WithDType>(largest: &mut [T], x: &[T]) {
    let ((largest, largest_rest), (x, x_rest)) = (largest.as_chunks_mut::<8>(), x.as_chunks::<8>());
    for (largest, x) in largest.iter_mut().zip(x) {
        for (largest, &x) in largest.iter_mut().zip(x) {
            *largest = larger(*largest, x);
        }
    }
    for (largest, &x) in largest_rest.iter_mut().zip(x_rest) {
        *largest = larger(*largest, x);
    }
}

#[inline(always)]
fn larger<T: WithDType>(largest: T, x: T) -> T {
    if (x > largest) | is_nan(x) { x } else { largest }
}

/// Like `keep_largest`, and records the tap of each largest number.
#[inline(always)]
fn keep_owners<T: WithDType>(largest: &mut [T], owners: &mut [u32], x: &[T], tap: u32) {
    let ((largest, largest_rest), (owners, owners_rest)) = (largest.as_chunks_mut::<8>(), owners.as_chunks_mut::<8>());
    let (x, x_rest) = x.as_chunks::<8>();
    for ((largest, owners), x) in largest.iter_mut().zip(owners).zip(x) {
        // One expression per array: only then does the compiler vectorise them.
        let takes: [bool; 8] = std::array::from_fn(|lane| takes(largest[lane], owners[lane], x[lane]));
        *largest = std::array::from_fn(|lane| if takes[lane] { x[lane] } else { largest[lane] });
        *owners = std::array::from_fn(|lane| if takes[lane] { tap } else { owners[lane] });
    }
    for ((largest, owner), &x) in largest_rest.iter_mut().zip(owners_rest).zip(x_rest) {
        let takes = takes(*largest, *owner, x);
        *largest = if takes { x } else { *largest };
        *owner = if takes { tap } else { *owner };
    }
}

#[inline(always)]
fn takes<T: WithDType>(largest: T, owner: u32, x: T) -> bool {
    (owner == NOBODY) | beats(x, largest)
}

fn forward<T: WithDType>(x: &[T], pool: &MaxPool2d) -> Vec<T> {
    let (map, row, height, set) = (pool.input_map(), pool.output_row(), pool.rows.output, InstructionSet::get());
    let pixels = pool.seen_pixels();
    let mut y = vec![T::from_f64(f64::NEG_INFINITY); x.len() / map * height * row];
    y.par_chunks_mut(row).enumerate().for_each_init(
        || vec![T::zero(); pool.columns.input * pool.images],
        |tallest, (i, y)| {
            let seen = Seen { rows: &pool.seen_rows(i % height), pixels: &pixels, images: pool.images };
            forward_row(set, &seen, &x[i / height * map..][..map], tallest, y);
        },
    );
    y
}

/// Each task computes a whole channel, because windows of neighbouring rows overlap.
fn backward<T: WithDType>(x: &[T], dy: &[T], pool: &MaxPool2d) -> Vec<T> {
    let (map, row, set) = (pool.input_map(), pool.output_row(), InstructionSet::get());
    let mut dx = vec![T::zero(); x.len()];
    let pixels = pool.seen_pixels();
    dx.par_chunks_mut(map).zip(x.par_chunks(map)).zip(dy.par_chunks(pool.rows.output * row)).for_each(
        |((dx, x), dy)| {
            let mut found = Found { largest: vec![T::zero(); row], owners: vec![NOBODY; row] };
            for (y, dy) in dy.chunks(row).enumerate() {
                let seen = Seen { rows: &pool.seen_rows(y), pixels: &pixels, images: pool.images };
                backward_row(set, &seen, (x, dy), &mut found, dx);
            }
        },
    );
    dx
}

/// The largest number of each window of a row, and the tap that sees it.
struct Found<T> {
    largest: Vec<T>,
    owners: Vec<u32>,
}

/// A pixel of an input row that one column of a window sees.
struct SeenPixel {
    /// The column of the window.
    column: usize,
    /// Index of the window's first number in an output row.
    output: usize,
    /// Index of the pixel's first number in the input row.
    input: usize,
}

/// An input row that one row of the windows sees.
struct SeenRow {
    /// First tap of that row of the windows.
    first_tap: usize,
    /// Index of the row's first number in its map.
    start: usize,
}

/// The input rows and pixels that an output row sees.
struct Seen<'a> {
    rows: &'a [SeenRow],
    pixels: &'a [SeenPixel],
    images: usize,
}

/// Marks a window without an owner yet.
const NOBODY: u32 = u32::MAX;

for_each_set! {
    /// Computes an output row of a channel from the channel's map. `to` starts as −∞. The largest number of each pixel
    /// column comes first, because windows share columns.
    fn forward_row[T: WithDType](seen: &Seen<'_>, x: &[T], tallest: &mut [T], to: &mut [T]) {
        for (i, row) in seen.rows.iter().enumerate() {
            let row = &x[row.start..][..tallest.len()];
            if i == 0 {
                tallest.copy_from_slice(row);
            } else {
                keep_largest(tallest, row);
            }
        }
        for pixel in seen.pixels {
            keep_largest(&mut to[pixel.output..][..seen.images], &tallest[pixel.input..][..seen.images]);
        }
    }

    /// Adds the gradient of an output row to dx of the channel. `from` holds the channel's map and the row of dy.
    fn backward_row[T: WithDType](seen: &Seen<'_>, from: (&[T], &[T]), found: &mut Found<T>, dx: &mut [T]) {
        let ((x, dy), n) = (from, seen.images);
        found.owners.fill(NOBODY);
        for row in seen.rows {
            for pixel in seen.pixels {
                let window = pixel.output..pixel.output + n;
                let (largest, owners) = (&mut found.largest[window.clone()], &mut found.owners[window]);
                let tap = (row.first_tap + pixel.column) as u32;
                keep_owners(largest, owners, &x[row.start + pixel.input..][..n], tap);
            }
        }
        for row in seen.rows {
            for pixel in seen.pixels {
                let window = pixel.output..pixel.output + n;
                let windows = found.owners[window.clone()].iter().zip(&dy[window]);
                let tap = (row.first_tap + pixel.column) as u32;
                for (dx, (&owner, &dy)) in dx[row.start + pixel.input..][..n].iter_mut().zip(windows) {
                    *dx += if owner == tap { dy } else { T::zero() };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    #[test]
    fn overlapping_windows_share_their_owner_and_the_first_of_equals_is_the_owner() {
        // One row: windows of 3 with stride 1 and padding 1 over 1 5 5 0. The largest numbers are 5 5 5 5.
        let x = Tensor::new(&[1f32, 5.0, 5.0, 0.0], &Device::Cpu).unwrap().reshape((1, 1, 4, 1)).unwrap();
        let x = Var::from_tensor(&x).unwrap();
        let geometry = PoolGeometry { kernel: (1, 3), stride: (1, 1), padding: (0, 1) };
        let y = max_pool2d(&x, geometry).unwrap();
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [5.0; 4]);
        let weights = Tensor::new(&[1f32, 10.0, 100.0, 1000.0], &Device::Cpu).unwrap().reshape((1, 1, 4, 1)).unwrap();
        let gradients = (y * weights).unwrap().sum_all().unwrap().backward().unwrap();
        let dx = gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(dx, [0.0, 111.0, 1000.0, 0.0]);
    }

    #[test]
    fn a_window_with_a_nan_gives_nan() {
        let x = Tensor::new(&[f32::NAN, 5.0, 1.0, f32::NAN, 2.0, 3.0], &Device::Cpu)
            .unwrap()
            .reshape((1, 1, 6, 1))
            .unwrap();
        let y = max_pool2d(&x, PoolGeometry { kernel: (1, 2), stride: (1, 2), padding: (0, 0) }).unwrap();
        let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(y[0].is_nan() && y[1].is_nan());
        assert_eq!(y[2].to_bits(), 3f32.to_bits());
    }

    #[test]
    fn the_first_nan_is_the_owner_in_windows_of_many_images() {
        // Nine images, windows of 2×2: a NaN in the upper row, one in the lower row, both, or none.
        let at = |above: f32, below: f32| [3.0, above, below, 4.0];
        let windows = [at(f32::NAN, 9.0), at(1.0, f32::NAN), at(f32::NAN, f32::NAN), at(1.0, 2.0)];
        let x: Vec<f32> = (0..4).flat_map(|pixel| (0..9).map(move |image| windows[image % 4][pixel])).collect();
        let x = Var::from_tensor(&Tensor::from_vec(x, (1, 2, 2, 9), &Device::Cpu).unwrap()).unwrap();
        let y = max_pool2d(&x, PoolGeometry { kernel: (2, 2), stride: (2, 2), padding: (0, 0) }).unwrap();
        let largest = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let dx = gradients.get(&x).unwrap().reshape((4, 9)).unwrap().to_vec2::<f32>().unwrap();
        for image in 0..9 {
            let owner = [1, 2, 1, 3][image % 4];
            assert!(if image % 4 == 3 { (largest[image] - 4.0).abs() < 1e-6 } else { largest[image].is_nan() });
            for (pixel, dx) in dx.iter().enumerate() {
                assert_eq!(dx[image].to_bits(), (if pixel == owner { 1f32 } else { 0.0 }).to_bits(), "{image} {pixel}");
            }
        }
    }

    #[test]
    fn a_window_that_does_not_fit_is_an_error() {
        let x = Tensor::zeros((1, 3, 3, 1), DType::F32, &Device::Cpu).unwrap();
        let pool = |kernel, stride, padding| max_pool2d(&x, PoolGeometry { kernel, stride, padding });
        assert!(pool((4, 1), (1, 1), (0, 0)).is_err());
        assert!(pool((2, 2), (0, 1), (0, 0)).is_err());
        assert!(pool((2, 2), (1, 1), (2, 0)).is_err());
        assert!(
            max_pool2d(&x.squeeze(0).unwrap(), PoolGeometry { kernel: (1, 1), stride: (1, 1), padding: (0, 0) })
                .is_err()
        );
    }
}
