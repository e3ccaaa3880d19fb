//! Weighted sums of packed columns: a few rows of weights at once, a few vectors wide.

use crate::simd::Vector;

/// Most rows of weights that one tile takes: with two vectors of columns they fill sixteen registers.
pub(crate) const TAP_ROWS: usize = 6;

/// Neighbouring terms of a sum: `count` columns from column `source`, with the weights from row `weight` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// First column.
    pub(crate) source: usize,
    /// First row of weights.
    pub(crate) weight: usize,
    /// Terms.
    pub(crate) count: usize,
}

/// target[r] = Σ over all terms of weight[term][r]·source[term].
pub(crate) struct TapTile<'a, T> {
    /// The terms.
    pub(crate) segments: &'a [Segment],
    /// Columns, each `VECTORS` vectors long, one after another.
    pub(crate) source: *const T,
    /// Rows of weights, each `ROWS` numbers, one after another.
    pub(crate) weight: *const T,
    /// `ROWS` rows of `VECTORS` vectors.
    pub(crate) target: *mut T,
    /// Numbers between neighbouring rows of the target.
    pub(crate) row_step: usize,
}

/// See [`TapTile`]. Each row is one sum in the order of its terms.
///
/// # Safety
/// The instruction set of `V`; all columns and weights of the segments lie in memory, the target too, and nobody else writes it.
#[inline(always)]
pub(crate) unsafe fn tap_tile<V: Vector, const ROWS: usize, const VECTORS: usize>(tile: &TapTile<'_, V::Number>) {
    let width = VECTORS * V::LANES;
    // SAFETY: the caller's promise; all addresses stay in or one behind the segments and the target.
    unsafe {
        let mut sums = [[V::zero(); VECTORS]; ROWS];
        for segment in tile.segments {
            let mut source = tile.source.add(segment.source * width);
            let mut weight = tile.weight.add(segment.weight * ROWS);
            for _ in 0..segment.count {
                let mut columns = [V::zero(); VECTORS];
                for (v, column) in columns.iter_mut().enumerate() {
                    *column = V::load(source.add(v * V::LANES));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let scale = V::splat(weight.add(r));
                    for (sum, &column) in sums.iter_mut().zip(&columns) {
                        *sum = scale.multiply_add(column, *sum);
                    }
                }
                source = source.add(width);
                weight = weight.add(ROWS);
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                sum.store(tile.target.add(r * tile.row_step + v * V::LANES));
            }
        }
    }
}
