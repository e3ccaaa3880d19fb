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

/// Numbers between neighbouring vectors of a tile, and between other neighbours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    /// Between neighbouring columns of the source.
    pub(crate) column: usize,
    /// Between the vectors of a term.
    pub(crate) source_vector: usize,
    /// Between neighbouring rows of the target.
    pub(crate) target_row: usize,
    /// Between the vectors of a row of the target.
    pub(crate) target_vector: usize,
}

/// `target[r][v]` = Σ over all terms of `weight[term][r]·source[term][v]`, begun at 0 or at what the target holds.
pub(crate) struct TapTile<'a, T> {
    /// The terms.
    pub(crate) segments: &'a [Segment],
    /// First vector of the first column.
    pub(crate) source: *const T,
    /// Rows of weights, each `ROWS` numbers, one after another.
    pub(crate) weight: *const T,
    /// First vector of the first row.
    pub(crate) target: *mut T,
    /// Whether the sums go on from what the target holds.
    pub(crate) onto: bool,
    /// Where the others are.
    pub(crate) steps: Steps,
}

/// See [`TapTile`]. Each row is one sum in the order of its terms.
///
/// # Safety
/// The instruction set of `V`; all columns and weights of the segments lie in memory, the target too, and nobody else writes it;
/// it is written already where the sums go on from it.
#[inline(always)]
pub(crate) unsafe fn tap_tile<V: Vector, const ROWS: usize, const VECTORS: usize>(tile: &TapTile<'_, V::Number>) {
    let steps = tile.steps;
    // SAFETY: the caller's promise; all addresses are used within the segments and the target.
    unsafe {
        let mut sums = [[V::zero(); VECTORS]; ROWS];
        if tile.onto {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(tile.target.add(r * steps.target_row + v * steps.target_vector));
                }
            }
        }
        for segment in tile.segments {
            let mut source = tile.source.add(segment.source * steps.column);
            let mut weight = tile.weight.add(segment.weight * ROWS);
            for _ in 0..segment.count {
                let mut columns = [V::zero(); VECTORS];
                for (v, column) in columns.iter_mut().enumerate() {
                    *column = V::load(source.add(v * steps.source_vector));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let scale = V::splat(weight.add(r));
                    for (sum, &column) in sums.iter_mut().zip(&columns) {
                        *sum = scale.multiply_add(column, *sum);
                    }
                }
                source = source.wrapping_add(steps.column);
                weight = weight.wrapping_add(ROWS);
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                sum.store(tile.target.add(r * steps.target_row + v * steps.target_vector));
            }
        }
    }
}
