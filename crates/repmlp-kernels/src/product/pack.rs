//! Packing blocks of both sides of a product, in the order in which tiles read them.
#![expect(unsafe_code, reason = "vector loops take addresses")]

use std::ops::Range;

use crate::packing::{AHEAD, prefetch};
use crate::product::Matrix;
use crate::simd::{Vector, VectorLoop, transposed, zero};

/// Returns the numbers per term in a packed tile. The last vector is filled up with arbitrary numbers: writing a whole
/// vector is faster than writing its first lanes.
pub(super) fn tile_step<V: Vector>() -> usize {
    V::ROWS.next_multiple_of(V::LANES)
}

/// Packs a matrix with consecutive numbers in its columns as (tile of at most `V::ROWS` rows, term, row of the tile).
/// Each term takes `tile_step` numbers.
///
/// # Safety
/// The processor has the instruction set of `V`.
pub(super) unsafe fn pack_left<V: Vector>(
    matrix: Matrix<'_, V::Number>,
    tiles: &[Range<usize>],
    terms: &Range<usize>,
    packed: &mut [V::Number],
) {
    // SAFETY: guaranteed by the caller.
    unsafe { V::compiled(PackLeft { matrix, tiles, terms, packed }) }
}

struct PackLeft<'a, T> {
    matrix: Matrix<'a, T>,
    tiles: &'a [Range<usize>],
    terms: &'a Range<usize>,
    packed: &'a mut [T],
}

impl<V: Vector> VectorLoop<V> for PackLeft<'_, V::Number> {
    type Result = ();

    #[inline(always)]
    unsafe fn run(self) {
        let Self { matrix, tiles, terms, packed } = self;
        let step = tile_step::<V>();
        let (Some(first), Some(last)) = (tiles.first(), tiles.last()) else { return };
        let row = |term: usize| &matrix.data[term * matrix.column_step..][..last.end];
        for (t, term) in terms.clone().enumerate() {
            if term + AHEAD < terms.end {
                // SAFETY: the caller guarantees the instruction set.
                unsafe { prefetch::<V>(&row(term + AHEAD)[first.start..]) };
            }
            let numbers = row(term);
            for (tile, packed) in tiles.iter().zip(packed.chunks_exact_mut(step * terms.len())) {
                let to = &mut packed[t * step..][..step];
                for (from, to) in numbers[tile.start..].chunks(V::LANES).zip(to.chunks_exact_mut(V::LANES)) {
                    // SAFETY: the caller guarantees the instruction set, and both slices have that many numbers.
                    unsafe { V::load_some(from).store(to.as_mut_ptr()) };
                }
            }
        }
    }
}

/// Packs a matrix as (panel of `width` columns, term, column of the panel). Missing columns are zeros.
///
/// # Safety
/// The processor has the instruction set of `V`.
pub(crate) unsafe fn pack_right<V: Vector>(
    matrix: Matrix<'_, V::Number>,
    terms: &Range<usize>,
    columns: &Range<usize>,
    width: usize,
    packed: &mut [V::Number],
) {
    // SAFETY: guaranteed by the caller.
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
        if panel == 0 {
            return;
        }
        if !columns.len().is_multiple_of(width) {
            packed[columns.len() / width * panel..].fill(zero::<V>());
        }
        if matrix.column_step == 1 {
            let row = |term: usize| &matrix.data[term * matrix.row_step..][columns.clone()];
            for (t, term) in terms.clone().enumerate() {
                if term + AHEAD < terms.end {
                    // SAFETY: the caller guarantees the instruction set.
                    unsafe { prefetch::<V>(row(term + AHEAD)) };
                }
                for (p, from) in row(term).chunks(width).enumerate() {
                    let to = &mut packed[p * panel + t * width..][..width];
                    let mut vectors = from.chunks_exact(V::LANES);
                    for (from, to) in vectors.by_ref().zip(to.chunks_exact_mut(V::LANES)) {
                        // SAFETY: the caller guarantees the instruction set, and both slices have `LANES` numbers.
                        unsafe { V::load(from.as_ptr()).store(to.as_mut_ptr()) };
                    }
                    let rest = vectors.remainder();
                    if !rest.is_empty() {
                        to[from.len() - rest.len()..from.len()].copy_from_slice(rest);
                    }
                }
            }
            return;
        }
        for (panel, first) in packed.chunks_exact_mut(panel).zip(columns.clone().step_by(width)) {
            // SAFETY: guaranteed by the caller.
            unsafe { pack_transposed::<V>(matrix, terms, first..(first + width).min(columns.end), width, panel) };
        }
    }
}

/// Packs one panel of a matrix with consecutive numbers in its columns.
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
            // SAFETY: the caller guarantees the instruction set, and each slice has as many numbers as are read or
            // written.
            unsafe {
                let numbers = |column| &matrix.data[terms.start + term + column * matrix.column_step..][..count];
                for column in columns.clone() {
                    // This prefetches the next panel. A prefetch may use an address outside the matrix.
                    V::prefetch(numbers(column).as_ptr().wrapping_add(width * matrix.column_step));
                }
                let block = transposed::<V>(columns.clone().map(numbers));
                for (l, vector) in block.iter().enumerate().take(count) {
                    vector.store(panel[(term + l) * width + v * V::LANES..][..V::LANES].as_mut_ptr());
                }
            }
        }
    }
}
