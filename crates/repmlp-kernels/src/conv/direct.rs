//! Convolution without columns: for each target pixel the sum over the taps that lie inside the map, vectorised over images.
//!
//! What the forward pass does from the input to the output, the gradient of the input does from the output to the input.
#![expect(unsafe_code, reason = "tasks write disjoint blocks of one output; vector loops take addresses")]

use std::ops::Range;

use candle_core::{Error, Result};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use crate::conv::ConvSizes;
use crate::conv::plan::{Direction, Plan};
use crate::fresh::{unwritten, written};
use crate::product::Shared;
use crate::scratch::with_scratch;
use crate::simd::{InstructionSet, Number, Segment, TAP_ROWS, TapTile, Vector, for_instruction_set};

/// Numbers of packed source that a task keeps: a quarter of a megabyte of `f32`, half a second-level cache.
const PACKED_NUMBERS: usize = 1 << 16;
/// Most vectors of a column.
const MOST_VECTORS: usize = 8;

/// The output (O, H', W', N), or from dy and the weight the gradient (C, H, W, N).
pub(crate) fn convolve<T: Number>(
    set: InstructionSet,
    direction: Direction,
    source: &[T],
    weight: &[T],
    sizes: &ConvSizes,
) -> Result<Vec<T>> {
    for_instruction_set!(set, T, V => convolve_by::<V<T>>(direction, source, weight, sizes))
}

/// Sizes of one pass.
struct Pass<'a> {
    plan: Plan,
    /// Channels of a group in the source and in the target.
    channels: (usize, usize),
    /// Numbers of a channel in the source and in the target.
    maps: (usize, usize),
    images: usize,
    taps: usize,
    sizes: &'a ConvSizes,
}

/// What a task computes: some target rows and some images of a group.
struct Task {
    group: usize,
    rows: Range<usize>,
    lanes: Lanes,
}

/// Images that fill a column.
#[derive(Clone)]
struct Lanes {
    range: Range<usize>,
    vectors: usize,
}

fn convolve_by<V: Vector>(
    direction: Direction,
    source: &[V::Number],
    weight: &[V::Number],
    sizes: &ConvSizes,
) -> Result<Vec<V::Number>> {
    let (inputs, outputs) = (sizes.group_inputs(), sizes.group_outputs());
    let (input_map, output_map) = (sizes.input_map(), sizes.output_map());
    let (channels, maps) = match direction {
        Direction::Forward => ((inputs, outputs), (input_map, output_map)),
        Direction::Backward => ((outputs, inputs), (output_map, input_map)),
    };
    let plan = Plan::new(sizes, direction);
    let pass = Pass { plan, channels, maps, images: sizes.images, taps: sizes.taps(), sizes };
    let weights = pack_weight(weight, direction, &pass);
    let mut target = unwritten(sizes.groups * channels.1 * maps.1);
    let shared = Shared::unwritten(&mut target);
    tasks::<V>(&pass).into_par_iter().try_for_each(|task| run::<V>(&pass, &task, source, &weights, &shared))?;
    // SAFETY: the tasks are all rows and images of all groups, and each writes every pixel of them, also one without terms.
    Ok(unsafe { written(target) })
}

/// Vectors of a column for tiles of so many rows: enough independent sums, few enough registers.
fn vectors_for(rows: usize) -> usize {
    match rows {
        1 => 8,
        2 | 3 => 4,
        _ => 2,
    }
}

fn lanes<V: Vector>(images: usize, most: usize) -> Vec<Lanes> {
    let mut all = Vec::new();
    let mut start = 0;
    while start < images {
        let left = (images - start).div_ceil(V::LANES);
        let vectors = if left >= most { most } else { left.next_power_of_two().min(most) };
        let end = (start + vectors * V::LANES).min(images);
        all.push(Lanes { range: start..end, vectors });
        start = end;
    }
    all
}

fn tasks<V: Vector>(pass: &Pass<'_>) -> Vec<Task> {
    let lanes = lanes::<V>(pass.images, vectors_for(pass.channels.1.min(TAP_ROWS)));
    let (height, _) = pass.plan.target();
    let column = lanes.first().map_or(1, |lanes| lanes.vectors * V::LANES);
    let row = pass.plan.source_columns() * pass.channels.0 * column;
    let source_rows = (PACKED_NUMBERS / row).saturating_sub(pass.sizes.rows.kernel - 1);
    let band = (source_rows / pass.sizes.rows.stride).clamp(1, height);
    // Of equal heights.
    let band = height.div_ceil(height.div_ceil(band));
    let mut all = Vec::new();
    for group in 0..pass.sizes.groups {
        for lanes in &lanes {
            for first in (0..height).step_by(band) {
                all.push(Task { group, rows: first..(first + band).min(height), lanes: lanes.clone() });
            }
        }
    }
    all
}

/// Target channels of a group in tiles of at most `TAP_ROWS`, of equal sizes where they can be.
fn tiles(channels: usize) -> impl Iterator<Item = Range<usize>> {
    let count = channels.div_ceil(TAP_ROWS);
    (0..count).map(move |i| channels * i / count..channels * (i + 1) / count)
}

/// (group, tile, tap, source channel, target channel of the tile).
fn pack_weight<T: Number>(weight: &[T], direction: Direction, pass: &Pass<'_>) -> Vec<T> {
    let (from, to) = pass.channels;
    let taps = pass.taps;
    let mut packed = vec![T::zero(); weight.len()];
    let mut rest = packed.as_mut_slice();
    let mut all = Vec::new();
    for group in 0..pass.sizes.groups {
        for tile in tiles(to) {
            let (part, after) = rest.split_at_mut(tile.len() * from * taps);
            all.push((group, tile, part));
            rest = after;
        }
    }
    all.into_par_iter().for_each(|(group, tile, packed)| {
        let rows = tile.len();
        for (r, target) in tile.enumerate() {
            for source in 0..from {
                let kernel = match direction {
                    Direction::Forward => &weight[((group * to + target) * from + source) * taps..][..taps],
                    Direction::Backward => &weight[((group * from + source) * to + target) * taps..][..taps],
                };
                for (tap, &weight) in kernel.iter().enumerate() {
                    let tap = if direction == Direction::Forward { tap } else { taps - 1 - tap };
                    packed[(tap * from + source) * rows + r] = weight;
                }
            }
        }
    });
    packed
}

/// Source pixels of some rows and images as (pixel, channel, lane); lanes beyond the images are 0.
fn pack_source<T: Number>(source: &[T], pass: &Pass<'_>, rows: &Range<usize>, lanes: &Range<usize>, packed: &mut [T]) {
    let columns = pass.plan.source_columns();
    let (channels, pixels) = (pass.channels.0, rows.len() * columns);
    let width = packed.len() / (pixels * channels).max(1);
    for (c, channel) in source.chunks_exact(pass.maps.0).enumerate().take(channels) {
        let first = rows.start * columns;
        for (pixel, numbers) in channel.chunks_exact(pass.images).skip(first).take(pixels).enumerate() {
            let packed = &mut packed[(pixel * channels + c) * width..][..width];
            packed[..lanes.len()].copy_from_slice(&numbers[lanes.clone()]);
            packed[lanes.len()..].fill(T::zero());
        }
    }
}

fn run<V: Vector>(
    pass: &Pass<'_>,
    task: &Task,
    source: &[V::Number],
    weights: &[V::Number],
    shared: &Shared<'_, V::Number>,
) -> Result<()> {
    let (from, to) = pass.channels;
    let rows = pass.plan.source_rows(task.rows.clone());
    let width = task.lanes.vectors * V::LANES;
    let group = &source[task.group * from * pass.maps.0..];
    let mut segments = Vec::new();
    let mut ends = Vec::new();
    let columns = pass.plan.target().1;
    for pixel in task.rows.start * columns..task.rows.end * columns {
        pass.plan.segments((pixel / columns, pixel % columns), rows.start, from, &mut segments);
        ends.push(segments.len());
    }
    with_scratch(rows.len() * pass.plan.source_columns() * from * width, |packed: &mut [V::Number]| {
        pack_source(group, pass, &rows, &task.lanes.range, packed);
        for tile in tiles(to) {
            let weight = &weights[(task.group * to + tile.start) * from * pass.taps..][..tile.len() * from * pass.taps];
            let mut start = 0;
            for (pixel, &end) in ends.iter().enumerate() {
                let sum = Sum { segments: &segments[start..end], source: packed, weight };
                let pixel = task.rows.start * columns + pixel;
                sum.store::<V>(pass, task, (tile.clone(), pixel), shared)?;
                start = end;
            }
        }
        Ok::<(), Error>(())
    })
}

/// One target pixel of a tile of channels.
struct Sum<'a, T> {
    segments: &'a [Segment],
    source: &'a [T],
    weight: &'a [T],
}

impl<T: Number> Sum<'_, T> {
    fn store<V: Vector<Number = T>>(
        &self,
        pass: &Pass<'_>,
        task: &Task,
        (tile, pixel): (Range<usize>, usize),
        shared: &Shared<'_, T>,
    ) -> Result<()> {
        let map = pass.maps.1;
        let start = (task.group * pass.channels.1 + tile.start) * map + pixel * pass.images + task.lanes.range.start;
        let lanes = task.lanes.range.len();
        // SAFETY: a task has its rows and images of a group for itself, and this call a pixel and some channels of them.
        let mut block = unsafe { shared.block(start, (tile.len(), lanes), map)? };
        if lanes == task.lanes.vectors * V::LANES {
            // SAFETY: `V` is what the processor has. The segments stay inside the packed source and the packed weights of
            // the tile, for `Plan` leaves out what lies outside the map; the block is `lanes` wide.
            unsafe { self.compute::<V>(tile.len(), task.lanes.vectors, block.as_mut_ptr(), map) };
        } else {
            let mut whole = [T::zero(); TAP_ROWS * MOST_VECTORS * 8];
            let step = task.lanes.vectors * V::LANES;
            // SAFETY: as above; the array has room for all rows and vectors.
            unsafe { self.compute::<V>(tile.len(), task.lanes.vectors, whole.as_mut_ptr(), step) };
            block.copy_rows(&whole, step);
        }
        Ok(())
    }

    /// # Safety
    /// The instruction set of `V`; segments inside source and weight; `rows` rows of `vectors` vectors at `target`.
    unsafe fn compute<V: Vector<Number = T>>(&self, rows: usize, vectors: usize, target: *mut T, row_step: usize) {
        let (source, weight) = (self.source.as_ptr(), self.weight.as_ptr());
        let tile = TapTile { segments: self.segments, source, weight, target, row_step };
        macro_rules! dispatch {
            ($(($rows:literal, $vectors:literal)),*) => {
                match (rows, vectors) {
                    // SAFETY: the caller's promise, for these sizes.
                    $(($rows, $vectors) => unsafe { V::tap_tile::<$rows, $vectors>(&tile) },)*
                    _ => unreachable!("tiles have at most {TAP_ROWS} rows and a power of two of vectors"),
                }
            };
        }
        dispatch!(
            (1, 1),
            (1, 2),
            (1, 4),
            (1, 8),
            (2, 1),
            (2, 2),
            (2, 4),
            (3, 1),
            (3, 2),
            (3, 4),
            (4, 1),
            (4, 2),
            (5, 1),
            (5, 2),
            (6, 1),
            (6, 2)
        );
    }
}
