//! Convolution as products with columns, tile by tile. The tiles depend on shapes alone.
#![expect(unsafe_code, reason = "tasks write disjoint blocks of one output")]

use std::ops::Range;

use candle_core::{Error, Result};
use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::conv::ConvSizes;
use crate::conv::epilogue::{ConvEpilogue, EpilogueFrom};
use crate::fresh::{room, unwritten, written};
use crate::parts::{TASKS, equal_parts, equal_size, parts_for, sum_parts};
use crate::product::{MOST_COLUMNS, Matrix, MatrixMut, Shared, Update, multiply, multiply_with_epilogue};
use crate::simd::{InstructionSet, Number};

/// Numbers in the columns of a tile. Half a megabyte of `f32` fits the second-level cache of most processors.
const TILE_NUMBERS: usize = 1 << 17;
/// Rows of columns per task of the backward pass: enough for a product to run at full speed.
const CHUNK_ROWS: usize = 96;
/// The same where the map itself serves as columns. It is larger, because each chunk reads the other side again.
const POINTWISE_CHUNK_ROWS: usize = 256;
/// Minimum channels per task, where the tiles of a pointwise convolution give too few tasks.
const FEWEST_CHANNELS: usize = 128;

/// The tiles of an output channel.
struct Tiles(Vec<Range<usize>>);

impl Tiles {
    /// Returns the tiles for columns with `rows` rows.
    fn new(map: usize, rows: usize) -> Self {
        let width = equal_size(map, (TILE_NUMBERS / rows).clamp(256, 4096));
        Self((0..map).step_by(width).map(|first| first..(first + width).min(map)).collect())
    }

    /// Returns the tiles for a map that serves as its own columns. A product keeps blocks of it in the cache by itself.
    /// Tiles are whole panels on every processor. They are equally large, because threads would wait for each other
    /// otherwise.
    fn pointwise(map: usize) -> Self {
        let count = map.div_ceil((map / TASKS).clamp(256, 4096));
        let panels = equal_parts(map.div_ceil(MOST_COLUMNS), count);
        Self(panels.map(|part| part.start * MOST_COLUMNS..(part.end * MOST_COLUMNS).min(map)).collect())
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Range<usize> {
        self.0[index].clone()
    }
}

/// Returns the number of parts that the channels of a product's target are split into, given the number of other tasks.
/// It is 1 where those are enough.
fn channel_parts(channels: usize, tasks: usize) -> usize {
    parts_for(tasks).min(channels / FEWEST_CHANNELS).max(1)
}

/// Returns the columns of a tile: gathered into `scratch`, or the map itself for a pointwise convolution.
fn columns<'a, T: Number>(
    sizes: &ConvSizes,
    channels: &'a [T],
    tile: &Range<usize>,
    scratch: &'a mut Vec<T>,
) -> Result<Matrix<'a, T>> {
    let count = channels.len() / sizes.input_map();
    if sizes.is_pointwise() {
        return Matrix::new(&channels[tile.start..], (count, tile.len()), sizes.input_map());
    }
    let rows = count * sizes.taps();
    scratch.resize(rows * tile.len(), T::zero());
    sizes.gather(channels, tile, scratch);
    Matrix::new(scratch, (rows, tile.len()), tile.len())
}

/// Computes y = W·columns for each group and tile.
pub(crate) fn forward<T: Number>(
    set: InstructionSet,
    x: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    epilogue: Option<&ConvEpilogue<'_, T>>,
) -> Result<Vec<T>> {
    let (inputs, outputs, map) = (sizes.group_inputs(), sizes.group_outputs(), sizes.output_map());
    let rows = inputs * sizes.taps();
    let tiles = if sizes.is_pointwise() { Tiles::pointwise(map) } else { Tiles::new(map, rows) };
    let mut y = unwritten(sizes.outputs * map);
    let shared = Shared::unwritten(&mut y);
    let others = sizes.groups * tiles.count();
    // All channels share gathered columns, so they are not split.
    let parts = if sizes.is_pointwise() { channel_parts(outputs, others) } else { 1 };
    let chunks: Vec<Range<usize>> = equal_parts(outputs, parts).collect();
    (0..others * chunks.len()).into_par_iter().try_for_each_init(Vec::new, |scratch, task| {
        let (task, chunk) = (task / chunks.len(), &chunks[task % chunks.len()]);
        let (group, tile) = (task / tiles.count(), tiles.get(task % tiles.count()));
        let channels = &x[group * inputs * sizes.input_map()..][..inputs * sizes.input_map()];
        let columns = columns(sizes, channels, &tile, scratch)?;
        let first = group * outputs + chunk.start;
        let weight = Matrix::new(&weight[first * rows..], (chunk.len(), rows), rows)?;
        let start = first * map + tile.start;
        // SAFETY: no other task has this tile of these channels.
        let mut y = unsafe { shared.block(start, (chunk.len(), tile.len()), map)? };
        multiply_with_epilogue(set, &mut y, Update::Replace, (weight, columns), &EpilogueFrom { epilogue, start })
    })?;
    // SAFETY: the tasks cover all tiles of all groups, and a product replaces its whole target.
    Ok(unsafe { written(y) })
}

/// Channels of a group per task of a backward pass.
fn chunk_channels(sizes: &ConvSizes) -> usize {
    let rows = if sizes.is_pointwise() { POINTWISE_CHUNK_ROWS } else { CHUNK_ROWS };
    (rows / sizes.taps()).clamp(1, sizes.group_inputs())
}

/// Computes dx = scatter(Wᵀ·dy), added to `onto` if given.
pub(crate) fn backward_x<T: Number>(
    set: InstructionSet,
    dy: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    onto: Option<Vec<T>>,
) -> Result<Vec<T>> {
    if sizes.is_pointwise() {
        return pointwise_backward_x(set, dy, weight, sizes, onto);
    }
    let dx = onto.unwrap_or_else(|| vec![T::zero(); sizes.inputs * sizes.input_map()]);
    scattered_backward_x(set, dy, weight, sizes, dx)
}

fn pointwise_backward_x<T: Number>(
    set: InstructionSet,
    dy: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    onto: Option<Vec<T>>,
) -> Result<Vec<T>> {
    let (inputs, outputs, map) = (sizes.group_inputs(), sizes.group_outputs(), sizes.output_map());
    let tiles = Tiles::pointwise(map);
    let update = if onto.is_some() { Update::Add } else { Update::Replace };
    let mut dx = onto.map_or_else(|| unwritten(sizes.inputs * map), room);
    let shared = Shared::unwritten(&mut dx);
    let others = sizes.groups * tiles.count();
    let chunks: Vec<Range<usize>> = equal_parts(inputs, channel_parts(inputs, others)).collect();
    (0..others * chunks.len()).into_par_iter().try_for_each(|task| {
        let (task, chunk) = (task / chunks.len(), &chunks[task % chunks.len()]);
        let (group, tile) = (task / tiles.count(), tiles.get(task % tiles.count()));
        let weight = &weight[group * outputs * inputs + chunk.start..];
        let weight = Matrix::new(weight, (outputs, chunk.len()), inputs)?;
        let dy = Matrix::new(&dy[group * outputs * map + tile.start..], (outputs, tile.len()), map)?;
        let start = (group * inputs + chunk.start) * map + tile.start;
        // SAFETY: no other task has this tile of these channels.
        let mut dx = unsafe { shared.block(start, (chunk.len(), tile.len()), map)? };
        multiply(set, &mut dx, update, weight.transposed(), dy)
    })?;
    // SAFETY: as in the forward pass. Where something is added, the numbers are already written.
    Ok(unsafe { written(dx) })
}

/// Computes dx where columns are gathered. Each task has some channels of a group for itself and visits all tiles,
/// because the runs of tiles overlap in x.
fn scattered_backward_x<T: Number>(
    set: InstructionSet,
    dy: &[T],
    weight: &[T],
    sizes: &ConvSizes,
    mut dx: Vec<T>,
) -> Result<Vec<T>> {
    let (inputs, outputs, taps, map) = (sizes.group_inputs(), sizes.group_outputs(), sizes.taps(), sizes.output_map());
    let most = chunk_channels(sizes);
    let tiles = Tiles::new(map, most * taps);
    let chunks: Vec<(usize, &mut [T])> = dx
        .chunks_mut(inputs * sizes.input_map())
        .enumerate()
        .flat_map(|(group, dx)| dx.chunks_mut(most * sizes.input_map()).map(move |dx| (group, dx)))
        .collect();
    let chunks_a_group = inputs.div_ceil(most);
    chunks.into_par_iter().enumerate().try_for_each_init(Vec::new, |scratch, (task, (group, dx))| {
        let first = task % chunks_a_group * most * taps;
        let rows = dx.len() / sizes.input_map() * taps;
        let weight = &weight[group * outputs * inputs * taps + first..];
        let weight = Matrix::new(weight, (outputs, rows), inputs * taps)?.transposed();
        for tile in (0..tiles.count()).map(|index| tiles.get(index)) {
            let dy = Matrix::new(&dy[group * outputs * map + tile.start..], (outputs, tile.len()), map)?;
            scratch.resize(rows * tile.len(), T::zero());
            multiply(set, &mut MatrixMut::new(scratch, (rows, tile.len()))?, Update::Replace, weight, dy)?;
            sizes.scatter(scratch, &tile, dx);
        }
        Ok::<(), Error>(())
    })?;
    Ok(dx)
}

/// Computes dW = dy·columnsᵀ. A task has some channels of a group and, where those give too few tasks, a part of the
/// tiles. The parts are added in their order.
pub(crate) fn backward_weight<T: Number>(set: InstructionSet, x: &[T], dy: &[T], sizes: &ConvSizes) -> Result<Vec<T>> {
    let (inputs, outputs, taps, map) = (sizes.group_inputs(), sizes.group_outputs(), sizes.taps(), sizes.output_map());
    let most = chunk_channels(sizes);
    let chunks = inputs.div_ceil(most);
    let tiles = Tiles::new(map, most * taps);
    let parts = parts_for(sizes.groups * chunks).min(tiles.count());
    let mut partial = unwritten(parts * sizes.outputs * inputs * taps);
    let shared = Shared::unwritten(&mut partial);
    (0..sizes.groups * chunks * parts).into_par_iter().try_for_each_init(Vec::new, |scratch, task| {
        let (group, chunk, part) = (task / parts / chunks, task / parts % chunks, task % parts);
        let first = chunk * most;
        let count = most.min(inputs - first);
        let channels = &x[(group * inputs + first) * sizes.input_map()..][..count * sizes.input_map()];
        let start = ((part * sizes.groups + group) * outputs * inputs + first) * taps;
        // SAFETY: no other task has these columns of the group's rows in this part's copy.
        let mut dw = unsafe { shared.block(start, (outputs, count * taps), inputs * taps)? };
        for index in (part..tiles.count()).step_by(parts) {
            let tile = tiles.get(index);
            let columns = columns(sizes, channels, &tile, scratch)?;
            let dy = Matrix::new(&dy[group * outputs * map + tile.start..], (outputs, tile.len()), map)?;
            let update = if index == part { Update::Replace } else { Update::Add };
            multiply(set, &mut dw, update, dy, columns.transposed())?;
        }
        Ok::<(), Error>(())
    })?;
    // SAFETY: the tasks cover all columns of all groups' rows in all parts. Each part has a first tile, which replaces
    // them.
    Ok(sum_parts(unsafe { written(partial) }, parts))
}
