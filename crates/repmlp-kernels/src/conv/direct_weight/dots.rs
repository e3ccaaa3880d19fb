//! Dot products of channels. They need no particular order of channels: lanes of a vector hold positions.
#![expect(unsafe_code, reason = "vector loops take addresses")]

use std::ops::Range;

use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::conv::ConvSizes;
use crate::packing::{PACKED_NUMBERS, copy_few};
use crate::parts::{equal_size, parts_for, sum_parts};
use crate::scratch::with_scratch;
use crate::simd::{DotRun, DotTile, Number, Vector, dots, zero};

/// Numbers of a channel that a tile of rows uses at a time. The seven or ten such pieces of a tile fill a first-level
/// cache.
const PIECE_NUMBERS: usize = 1024;
/// Images that are packed together.
const PACKED_IMAGES: usize = 16;

/// Computes dW from x (C, H, W, N) and dy.
pub(super) fn backward_weight<V: Vector>(x: &[V::Number], dy: &[V::Number], sizes: &ConvSizes) -> Vec<V::Number> {
    // The images of a pixel are far from those of the next pixel that a tap reads. Where a row of pixels exceeds the
    // cache's share for a tile's channels, the rows are packed first.
    let packs = sizes.columns.output * sizes.images > 2 * PIECE_NUMBERS && sizes.images > PACKED_IMAGES;
    if packs { packed::<V>(x, dy, sizes) } else { as_it_lies::<V>(x, dy, sizes) }
}

/// Dot products of the channels of two tensors, for each tap over its runs. The channels of x and of dy are maps of
/// different sizes.
struct Maps<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    /// Numbers per channel of x and of dy.
    sizes: (usize, usize),
    /// Runs of each tap.
    runs: &'a [Vec<DotRun>],
}

/// Adds the products of all channels of dy with those of x to dW (outputs of a group, C/g, taps).
fn add_products<V: Vector>(maps: &Maps<'_, V::Number>, dw: &mut [V::Number]) {
    let (map, output_map) = maps.sizes;
    let (inputs, outputs, taps) = (maps.x.len() / map, maps.dy.len() / output_map, maps.runs.len());
    for first_output in (0..outputs).step_by(V::DOTS.0) {
        let tile_outputs = V::DOTS.0.min(outputs - first_output);
        let dy = &maps.dy[first_output * output_map..][..tile_outputs * output_map];
        for first in (0..inputs).step_by(V::DOTS.1) {
            let count = V::DOTS.1.min(inputs - first);
            let x = &maps.x[first * map..][..count * map];
            for (tap, runs) in maps.runs.iter().enumerate() {
                let tile =
                    DotTile { runs, output: dy.as_ptr(), output_step: output_map, input: x.as_ptr(), input_step: map };
                // SAFETY: the processor supports `V`. Runs lie inside a channel of either side, and the slices hold as
                // many channels as the tile has rows.
                let sums = unsafe { dots::<V>(tile_outputs, count, &tile) };
                for (o, sums) in sums.iter().enumerate().take(tile_outputs) {
                    for (i, &sum) in sums.iter().enumerate().take(count) {
                        dw[((first_output + o) * inputs + first + i) * taps + tap] += sum;
                    }
                }
            }
        }
    }
}

/// Returns the runs of each tap that end in some output rows. Positions of the output and of the input are counted from
/// `starts`.
fn runs(sizes: &ConvSizes, rows: &Range<usize>, starts: (usize, usize)) -> Vec<Vec<DotRun>> {
    let row = sizes.columns.output * sizes.images;
    let tile = rows.start * row..rows.end * row;
    let of_tap = |tap| {
        let mut runs = Vec::new();
        sizes.each_run(tap, &tile, |run| {
            let (output, input) = (tile.start + run.output - starts.0, run.input - starts.1);
            runs.push(DotRun { output, input, length: run.length });
        });
        runs
    };
    (0..sizes.taps()).map(of_tap).collect()
}

fn as_it_lies<V: Vector>(x: &[V::Number], dy: &[V::Number], sizes: &ConvSizes) -> Vec<V::Number> {
    let (outputs, row) = (sizes.group_outputs(), sizes.group_inputs() * sizes.taps());
    let (map, output_map) = (sizes.input_map(), sizes.output_map());
    let height = (PIECE_NUMBERS / (sizes.columns.output * sizes.images)).clamp(1, sizes.rows.output);
    let pieces: Vec<Vec<Vec<DotRun>>> = (0..sizes.rows.output)
        .step_by(height)
        .map(|first| runs(sizes, &(first..(first + height).min(sizes.rows.output)), (0, 0)))
        .collect();
    let tiles: Vec<Range<usize>> = (0..sizes.groups)
        .flat_map(|group| {
            let end = (group + 1) * outputs;
            (group * outputs..end).step_by(V::DOTS.0).map(move |first| first..(first + V::DOTS.0).min(end))
        })
        .collect();
    let parts = parts_for(tiles.len()).min(pieces.len());
    let mut partial = vec![zero::<V>(); parts * sizes.outputs * row];
    let mut rest = partial.as_mut_slice();
    let mut tasks = Vec::new();
    for part in 0..parts {
        for tile in &tiles {
            let (dw, after) = rest.split_at_mut(tile.len() * row);
            tasks.push((part, tile.clone(), dw));
            rest = after;
        }
    }
    tasks.into_par_iter().for_each(|(part, outputs, dw)| {
        let group = outputs.start / sizes.group_outputs();
        let x = &x[group * sizes.group_inputs() * map..][..sizes.group_inputs() * map];
        let dy = &dy[outputs.start * output_map..outputs.end * output_map];
        for runs in pieces.iter().skip(part).step_by(parts) {
            add_products::<V>(&Maps { x, dy, sizes: (map, output_map), runs }, dw);
        }
    });
    sum_parts(partial, parts)
}

/// Output rows with the input rows that they read, and the runs of the taps in the packed rows.
struct Band {
    outputs: Range<usize>,
    inputs: Range<usize>,
    runs: Vec<Vec<DotRun>>,
}

/// Returns bands of rows. For each band, `PACKED_IMAGES` images of a group fit the cache.
fn bands(sizes: &ConvSizes) -> Vec<Band> {
    let sizes = &ConvSizes { images: PACKED_IMAGES, ..*sizes };
    let row = sizes.group_inputs() * sizes.columns.input + sizes.group_outputs() * sizes.columns.output;
    let height = (PACKED_NUMBERS / (row * PACKED_IMAGES)).saturating_sub(sizes.rows.kernel / 2);
    let height = equal_size(sizes.rows.output, height.clamp(1, sizes.rows.output));
    let input_row = sizes.columns.input * PACKED_IMAGES;
    let band = |first: usize| {
        let outputs = first..(first + height).min(sizes.rows.output);
        let inputs = sizes.rows.seen_by(&outputs);
        let starts = (outputs.start * sizes.columns.output * PACKED_IMAGES, inputs.start * input_row);
        let runs = runs(sizes, &outputs, starts);
        Band { outputs, inputs, runs }
    };
    (0..sizes.rows.output).step_by(height).map(band).collect()
}

/// Some rows of channels, with `images` images per pixel.
struct Rows<'a, T> {
    channels: &'a [T],
    /// Numbers per channel and per row.
    sizes: (usize, usize),
    rows: &'a Range<usize>,
    images: usize,
}

impl<T: Number> Rows<'_, T> {
    /// Packs `PACKED_IMAGES` images from `first` on as (channel, row, column, image). Missing images are zeros.
    fn pack(&self, first: usize, to: &mut [T]) {
        let (channel, row) = self.sizes;
        let count = PACKED_IMAGES.min(self.images - first);
        let rows = self.rows.start * row..self.rows.end * row;
        let pixels = self.channels.chunks_exact(channel).flat_map(|map| map[rows.clone()].chunks_exact(self.images));
        for (to, pixel) in to.chunks_exact_mut(PACKED_IMAGES).zip(pixels) {
            copy_few(&mut to[..count], &pixel[first..first + count]);
            to[count..].fill(T::zero());
        }
    }
}

fn packed<V: Vector>(x: &[V::Number], dy: &[V::Number], sizes: &ConvSizes) -> Vec<V::Number> {
    let (inputs, outputs, n) = (sizes.group_inputs(), sizes.group_outputs(), sizes.images);
    let (map, output_map) = (sizes.input_map(), sizes.output_map());
    let (row, output_row) = (sizes.columns.input * n, sizes.columns.output * n);
    let bands = bands(sizes);
    let pieces: Vec<(&Band, usize)> =
        (0..n).step_by(PACKED_IMAGES).flat_map(|first| bands.iter().map(move |band| (band, first))).collect();
    // Each part has a copy of dW. There are at most sixteen.
    let parts = parts_for(sizes.groups).min(pieces.len());
    let of_group = outputs * inputs * sizes.taps();
    let mut partial = vec![zero::<V>(); parts * sizes.groups * of_group];
    partial.par_chunks_mut(of_group).enumerate().for_each(|(task, dw)| {
        let (part, group) = (task / sizes.groups, task % sizes.groups);
        let x = &x[group * inputs * map..][..inputs * map];
        let dy = &dy[group * outputs * output_map..][..outputs * output_map];
        for &(band, first) in pieces.iter().skip(part).step_by(parts) {
            let packed_map = band.inputs.len() * sizes.columns.input * PACKED_IMAGES;
            let packed_output_map = band.outputs.len() * sizes.columns.output * PACKED_IMAGES;
            if packed_map == 0 {
                continue;
            }
            with_scratch(inputs * packed_map + outputs * packed_output_map, |packed: &mut [V::Number]| {
                let (packed_x, packed_dy) = packed.split_at_mut(inputs * packed_map);
                Rows { channels: x, sizes: (map, row), rows: &band.inputs, images: n }.pack(first, packed_x);
                let rows = Rows { channels: dy, sizes: (output_map, output_row), rows: &band.outputs, images: n };
                rows.pack(first, packed_dy);
                let sizes = (packed_map, packed_output_map);
                add_products::<V>(&Maps { x: packed_x, dy: packed_dy, sizes, runs: &band.runs }, dw);
            });
        }
    });
    sum_parts(partial, parts)
}
