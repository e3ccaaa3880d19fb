//! Blocks of a product's sides in the order in which a tile reads them.
#![expect(unsafe_code, reason = "vector loops take addresses")]

use std::ops::Range;

use crate::parts::equal_parts;
use crate::product::Matrix;
use crate::simd::{MOST_LANES, Number, Vector, VectorLoop, transpose};

/// (tile of at most `most` rows, term, row of the tile), of a matrix whose rows are neighbours in memory.
pub(super) fn pack_left<T: Number>(
    matrix: Matrix<'_, T>,
    rows: &Range<usize>,
    terms: &Range<usize>,
    most: usize,
    packed: &mut [T],
) {
    let mut rest = packed;
    for tile in equal_parts(rows.len(), rows.len().div_ceil(most)) {
        let (packed, after) = rest.split_at_mut(tile.len() * terms.len());
        let first = rows.start + tile.start;
        for (term, packed) in terms.clone().zip(packed.chunks_exact_mut(tile.len())) {
            for (r, packed) in packed.iter_mut().enumerate() {
                *packed = matrix.number(first + r, term);
            }
        }
        rest = after;
    }
}

/// (panel of `width` columns, term, column of the panel); zeros for columns that are not there.
///
/// # Safety
/// The instruction set of `V`.
pub(crate) unsafe fn pack_right<V: Vector>(
    matrix: Matrix<'_, V::Number>,
    terms: &Range<usize>,
    columns: &Range<usize>,
    width: usize,
    packed: &mut [V::Number],
) {
    // SAFETY: the caller's promise.
    unsafe { V::compiled(PackRight { matrix, terms, columns, width, packed }) }
}

struct PackRight<'a, T> {
    matrix: Matrix<'a, T>,
    terms: &'a Range<usize>,
    columns: &'a Range<usize>,
    width: usize,
    packed: &'a mut [T],
}

impl<V: Vector> VectorLoop<V> for PackRight<'_, V::Number> {
    type Result = ();

    #[inline(always)]
    unsafe fn run(self) {
        let Self { matrix, terms, columns, width, packed } = self;
        let panel = width * terms.len();
        if !columns.len().is_multiple_of(width) {
            let zero = <V::Number as candle_core::WithDType>::from_f64(0.0);
            packed[columns.len() / width * panel..].fill(zero);
        }
        if matrix.column_step == 1 {
            for (t, term) in terms.clone().enumerate() {
                let row = &matrix.data[term * matrix.row_step..][columns.clone()];
                for (p, from) in row.chunks(width).enumerate() {
                    let to = &mut packed[p * panel + t * width..][..width];
                    let mut vectors = from.chunks_exact(V::LANES);
                    for (from, to) in vectors.by_ref().zip(to.chunks_exact_mut(V::LANES)) {
                        // SAFETY: the instruction set is the caller's promise; either slice has `LANES` numbers.
                        unsafe { V::load(from.as_ptr()).store(to.as_mut_ptr()) };
                    }
                    let rest = vectors.remainder();
                    to[from.len() - rest.len()..from.len()].copy_from_slice(rest);
                }
            }
            return;
        }
        for (panel, first) in packed.chunks_exact_mut(panel).zip(columns.clone().step_by(width)) {
            // SAFETY: the caller's promise.
            unsafe { pack_transposed::<V>(matrix, terms, first..(first + width).min(columns.end), width, panel) };
        }
    }
}

/// One panel of a matrix whose columns are neighbouring numbers.
#[inline(always)]
unsafe fn pack_transposed<V: Vector>(
    matrix: Matrix<'_, V::Number>,
    terms: &Range<usize>,
    columns: Range<usize>,
    width: usize,
    panel: &mut [V::Number],
) {
    for (v, first) in columns.clone().step_by(V::LANES).enumerate() {
        let columns = first..(first + V::LANES).min(columns.end);
        for term in (0..terms.len()).step_by(V::LANES) {
            let count = V::LANES.min(terms.len() - term);
            // SAFETY: the instruction set is the caller's promise; each slice has as many numbers as are read or written.
            unsafe {
                let mut block = [V::zero(); MOST_LANES];
                for (vector, column) in block.iter_mut().zip(columns.clone()) {
                    let numbers = &matrix.data[terms.start + term + column * matrix.column_step..][..count];
                    *vector = if count == V::LANES {
                        V::load(numbers.as_ptr())
                    } else {
                        V::load_first(numbers.as_ptr(), count)
                    };
                }
                transpose(&mut block);
                for (l, vector) in block.into_iter().enumerate().take(count) {
                    vector.store(panel[(term + l) * width + v * V::LANES..][..V::LANES].as_mut_ptr());
                }
            }
        }
    }
}
