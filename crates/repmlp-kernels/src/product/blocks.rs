//! A product: blocks of terms, rows and columns of which a cache holds what is read again and again, and tiles of which
//! the registers do.
//!
//! A block of the right side is packed into panels as wide as a tile, a block of the left side into rows of tiles, unless a row's
//! terms are neighbours already: the tile reads them where they lie.
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

/// Terms of a block: a tile's part of either side stays in the first-level cache.
const TERMS: usize = 256;
/// Vectors of a panel.
const PANEL: usize = 2;
/// Most columns of a panel, on any processor.
pub(crate) const MOST_COLUMNS: usize = PANEL * MOST_LANES;
/// Rows and columns of a block.
const BLOCK: usize = PACKED_NUMBERS / TERMS;

/// Neighbouring things, as many as `most` at once, in parts of equal sizes.
fn blocks(things: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    equal_parts(things, things.div_ceil(most))
}

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// It replaces the target.
    Replace,
    /// It is added to the target.
    Add,
}

/// target ← left·right, or target + left·right. An error where the sizes differ.
pub(crate) fn multiply<T: Number>(
    set: InstructionSet,
    target: &mut MatrixMut<'_, T>,
    update: Update,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
) -> Result<()> {
    multiply_with_epilogue(set, target, update, (left, right), &())
}

/// What becomes of sums while they are in cache.
pub(crate) trait TileEpilogue<T> {
    /// Asks for what `apply` will need for some rows and columns of the target.
    ///
    /// # Safety
    /// The instruction set of `V`.
    unsafe fn prefetch<V: Vector<Number = T>>(&self, rows: &Range<usize>, columns: &Range<usize>);

    /// Is shown a part of the target, which begins in that row and column; each number once, after its last term.
    ///
    /// # Safety
    /// The part is written.
    unsafe fn apply(&self, sums: &mut MatrixMut<'_, T>, first: (usize, usize));
}

/// Nothing.
impl<T> TileEpilogue<T> for () {
    unsafe fn prefetch<V: Vector<Number = T>>(&self, _: &Range<usize>, _: &Range<usize>) {}

    unsafe fn apply(&self, _: &mut MatrixMut<'_, T>, _: (usize, usize)) {}
}

/// As [`multiply`], and what becomes of the sums.
pub(crate) fn multiply_with_epilogue<T: Number>(
    set: InstructionSet,
    target: &mut MatrixMut<'_, T>,
    update: Update,
    (left, right): (Matrix<'_, T>, Matrix<'_, T>),
    epilogue: &impl TileEpilogue<T>,
) -> Result<()> {
    if target.rows != left.rows || target.columns != right.columns || left.columns != right.rows {
        bail!(
            "product of {}x{} and {}x{} into {}x{}",
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

/// The same, of sizes that fit.
fn by_blocks<V: Vector>(
    target: &mut MatrixMut<'_, V::Number>,
    update: Update,
    (left, right): (Matrix<'_, V::Number>, Matrix<'_, V::Number>),
    epilogue: &impl TileEpilogue<V::Number>,
) {
    let width = PANEL * V::LANES;
    // A sum of no terms is written too.
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
                    // SAFETY: `V` is what the processor has.
                    unsafe { pack_left::<V>(left, &tiles, &terms, left_numbers) };
                }
                for first in (0..right.columns).step_by(block_columns) {
                    let columns = first..(first + block_columns).min(right.columns);
                    let numbers = &mut right_numbers[..columns.len().next_multiple_of(width) * terms.len()];
                    // SAFETY: `V` is what the processor has.
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

/// The left side of a block, packed or as it lies.
#[derive(Clone, Copy)]
struct Left<'a, T> {
    matrix: Matrix<'a, T>,
    packed: Option<&'a [T]>,
}

/// What is packed next of the right side.
struct Next<'a, T> {
    matrix: Matrix<'a, T>,
    columns: Range<usize>,
    terms: Range<usize>,
}

impl<T: Number> Next<'_, T> {
    /// Asks for one of some equal parts of it, where its rows are neighbouring numbers.
    fn prefetch<V: Vector<Number = T>>(&self, part: usize, parts: usize) {
        let (matrix, count) = (self.matrix, self.terms.len());
        if matrix.column_step == 1 && !self.columns.is_empty() {
            for term in part * count / parts..(part + 1) * count / parts {
                let row = &matrix.data[(self.terms.start + term) * matrix.row_step..][self.columns.clone()];
                // SAFETY: `V` is what the processor has.
                unsafe { prefetch::<V>(row) };
            }
        }
    }
}

/// Some rows, columns and terms of a product.
struct Block<'a, T> {
    left: Left<'a, T>,
    /// In panels.
    right: &'a [T],
    tiles: &'a [Range<usize>],
    columns: Range<usize>,
    terms: Range<usize>,
    /// Whether the sums go on from what the target holds.
    onto: bool,
}

impl<T: Number> Block<'_, T> {
    /// Asks for what a tile's rows have where they lie: short pieces far apart, which no processor sees coming.
    fn prefetch_left<V: Vector<Number = T>>(&self, rows: Range<usize>) {
        if self.left.packed.is_none() {
            for row in rows {
                let start = row * self.left.matrix.row_step + self.terms.start;
                let numbers = &self.left.matrix.data[start..][..self.terms.len()];
                // SAFETY: `V` is what the processor has.
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
                    // SAFETY: `V` is what the processor has.
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
                    // SAFETY: `V` is what the processor has; the panel has `width` numbers for each term, the left side a number for
                    // each row and term, and the part of the target, which is borrowed mutably, all rows and vectors; where sums
                    // go on from it, it is written: by the block of terms before, or before the product, as `Shared::block` asks.
                    unsafe { sum_taps::<V>(rows.len(), PANEL, &tile) };
                    continue;
                }
                let mut whole = [T::zero(); MOST_ROWS * PANEL * MOST_LANES];
                if self.onto {
                    // SAFETY: it is written, as above.
                    unsafe { part.copy_rows_to(&mut whole, width) };
                }
                steps.target_row = width;
                let target = whole.as_mut_ptr();
                let tile = TapTile { segments: &segments, source, weight, target, onto: self.onto, steps };
                // SAFETY: as above; the array has room for all rows and vectors, and is written.
                unsafe { sum_taps::<V>(rows.len(), PANEL, &tile) };
                part.copy_rows(&whole, width);
            }
            if let Some(epilogue) = epilogue {
                // SAFETY: the tile's sums over these and all terms before are in all of these columns.
                unsafe { epilogue.apply(&mut target.part(rows, &self.columns), (rows.start, self.columns.start)) };
            }
        }
    }
}
