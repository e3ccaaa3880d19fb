//! Direct convolution with images in the lanes of a vector. Rows of a tile are target channels.
#![expect(unsafe_code, reason = "tasks write disjoint blocks of one output; vector loops take addresses")]

use std::ops::Range;

use candle_core::{Error, Result};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::pass::Pass;
use crate::conv::tap_map::Direction;
use crate::conv::target::Target;
use crate::packing::{PACKED_NUMBERS, copy_few};
use crate::parts::{TASKS, equal_parts, equal_size};
use crate::product::{MatrixMut, Shared};
use crate::scratch::with_scratch;
use crate::simd::{MOST_LANES, MOST_ROWS, Number, Segment, Steps, TapTile, Vector, most_vectors, sum_taps, zero};

/// Maximum vectors of a column.
const MOST_VECTORS: usize = 8;

/// Part of the work of one thread: some target rows and some images of a group. Its images are in columns of one kind.
struct Chunk {
    group: usize,
    rows: Range<usize>,
    lanes: Vec<Lanes>,
    kind: Kind,
}

/// Images that fill a column.
type Lanes = Range<usize>;

/// Kind of a column. The vectors of a tile hold either all images of one pixel, or one vector of images for each of
/// several pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    /// Vectors per column.
    vectors: usize,
    /// Maximum pixels per tile.
    pixels: usize,
}

/// Writes all sums.
pub(super) fn convolve<V: Vector>(
    pass: &Pass<'_, V::Number>,
    source: &[V::Number],
    weight: &[V::Number],
    target: &Target<'_, V::Number>,
) -> Result<()> {
    let weights = pack_weight::<V>(weight, pass);
    chunks::<V>(pass).into_par_iter().try_for_each(|chunk| run::<V>(pass, &chunk, source, &weights, target))
}

/// Splits all images into columns, and groups columns of the same kind.
fn columns<V: Vector>(images: usize, most: usize) -> Vec<(Kind, Vec<Lanes>)> {
    let mut all: Vec<(Kind, Vec<Lanes>)> = Vec::new();
    let mut start = 0;
    while start < images {
        let kind = match (images - start).div_ceil(V::LANES) {
            left if left >= most => Kind { vectors: most, pixels: 1 },
            // Four sums at a time are enough, and whole pixels are simpler.
            left if left >= 4 => Kind { vectors: 4, pixels: 1 },
            _ => Kind { vectors: 1, pixels: most },
        };
        let end = (start + kind.vectors * V::LANES).min(images);
        match all.last_mut() {
            Some((last, lanes)) if *last == kind => lanes.push(start..end),
            _ => all.push((kind, std::iter::once(start..end).collect())),
        }
        start = end;
    }
    all
}

/// Splits the work into bands of rows. The packed source of a band fits the cache. Where whole maps fit, a chunk has
/// several columns of images, because their numbers are consecutive in memory.
fn chunks<V: Vector>(pass: &Pass<'_, V::Number>) -> Vec<Chunk> {
    let (height, _) = pass.tap_map.target();
    let mut all = Vec::new();
    for (kind, lanes) in columns::<V>(pass.images, most_vectors::<V>(pass.channels.1.min(V::ROWS))) {
        let row = pass.tap_map.source_columns() * pass.channels.0 * kind.vectors * V::LANES;
        let source_rows = (PACKED_NUMBERS / row).saturating_sub(pass.sizes.rows.kernel - 1);
        let band = (source_rows / pass.sizes.rows.stride).clamp(1, height);
        let band = equal_size(height, band);
        let bands = height.div_ceil(band);
        let fitting =
            if bands == 1 { PACKED_NUMBERS / (row * pass.tap_map.source_rows(0..height).len().max(1)) } else { 1 };
        let columns = fitting.min(pass.sizes.groups * lanes.len() * bands / TASKS).clamp(1, lanes.len());
        for group in 0..pass.sizes.groups {
            for lanes in lanes.chunks(columns) {
                for first in (0..height).step_by(band) {
                    all.push(Chunk { group, rows: first..(first + band).min(height), lanes: lanes.to_vec(), kind });
                }
            }
        }
    }
    all
}

/// Splits a group's target channels into tiles of equal size, as far as possible.
fn tiles<V: Vector>(channels: usize) -> impl Iterator<Item = Range<usize>> {
    equal_parts(channels, channels.div_ceil(V::ROWS))
}

/// Packs the weights as (group, tile, tap, source channel, target channel of the tile).
fn pack_weight<V: Vector>(weight: &[V::Number], pass: &Pass<'_, V::Number>) -> Vec<V::Number> {
    let direction = pass.direction;
    let (from, to) = pass.channels;
    let taps = pass.taps;
    let mut packed = vec![zero::<V>(); weight.len()];
    let mut rest = packed.as_mut_slice();
    let mut all = Vec::new();
    for group in 0..pass.sizes.groups {
        for tile in tiles::<V>(to) {
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

/// Packs source pixels of some rows as (column of images, pixel, channel, lane). Lanes beyond the images are 0.
fn pack_source<T: Number>(source: &[T], pass: &Pass<'_, T>, rows: &Range<usize>, chunk: &Chunk, packed: &mut [T]) {
    let (columns, images, channels) = (pass.tap_map.source_columns(), pass.images, pass.channels.0);
    let of_column = packed.len() / chunk.lanes.len();
    let width = of_column / (rows.len() * columns * channels).max(1);
    for (c, channel) in source.chunks_exact(pass.maps.0).enumerate().take(channels) {
        let row = columns * images;
        let pixels = channel[rows.start * row..rows.end * row].chunks_exact(images);
        for (pixel, numbers) in pixels.enumerate() {
            for (i, lanes) in chunk.lanes.iter().enumerate() {
                let vectors = &mut packed[i * of_column + (pixel * channels + c) * width..][..width];
                let (filled, empty) = vectors.split_at_mut(lanes.len());
                copy_few(filled, &numbers[lanes.clone()]);
                empty.fill(T::zero());
            }
        }
    }
}

/// Pixels of a row that are summed together.
struct Pixels {
    first: usize,
    count: usize,
    segments: Range<usize>,
}

/// Returns all pixels of a chunk, and the terms of all their sums.
fn pixels<T>(pass: &Pass<'_, T>, chunk: &Chunk, first_source_row: usize) -> (Vec<Pixels>, Vec<Segment>) {
    let (mut all, mut segments) = (Vec::new(), Vec::new());
    let alike = pass.tap_map.alike(chunk.kind.pixels);
    for row in chunk.rows.clone() {
        for alike in &alike {
            let start = segments.len();
            pass.tap_map.segments((row, alike.first), first_source_row, pass.channels.0, &mut segments);
            let first = row * pass.tap_map.target().1 + alike.first;
            all.push(Pixels { first, count: alike.count, segments: start..segments.len() });
        }
    }
    (all, segments)
}

fn run<V: Vector>(
    pass: &Pass<'_, V::Number>,
    chunk: &Chunk,
    source: &[V::Number],
    weights: &[V::Number],
    target: &Target<'_, V::Number>,
) -> Result<()> {
    let (from, to) = pass.channels;
    let rows = pass.tap_map.source_rows(chunk.rows.clone());
    let group = &source[chunk.group * from * pass.maps.0..];
    let (pixels, segments) = pixels(pass, chunk, rows.start);
    let column = rows.len() * pass.tap_map.source_columns() * from * chunk.kind.vectors * V::LANES;
    with_scratch(chunk.lanes.len() * column, |packed: &mut [V::Number]| {
        pack_source(group, pass, &rows, chunk, packed);
        for tile in tiles::<V>(to) {
            let weight =
                &weights[(chunk.group * to + tile.start) * from * pass.taps..][..tile.len() * from * pass.taps];
            for pixels in &pixels {
                for (i, lanes) in chunk.lanes.iter().enumerate() {
                    let sum = Sum { pass, chunk, tile: tile.clone(), pixels, lanes };
                    let packed = &packed[i * column..][..column];
                    sum.store::<V>((&segments[pixels.segments.clone()], packed, weight), target)?;
                }
            }
        }
        Ok::<(), Error>(())
    })
}

/// The sums of some pixels, for a tile of channels.
struct Sum<'a, T> {
    pass: &'a Pass<'a, T>,
    chunk: &'a Chunk,
    tile: Range<usize>,
    pixels: &'a Pixels,
    lanes: &'a Lanes,
}

impl<T: Number> Sum<'_, T> {
    /// Returns the index of a pixel's first number in the target, for the tile's first channel.
    fn start(&self, pixel: usize) -> usize {
        let pass = self.pass;
        let channel = self.chunk.group * pass.channels.1 + self.tile.start;
        let pixel = self.pixels.first + pixel * pass.tap_map.target_step;
        channel * pass.maps.1 + pixel * pass.images + self.lanes.start
    }

    /// Returns the block of the output for one pixel: the channels and images of this tile.
    fn block<'b>(&self, pixel: usize, shared: &Shared<'b, T>) -> Result<MatrixMut<'b, T>> {
        // SAFETY: no other chunk has these rows and images of the group, no other sum these pixels and channels.
        unsafe { shared.block(self.start(pixel), (self.tile.len(), self.lanes.len()), self.pass.maps.1) }
    }

    fn store<V: Vector<Number = T>>(&self, terms: (&[Segment], &[T], &[T]), target: &Target<'_, T>) -> Result<()> {
        self.write::<V>(terms, target)?;
        if let Some(epilogue) = self.pass.epilogue {
            for pixel in 0..self.pixels.count {
                // SAFETY: the block has just been written.
                unsafe { epilogue.block(&mut self.block(pixel, &target.shared)?, self.start(pixel)) };
            }
        }
        Ok(())
    }

    fn write<V: Vector<Number = T>>(
        &self,
        (segments, source, weight): (&[Segment], &[T], &[T]),
        &Target { ref shared, onto }: &Target<'_, T>,
    ) -> Result<()> {
        let (pass, kind, lanes, rows) = (self.pass, self.chunk.kind, self.lanes, self.tile.len());
        let (map, pixel_step) = (pass.maps.1, pass.tap_map.target_step * pass.images);
        let width = kind.vectors * V::LANES;
        let many = kind.vectors == 1;
        let source_vector = if many { pass.tap_map.source_step * pass.channels.0 * width } else { V::LANES };
        let vectors = kind.vectors * self.pixels.count;
        let (source, weight) = (source.as_ptr(), weight.as_ptr());
        let steps =
            Steps { column: width, source_vector, weight_term: rows, weight_row: 1, target_row: 0, target_vector: 0 };
        if lanes.len() == width {
            // The last block is requested and dropped before the first. With a single pixel, both are the same block.
            self.block(self.pixels.count - 1, shared)?;
            let mut target = self.block(0, shared)?;
            let target_vector = if many { pixel_step } else { V::LANES };
            let steps = Steps { target_row: map, target_vector, ..steps };
            let tile = TapTile { segments, source, weight, target: target.as_mut_ptr(), onto, steps };
            // SAFETY: the processor supports `V`. The segments stay inside the packed source and the packed weights of
            // the tile, because `TapMap` leaves out positions outside the map and joins only pixels with the same
            // pattern. The blocks of the first and of the last pixel lie in the target, which is written where sums are
            // added to it.
            unsafe { sum_taps::<V>(rows, vectors, &tile) };
            return Ok(());
        }
        let mut whole = [T::zero(); MOST_ROWS * MOST_VECTORS * MOST_LANES];
        let target_row = vectors * V::LANES;
        if onto {
            for pixel in 0..self.pixels.count {
                // SAFETY: where sums are added to a target, it is written.
                unsafe { self.block(pixel, shared)?.copy_rows_to(&mut whole[pixel * width..], target_row) };
            }
        }
        let steps = Steps { target_row, target_vector: V::LANES, ..steps };
        let tile = TapTile { segments, source, weight, target: whole.as_mut_ptr(), onto, steps };
        // SAFETY: as above. The array has room for all rows and vectors, and is written.
        unsafe { sum_taps::<V>(rows, vectors, &tile) };
        for pixel in 0..self.pixels.count {
            self.block(pixel, shared)?.copy_rows(&whole[pixel * width..], target_row);
        }
        Ok(())
    }
}
