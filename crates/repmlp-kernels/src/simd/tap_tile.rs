//! Weighted sums of packed columns, for a few rows of weights and a few vectors at once.
#![expect(unsafe_code, reason = "loops over addresses that the caller promises")]

use crate::simd::{Vector, VectorLoop};

/// Consecutive terms of a sum: `count` columns from column `source` on, with each row's weights from number `weight`
/// on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// First column.
    pub(crate) source: usize,
    /// First weight of each row.
    pub(crate) weight: usize,
    /// Number of terms.
    pub(crate) count: usize,
}

/// Distances within a tile, in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    /// Between neighbouring columns of the source.
    pub(crate) column: usize,
    /// Between the vectors of a term.
    pub(crate) source_vector: usize,
    /// Between the weights of neighbouring terms.
    pub(crate) weight_term: usize,
    /// Between the weights of neighbouring rows.
    pub(crate) weight_row: usize,
    /// Between neighbouring rows of the target.
    pub(crate) target_row: usize,
    /// Between the vectors of a row of the target.
    pub(crate) target_vector: usize,
}

/// A tile: `target[r][v]` = Σ over all terms of `weight[term][r]·source[term][v]`. The sums start at 0 or at the values
/// in the target.
pub(crate) struct TapTile<'a, T> {
    /// The terms.
    pub(crate) segments: &'a [Segment],
    /// First vector of the first column.
    pub(crate) source: *const T,
    /// First weight of the first row.
    pub(crate) weight: *const T,
    /// First vector of the first row.
    pub(crate) target: *mut T,
    /// Whether the sums are added to the values in the target.
    pub(crate) onto: bool,
    /// Distances to the other columns, weights, rows and vectors.
    pub(crate) steps: Steps,
}

/// Computes a tile of at most [`most_rows`] rows and [`most_vectors`] vectors.
///
/// # Safety
/// The processor has the instruction set of `V`. All columns and weights of the segments lie in memory, and so does the
/// target. Nothing else writes the target. With `onto`, the target is already written.
pub(crate) unsafe fn sum_taps<V: Vector>(rows: usize, vectors: usize, tile: &TapTile<'_, V::Number>) {
    macro_rules! dispatch {
        ($($rows:literal: $($vectors:literal)*,)*) => {
            match (rows, vectors) {
                // SAFETY: guaranteed by the caller, for these sizes.
                $($(($rows, $vectors) => unsafe { V::compiled(Sized::<_, $rows, $vectors>(tile)) },)*)*
                _ => unreachable!("no tile has {rows} rows and {vectors} vectors"),
            }
        };
    }
    dispatch!(
        1: 1 2 4 8,
        2: 1 2 4 8,
        3: 1 2 4,
        4: 1 2 4,
        5: 1 2 4,
        6: 1 2 4,
        7: 1 2,
        8: 1 2,
        9: 1 2,
        10: 1 2,
        11: 1 2,
        12: 1 2,
        13: 1,
        14: 1,
        15: 1,
        16: 1,
    );
}

/// Returns the maximum number of rows for tiles of `vectors` vectors. A single vector leaves registers for more sums,
/// and needs them.
pub(crate) fn most_rows<V: Vector>(vectors: usize) -> usize {
    if vectors == 1 { V::ROWS * 4 / 3 } else { V::ROWS }
}

/// Returns the maximum number of vectors, a power of two, for tiles of `rows` rows. It gives enough independent sums
/// without using too many registers.
pub(crate) fn most_vectors<V: Vector>(rows: usize) -> usize {
    match (rows, V::ROWS > 6) {
        (1, _) | (2, true) => 8,
        (2 | 3, false) | (3..=6, true) => 4,
        _ => 2,
    }
}

/// A tile with sizes that are known at compile time, so that the sums stay in registers.
struct Sized<'a, T, const ROWS: usize, const VECTORS: usize>(&'a TapTile<'a, T>);

impl<V: Vector, const ROWS: usize, const VECTORS: usize> VectorLoop<V> for Sized<'_, V::Number, ROWS, VECTORS> {
    type Result = ();

    /// Each row is one sum, in the order of its terms.
    #[inline(always)]
    unsafe fn run(self) {
        let tile = self.0;
        let steps = tile.steps;
        // SAFETY: guaranteed by the caller. All addresses that are used lie within the segments and the target.
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
                let mut weight = tile.weight.add(segment.weight * steps.weight_term);
                for _ in 0..segment.count {
                    let mut columns = [V::zero(); VECTORS];
                    for (v, column) in columns.iter_mut().enumerate() {
                        *column = V::load(source.add(v * steps.source_vector));
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let scale = V::splat(weight.add(r * steps.weight_row));
                        for (sum, &column) in sums.iter_mut().zip(&columns) {
                            *sum = scale.multiply_add(column, *sum);
                        }
                    }
                    source = source.wrapping_add(steps.column);
                    weight = weight.wrapping_add(steps.weight_term);
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    sum.store(tile.target.add(r * steps.target_row + v * steps.target_vector));
                }
            }
        }
    }
}
