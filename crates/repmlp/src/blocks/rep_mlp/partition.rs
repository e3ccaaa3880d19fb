//! Partitioning (paper section 3.1): a map is cut into partitions of h×w, and restored.
//!
//! Both permutations are implemented only here. Partitions have the shape `(C, h, w, M)` with M = `h_p·w_p·N`. The
//! order inside M is: row of partitions, column of partitions, image. The values of one pixel position in all
//! partitions are contiguous, and so are all values of one channel.

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::{PoolGeometry, avg_pool2d, rearrange, rearrange_plus};

/// Sizes of a map and its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitioning {
    /// Height of a partition.
    pub h: usize,
    /// Width of a partition.
    pub w: usize,
    /// Number of partitions from top to bottom: H/h, rounded up.
    pub h_p: usize,
    /// Number of partitions from left to right: W/w, rounded up.
    pub w_p: usize,
    /// Height and width of the map without padding. With padding, the partitions together are larger than the map.
    pub map: (usize, usize),
}

/// Permutation (C, `h_p`, h, `w_p`, w, N) → (C, h, w, `h_p`, `w_p`, N).
const PARTITIONS_LAST: [usize; 6] = [0, 2, 4, 1, 3, 5];

impl Partitioning {
    /// Returns the partitioning of an H×W map into h×w partitions; `None` unless they divide the map.
    pub fn of(map: (usize, usize), [h, w]: [usize; 2]) -> Option<Self> {
        let divides = h > 0 && w > 0 && map.0.is_multiple_of(h) && map.1.is_multiple_of(w);
        divides.then(|| Self { h, w, h_p: map.0 / h, w_p: map.1 / w, map })
    }

    /// Like [`Self::of`], but for any map: zeros at the bottom and right fill the last partitions. Returns `None` for
    /// empty partitions.
    pub fn padded(map: (usize, usize), [h, w]: [usize; 2]) -> Option<Self> {
        (h > 0 && w > 0).then(|| Self { h, w, h_p: map.0.div_ceil(h), w_p: map.1.div_ceil(w), map })
    }

    /// Number of pixels in a partition: h·w.
    pub fn pixels(self) -> usize {
        self.h * self.w
    }

    /// Number of partitions of a map: `h_p·w_p`.
    pub fn count(self) -> usize {
        self.h_p * self.w_p
    }

    /// Partitions a map: (C, H, W, N) → (C, h, w, `h_p·w_p·N`).
    ///
    /// # Errors
    /// When the map is not H×W.
    pub fn partition(self, x_chwn: &Tensor) -> Result<Tensor> {
        let Self { h, w, h_p, w_p, .. } = self;
        let (c, _, _, n) = x_chwn.dims4()?;
        rearrange(&self.pad(x_chwn)?, [c, h_p, h, w_p, w, n], PARTITIONS_LAST, (c, h, w, h_p * w_p * n))
    }

    /// Pads the map with zeros at the bottom and right, so that the partitions cover it exactly.
    ///
    /// # Errors
    /// When the map is not H×W.
    pub(crate) fn pad(self, x_chwn: &Tensor) -> Result<Tensor> {
        let Self { h, w, h_p, w_p, map } = self;
        let (_, height, width, _) = x_chwn.dims4()?;
        if (height, width) != map {
            bail!("the map is {height}x{width}, but the block was built for {}x{}", map.0, map.1);
        }
        x_chwn.pad_with_zeros(1, 0, h_p * h - map.0)?.pad_with_zeros(2, 0, w_p * w - map.1)
    }

    /// Computes the mean of each partition of a padded map. The result has the shape (C, `h_p·w_p·N`).
    ///
    /// # Errors
    /// When candle fails.
    pub(crate) fn pool(self, padded: &Tensor) -> Result<Tensor> {
        let kernel = (self.h, self.w);
        avg_pool2d(padded, PoolGeometry { kernel, stride: kernel, padding: (0, 0) })?.reshape((padded.dim(0)?, ()))
    }

    /// Partitions a padded map and adds one value per channel and partition, (C, `h_p·w_p·N`), to all pixels of the
    /// partition.
    ///
    /// # Errors
    /// When the sizes do not fit.
    pub(crate) fn partition_plus(self, padded: &Tensor, values: &Tensor) -> Result<Tensor> {
        let Self { h, w, h_p, w_p, .. } = self;
        let (c, _, _, n) = padded.dims4()?;
        let (view, result) = ([c, h_p, h, w_p, w, n], (c, h, w, h_p * w_p * n));
        rearrange_plus(padded, view, PARTITIONS_LAST, result, values)
    }

    /// Inverse of `partition`: (O, h, w, `h_p·w_p·N`) → (O, H, W, N).
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
