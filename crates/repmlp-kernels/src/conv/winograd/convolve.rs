//! The passes from the input to the output, and from the gradient of the output to that of the input.
#![expect(unsafe_code, reason = "tasks write disjoint blocks of one output")]

use std::ops::Range;

use candle_core::{Error, Result};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::pixels::{Channels, Map, Source, gather};
use super::tiles::{Run, Tiles};
use super::{KERNEL, POSITIONS, SIDE, TILE, kernels};
use crate::conv::ConvSizes;
use crate::conv::epilogue::ConvEpilogue;
use crate::conv::tap_map::Direction;
use crate::conv::target::Target;
use crate::fresh::{room, unwritten, written};
use crate::product::{Matrix, MatrixMut, Shared, Update, multiply};
use crate::scratch::with_scratch;
use crate::simd::{InstructionSet, Number};

/// Returns the output (O, H', W', N).
pub(crate) fn forward<T: Number>(
    set: InstructionSet,
    x: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    epilogue: Option<&ConvEpilogue<'_, T>>,
) -> Result<Vec<T>> {
    Pass { epilogue, ..Pass::new(set, weight, sizes, Direction::Forward)? }.run(x, None)
}

/// Returns the gradient of x (C, H, W, N), added to `onto` if given.
pub(crate) fn backward_x<T: Number>(
    set: InstructionSet,
    dy: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    onto: Option<Vec<T>>,
) -> Result<Vec<T>> {
    Pass::new(set, weight, sizes, Direction::Backward)?.run(dy, onto)
}

struct Pass<'a, T> {
    set: InstructionSet,
    groups: usize,
    /// Transformed kernels: (group, position, target channel, source channel).
    kernels: Vec<T>,
    /// Channels of a group, in the source and in the target.
    channels: (usize, usize),
    source: Map,
    /// Height and width of the target.
    target: (usize, usize),
    epilogue: Option<&'a ConvEpilogue<'a, T>>,
}

impl<T: Number> Pass<'_, T> {
    fn new(set: InstructionSet, weight: &[T], sizes: &ConvSizes, direction: Direction) -> Result<Self> {
        let (rows, columns, images, groups) = (&sizes.rows, &sizes.columns, sizes.images, sizes.groups);
        let kernels = kernels::transformed(set, weight, sizes, direction)?;
        let (inputs, outputs) = (sizes.group_inputs(), sizes.group_outputs());
        let (input, output) = ((rows.input, columns.input), (rows.output, columns.output));
        let map = |(height, width), padding| Map { height, width, images, padding };
        Ok(match direction {
            Direction::Forward => {
                let source = map(input, (rows.padding, columns.padding));
                Self { set, groups, kernels, channels: (inputs, outputs), source, target: output, epilogue: None }
            }
            Direction::Backward => {
                let source = map(output, (KERNEL - 1 - rows.padding, KERNEL - 1 - columns.padding));
                Self { set, groups, kernels, channels: (outputs, inputs), source, target: input, epilogue: None }
            }
        })
    }
}

impl<T: Number> Pass<'_, T> {
    fn run(&self, source: &[T], onto: Option<Vec<T>>) -> Result<Vec<T>> {
        let (height, width) = self.target;
        let (images, tiles) = (self.source.images, Tiles::new(height, width));
        let adds = onto.is_some();
        let count = self.groups * self.channels.1 * height * width * images;
        let mut sums = onto.map_or_else(|| unwritten(count), room);
        let target = Target { shared: Shared::unwritten(&mut sums), onto: adds };
        let blocks = tiles.blocks(POSITIONS * (self.channels.0 + self.channels.1), images);
        (0..self.groups * blocks.len()).into_par_iter().try_for_each(|task| {
            let (group, block) = (task / blocks.len(), &blocks[task % blocks.len()]);
            self.block(source, (group, tiles, block), &target)
        })?;
        // SAFETY: the tasks cover all tiles of all groups' channels, and the tiles cover the map.
        Ok(unsafe { written(sums) })
    }

    /// Computes some tiles of a group.
    fn block(
        &self,
        source: &[T],
        (group, tiles, range): (usize, Tiles, &Range<usize>),
        target: &Target<'_, T>,
    ) -> Result<()> {
        let (from, to) = self.channels;
        let columns = range.len() * self.source.images;
        let source = &source[group * from * self.source.numbers()..];
        let channels = Channels { map: &self.source, numbers: source, count: from };
        let kernels = &self.kernels[group * POSITIONS * from * to..];
        with_scratch(POSITIONS * (from + to) * columns + TILE * TILE * columns, |scratch: &mut [T]| {
            let (spread, rest) = scratch.split_at_mut(POSITIONS * from * columns);
            let (sums, pixels) = rest.split_at_mut(POSITIONS * to * columns);
            for (row, spread) in spread.chunks_exact_mut(SIDE * from * columns).enumerate() {
                channels.spread::<Source>(self.set, (tiles, range, row), spread);
            }
            for position in 0..POSITIONS {
                let left = Matrix::new(&kernels[position * to * from..], (to, from), from)?;
                let right = Matrix::new(&spread[position * from * columns..], (from, columns), columns)?;
                let mut sums = MatrixMut::new(&mut sums[position * to * columns..], (to, columns))?;
                multiply(self.set, &mut sums, Update::Replace, left, right)?;
            }
            for run in tiles.runs(range.clone()) {
                for channel in 0..to {
                    let place = channel * columns + run.before * self.source.images;
                    let of_run = run.columns.len() * self.source.images;
                    let sums = std::array::from_fn(|position| &sums[position * to * columns + place..][..of_run]);
                    self.write(&sums, (group * to + channel, &run), pixels, target)?;
                }
            }
            Ok::<(), Error>(())
        })
    }

    /// Writes the pixels of a channel for a run of tiles, from the sums at each position.
    fn write(
        &self,
        sums: &[&[T]; POSITIONS],
        (channel, run): (usize, &Run),
        pixels: &mut [T],
        target: &Target<'_, T>,
    ) -> Result<()> {
        let (images, (height, width)) = (self.source.images, self.target);
        let of_row = TILE * sums[0].len();
        let (upper, lower) = pixels[..TILE * of_row].split_at_mut(of_row);
        gather(self.set, sums, images, [&mut *upper, &mut *lower]);
        let (row, column) = (TILE * run.row, TILE * run.columns.start);
        let count = ((TILE * run.columns.end).min(width) - column) * images;
        for (row, pixels) in (row..height).zip([upper, lower]) {
            let start = ((channel * height + row) * width + column) * images;
            let pixels = &mut pixels[..count];
            // SAFETY: no other task has the pixels of these tiles. Where something is added, the pixels are already
            // written.
            let mut to = unsafe { target.shared.block(start, (1, count), count)? };
            if target.onto {
                // SAFETY: as above.
                unsafe { to.each_row(|_, to| to.iter_mut().zip(&*pixels).for_each(|(to, &pixel)| *to += pixel)) };
            } else {
                if let Some(epilogue) = self.epilogue {
                    epilogue.row(pixels, start);
                }
                to.copy_rows(pixels, count);
            }
        }
        Ok(())
    }
}
