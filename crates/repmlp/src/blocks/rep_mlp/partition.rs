//! Partitioning (paper section 3.1): a map is cut into h×w pieces, and rejoined.
//!
//! The one owner of both permutations. Partitions are `(C, h, w, M)` with M = `h_p·w_p·N` in the order (row of partitions,
//! column of partitions, image): what a partition's pixel sees is contiguous, and so is what a channel sees.

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::{PoolGeometry, avg_pool2d, rearrange, rearrange_plus};

/// How a map is cut: all sizes that both directions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitioning {
    /// Height of a partition.
    pub h: usize,
    /// Width of a partition.
    pub w: usize,
    /// Partitions from top to bottom, H/h.
    pub h_p: usize,
    /// Partitions from left to right, W/w.
    pub w_p: usize,
    /// Height and width of the map; smaller than the partitions together where zeros fill the bottom and the right.
    pub map: (usize, usize),
}

/// (C, `h_p`, h, `w_p`, w, N) → (C, h, w, `h_p`, `w_p`, N).
const PARTITIONS_LAST: [usize; 6] = [0, 2, 4, 1, 3, 5];

impl Partitioning {
    /// The cutting of an H×W map into h×w partitions; `None` unless these divide the map.
    pub fn of(map: (usize, usize), [h, w]: [usize; 2]) -> Option<Self> {
        let divides = h > 0 && w > 0 && map.0.is_multiple_of(h) && map.1.is_multiple_of(w);
        divides.then(|| Self { h, w, h_p: map.0 / h, w_p: map.1 / w, map })
    }

    /// The same for any map: zeros at the bottom and the right fill the last partitions; `None` for empty partitions.
    pub fn padded(map: (usize, usize), [h, w]: [usize; 2]) -> Option<Self> {
        (h > 0 && w > 0).then(|| Self { h, w, h_p: map.0.div_ceil(h), w_p: map.1.div_ceil(w), map })
    }

    /// Pixels of a partition, h·w.
    pub fn pixels(self) -> usize {
        self.h * self.w
    }

    /// Partitions of a map, `h_p·w_p`.
    pub fn count(self) -> usize {
        self.h_p * self.w_p
    }

    /// (C, H, W, N) → (C, h, w, `h_p·w_p·N`).
    ///
    /// # Errors
    /// When the map is not H×W.
    pub fn partition(self, x_chwn: &Tensor) -> Result<Tensor> {
        let Self { h, w, h_p, w_p, .. } = self;
        let (c, _, _, n) = x_chwn.dims4()?;
        rearrange(&self.pad(x_chwn)?, [c, h_p, h, w_p, w, n], PARTITIONS_LAST, (c, h, w, h_p * w_p * n))
    }

    /// The map with zeros at its lower and right end, so that partitions cover it.
    ///
    /// # Errors
    /// When the map is not H×W.
    pub(crate) fn pad(self, x_chwn: &Tensor) -> Result<Tensor> {
        let Self { h, w, h_p, w_p, map } = self;
        let (_, height, width, _) = x_chwn.dims4()?;
        if (height, width) != map {
            bail!("a map of {height}x{width} where partitions are of {}x{}", map.0, map.1);
        }
        x_chwn.pad_with_zeros(1, 0, h_p * h - map.0)?.pad_with_zeros(2, 0, w_p * w - map.1)
    }

    /// The mean of each partition of a map that they cover, (C, `h_p·w_p·N`).
    ///
    /// # Errors
    /// Those of candle.
    pub(crate) fn pool(self, padded: &Tensor) -> Result<Tensor> {
        let kernel = (self.h, self.w);
        avg_pool2d(padded, PoolGeometry { kernel, stride: kernel, padding: (0, 0) })?.reshape((padded.dim(0)?, ()))
    }

    /// `partition` of a map that partitions cover, with a value (C, `h_p·w_p·N`) added to every pixel of its partition.
    ///
    /// # Errors
    /// When the sizes do not fit.
    pub(crate) fn partition_plus(self, padded: &Tensor, values: &Tensor) -> Result<Tensor> {
        let Self { h, w, h_p, w_p, .. } = self;
        let (c, _, _, n) = padded.dims4()?;
        let (view, result) = ([c, h_p, h, w_p, w, n], (c, h, w, h_p * w_p * n));
        rearrange_plus(padded, view, PARTITIONS_LAST, result, values)
    }

    /// (O, h, w, `h_p·w_p·N`) → (O, H, W, N), the inverse of `partition`.
    ///
    /// # Errors
    /// When the sizes do not fit.
    pub fn restore(self, partitions: &Tensor) -> Result<Tensor> {
        let Self { h, w, h_p, w_p, map } = self;
        let (o, _, _, m) = partitions.dims4()?;
        let n = m / self.count();
        let whole = rearrange(partitions, [o, h, w, h_p, w_p, n], [0, 3, 1, 4, 2, 5], (o, h_p * h, w_p * w, n))?;
        whole.narrow(1, 0, map.0)?.narrow(2, 0, map.1)?.contiguous()
    }
}
