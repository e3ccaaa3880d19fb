//! A product, computed in blocks of terms, rows and columns. The cache holds the parts of a block that are read
//! repeatedly; registers hold those of a tile.
//!
//! A block of the right side is packed into panels as wide as a tile. A block of the left side is packed into rows of
//! tiles, unless the terms of a row are consecutive already: then the tile reads them in place.
#![expect(unsafe_code, reason = "tiles take addresses")]

use std::ops::Range;

use candle_core::{Result, bail};

use crate::packing::{PACKED_NUMBERS, prefetch};
use crate::parts::{equal_parts, equal_size};
use crate::product::pack::{pack_left, pack_right, tile_step};
use crate::product::{Matrix, MatrixMut};
use crate::scratch::with_scratch;
use crate::simd::{
    InstructionSet, MOST_LANES, MOST_ROWS, Number, Segment, Steps, TapTile, Vector, for_instruction_set, sum_taps,
};

/// Terms per block. A tile's part of either side then stays in the first-level cache.
const TERMS: usize = 256;
/// Vectors per panel.
const PANEL: usize = 2;
/// Maximum columns of a panel, on any processor.
pub(crate) const MOST_COLUMNS: usize = PANEL * MOST_LANES;
/// Maximum rows and columns of a block.
const BLOCK: usize = PACKED_NUMBERS / TERMS;

/// Splits `things` into consecutive ranges of equal size, each at most `most` long.
fn blocks(things: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    equal_parts(things, things.div_ceil(most))
}

/// What a product does to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// Replaces the target.
    Replace,
    /// Adds to the target.
    Add,
}

/// Computes target ← left·right, or target ← target + left·right. Fails when the sizes do not match.
pub(crate) fn multiply<T: Number>(
    set: InstructionSet,
    target: &mut MatrixMut<'_, T>,
    update: Update,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
) -> Result<()> {
    multiply_with_epilogue(set, target, update, (left, right), &())
}

/// Operation applied to the sums while they are in the cache.
pub(crate) trait TileEpilogue<T> {
    /// Prefetches what `apply` needs for these rows and columns of the target.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    unsafe fn prefetch<V: Vector<Number = T>>(&self, rows: &Range<usize>, columns: &Range<usize>);

    /// Processes a part of the target that begins at row and column `first`. Each number is passed once, after its last
    /// term.
    ///
    /// # Safety
    /// The part is written.
    unsafe fn apply(&self, sums: &mut MatrixMut<'_, T>, first: (usize, usize));
}

/// The epilogue that does nothing.
impl<T> TileEpilogue<T> for () {
    unsafe fn prefetch<V: Vector<Number = T>>(&self, _: &Range<usize>, _: &Range<usize>) {}

    unsafe fn apply(&self, _: &mut MatrixMut<'_, T>, _: (usize, usize)) {}
}

/// Like [`multiply`], followed by an epilogue.
pub(crate) fn multiply_with_epilogue<T: Number>(
    set: InstructionSet,
    target: &mut MatrixMut<'_, T>,
    update: Update,
    (left, right): (Matrix<'_, T>, Matrix<'_, T>),
    epilogue: &impl TileEpilogue<T>,
) -> Result<()> {
    if target.rows != left.rows || target.columns != right.columns || left.columns != right.rows {
        bail!(
            "matrix product of {}x{} and {}x{} into {}x{}: the sizes do not match",
            left.rows,
            left.columns,
            right.rows,
            right.columns,
            target.rows,
            target.columns
        );
    }
    for_instruction_set!(set, T, V => by_blocks::<V<T>>(target, update, (left, right), epilogue));
    Ok(())
}

/// Computes a product of matching sizes, block by block.
fn by_blocks<V: Vector>(
    target: &mut MatrixMut<'_, V::Number>,
    update: Update,
    (left, right): (Matrix<'_, V::Number>, Matrix<'_, V::Number>),
    epilogue: &impl TileEpilogue<V::Number>,
) {
    let width = PANEL * V::LANES;
    // At least one part, so that a sum without terms is written too.
    for terms in equal_parts(left.columns, left.columns.div_ceil(TERMS).max(1)) {
        let onto = update == Update::Add || terms.start > 0;
        let epilogue = (terms.end == left.columns).then_some(epilogue);
        let in_place = left.column_step == 1;
        for rows in blocks(left.rows, if in_place { left.rows.max(1) } else { BLOCK }) {
            let count = rows.len().div_ceil(V::ROWS);
            let tiles: Vec<Range<usize>> =
                equal_parts(rows.len(), count).map(|tile| rows.start + tile.start..rows.start + tile.end).collect();
            let packed_left = if in_place { 0 } else { tiles.len() * tile_step::<V>() * terms.len() };
            let block_columns = equal_size(right.columns.div_ceil(width).max(1), (BLOCK / width).max(1)) * width;
            let packed_right = block_columns.min(right.columns.next_multiple_of(width)) * terms.len();
            with_scratch(packed_right + packed_left, |scratch: &mut [V::Number]| {
                let (right_numbers, left_numbers) = scratch.split_at_mut(packed_right);
                if !in_place {
                    // SAFETY: the processor supports `V`.
                    unsafe { pack_left::<V>(left, &tiles, &terms, left_numbers) };
                }
                for first in (0..right.columns).step_by(block_columns) {
                    let columns = first..(first + block_columns).min(right.columns);
                    let numbers = &mut right_numbers[..columns.len().next_multiple_of(width) * terms.len()];
                    // SAFETY: the processor supports `V`.
                    unsafe { pack_right::<V>(right, &terms, &columns, width, numbers) };
                    let left = Left { matrix: left, packed: (!in_place).then_some(&*left_numbers) };
                    let next = columns.end..(columns.end + block_columns).min(right.columns);
                    let next = Next { matrix: right, columns: next, terms: terms.clone() };
                    let block = Block { left, right: numbers, tiles: &tiles, columns, terms: terms.clone(), onto };
                    block.multiply::<V>(target, &next, epilogue);
                }
            });
        }
    }
}

/// The left side of a block, packed or read in place.
#[derive(Clone, Copy)]
struct Left<'a, T> {
    matrix: Matrix<'a, T>,
    packed: Option<&'a [T]>,
}

/// The part of the right side that is packed next.
struct Next<'a, T> {
    matrix: Matrix<'a, T>,
    columns: Range<usize>,
    terms: Range<usize>,
}

impl<T: Number> Next<'_, T> {
    /// Prefetches one of `parts` equal parts, where the numbers of a row are consecutive.
    fn prefetch<V: Vector<Number = T>>(&self, part: usize, parts: usize) {
        let (matrix, count) = (self.matrix, self.terms.len());
        if matrix.column_step == 1 && !self.columns.is_empty() {
            for term in part * count / parts..(part + 1) * count / parts {
                let row = &matrix.data[(self.terms.start + term) * matrix.row_step..][self.columns.clone()];
                // SAFETY: the processor supports `V`.
                unsafe { prefetch::<V>(row) };
            }
        }
    }
}

/// Some rows, columns and terms of a product.
struct Block<'a, T> {
    left: Left<'a, T>,
    /// Packed into panels.
    right: &'a [T],
    tiles: &'a [Range<usize>],
    columns: Range<usize>,
    terms: Range<usize>,
    /// Whether the sums are added to the values in the target.
    onto: bool,
}

impl<T: Number> Block<'_, T> {
    /// Prefetches the left side for a tile's rows, where it is read in place. These are short pieces far apart, which
    /// the processor does not prefetch by itself.
    fn prefetch_left<V: Vector<Number = T>>(&self, rows: Range<usize>) {
        if self.left.packed.is_none() {
            for row in rows {
                let start = row * self.left.matrix.row_step + self.terms.start;
                let numbers = &self.left.matrix.data[start..][..self.terms.len()];
                // SAFETY: the processor supports `V`.
                unsafe { prefetch::<V>(numbers) };
            }
        }
    }

    fn multiply<V: Vector<Number = T>>(
        &self,
        target: &mut MatrixMut<'_, T>,
        next: &Next<'_, T>,
        epilogue: Option<&impl TileEpilogue<T>>,
    ) {
        let (width, terms) = (PANEL * V::LANES, self.terms.len());
        let (tiles, panels) = (self.tiles.len(), self.columns.len().div_ceil(width));
        for (t, rows) in self.tiles.iter().enumerate() {
            let (weight, weight_term, weight_row) = match self.left.packed {
                Some(packed) => (&packed[t * tile_step::<V>() * terms..], tile_step::<V>(), 1),
                None => {
                    let matrix = self.left.matrix;
                    (&matrix.data[rows.start * matrix.row_step + self.terms.start..], 1, matrix.row_step)
                }
            };
            self.prefetch_left::<V>(self.tiles.get(t + 1).cloned().unwrap_or_default());
            let columns = self.columns.clone().step_by(width);
            for (p, first) in columns.enumerate() {
                next.prefetch::<V>(t * panels + p, tiles * panels);
                let columns = first..(first + width).min(self.columns.end);
                if let Some(epilogue) = epilogue {
                    // SAFETY: the processor supports `V`.
                    unsafe { epilogue.prefetch::<V>(rows, &columns) };
                }
                let panel = &self.right[p * width * terms..][..width * terms];
                let segments = [Segment { source: 0, weight: 0, count: terms }];
                let mut steps = Steps {
                    column: width,
                    source_vector: V::LANES,
                    weight_term,
                    weight_row,
                    target_row: target.row_step,
                    target_vector: V::LANES,
                };
                let mut part = target.part(rows, &columns);
                let (source, weight) = (panel.as_ptr(), weight.as_ptr());
                if part.columns == width {
                    let target = part.as_mut_ptr();
                    let tile = TapTile { segments: &segments, source, weight, target, onto: self.onto, steps };
                    // SAFETY: the processor supports `V`. The panel has `width` numbers for each term, and the left
                    // side has a number for each row and term. The part of the target is borrowed mutably and has all
                    // rows and vectors. Where sums are added to it, it is written: by the block of terms before, or
                    // before the product, as `Shared::block` demands.
                    unsafe { sum_taps::<V>(rows.len(), PANEL, &tile) };
                    continue;
                }
                let mut whole = [T::zero(); MOST_ROWS * PANEL * MOST_LANES];
                if self.onto {
                    // SAFETY: the part is written, as explained above.
                    unsafe { part.copy_rows_to(&mut whole, width) };
                }
                steps.target_row = width;
                let target = whole.as_mut_ptr();
                let tile = TapTile { segments: &segments, source, weight, target, onto: self.onto, steps };
                // SAFETY: as above. The array has room for all rows and vectors, and is written.
                unsafe { sum_taps::<V>(rows.len(), PANEL, &tile) };
                part.copy_rows(&whole, width);
            }
            if let Some(epilogue) = epilogue {
                // SAFETY: all these columns hold the tile's sums over these terms and all terms before.
                unsafe { epilogue.apply(&mut target.part(rows, &self.columns), (rows.start, self.columns.start)) };
            }
        }
    }
}
