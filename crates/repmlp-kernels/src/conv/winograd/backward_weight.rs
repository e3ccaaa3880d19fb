//! The gradient of the weight. At each position, it is a product of the transformed gradient of the output and the
//! transformed input.
#![expect(unsafe_code, reason = "tasks write disjoint blocks of one output")]

use candle_core::{Error, Result};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::pixels::{Channels, Map, Source, TargetGradient};
use super::tiles::Tiles;
use super::{SIDE, kernels};
use crate::conv::ConvSizes;
use crate::fresh::{unwritten, written};
use crate::parts::{equal_parts, parts_for, sum_parts};
use crate::product::{Matrix, Shared, Update, multiply};
use crate::scratch::with_scratch;
use crate::simd::{InstructionSet, Number};

/// Computes dW from x (C, H, W, N) and dy. A task has a row of positions of a group and some of the tiles. The parts
/// are added in their order.
pub(crate) fn backward_weight<T: Number>(set: InstructionSet, x: &[T], dy: &[T], sizes: &ConvSizes) -> Result<Vec<T>> {
    let (inputs, outputs, images) = (sizes.group_inputs(), sizes.group_outputs(), sizes.images);
    let (rows, columns) = (&sizes.rows, &sizes.columns);
    let tiles = Tiles::new(rows.output, columns.output);
    let input = Map { height: rows.input, width: columns.input, images, padding: (rows.padding, columns.padding) };
    let output = Map { height: rows.output, width: columns.output, images, padding: (0, 0) };
    let blocks = tiles.blocks(SIDE * (inputs + outputs), images);
    let parts = parts_for(sizes.groups * SIDE).min(blocks.len());
    let of_row = SIDE * outputs * inputs;
    let mut partial = unwritten(parts * sizes.groups * SIDE * of_row);
    let shared = Shared::unwritten(&mut partial);
    (0..parts * sizes.groups * SIDE).into_par_iter().try_for_each(|task| {
        let (part, group, row) = (task / SIDE / sizes.groups, task / SIDE % sizes.groups, task % SIDE);
        let (x, dy) = (&x[group * inputs * input.numbers()..], &dy[group * outputs * output.numbers()..]);
        let x = Channels { map: &input, numbers: x, count: inputs };
        let dy = Channels { map: &output, numbers: dy, count: outputs };
        let of_part = equal_parts(blocks.len(), parts).nth(part).unwrap_or_default();
        for (index, range) in blocks[of_part].iter().enumerate() {
            let columns = range.len() * images;
            with_scratch(SIDE * (inputs + outputs) * columns, |scratch: &mut [T]| {
                let (spread_x, spread_dy) = scratch.split_at_mut(SIDE * inputs * columns);
                x.spread::<Source>(set, (tiles, range, row), spread_x);
                dy.spread::<TargetGradient>(set, (tiles, range, row), spread_dy);
                for position in 0..SIDE {
                    let left = Matrix::new(&spread_dy[position * outputs * columns..], (outputs, columns), columns)?;
                    let right = Matrix::new(&spread_x[position * inputs * columns..], (inputs, columns), columns)?;
                    let update = if index == 0 { Update::Replace } else { Update::Add };
                    let start = task * of_row + position * outputs * inputs;
                    // SAFETY: no other task has this part of this row of positions, and the first block replaces all of
                    // it.
                    let mut sums = unsafe { shared.block(start, (outputs, inputs), inputs)? };
                    multiply(set, &mut sums, update, left, right.transposed())?;
                }
                Ok::<(), Error>(())
            })?;
        }
        Ok::<(), Error>(())
    })?;
    // SAFETY: the tasks cover all rows of positions of all groups in all parts, and each part has a first block.
    let summed = sum_parts(unsafe { written(partial) }, parts);
    Ok(kernels::gradient(set, &summed, sizes))
}
