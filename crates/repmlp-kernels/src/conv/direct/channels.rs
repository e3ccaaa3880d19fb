//! Direct convolution with target channels in the lanes of a vector. Rows of a tile are the images of a pixel. For
//! small batches, this leaves fewer lanes empty.
//!
//! A tile is computed as (image, channel) and transposed when it is written.
#![expect(unsafe_code, reason = "tasks write disjoint blocks of one output; vector loops take addresses")]

use std::ops::Range;

use candle_core::Result;
use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSliceMut};

use super::pass::Pass;
use crate::conv::tap_map::Direction;
use crate::conv::target::Target;
use crate::packing::{PACKED_NUMBERS, copy_few};
use crate::parts::{equal_parts, equal_size, parts_for};
use crate::scratch::with_scratch;
use crate::simd::{
    MOST_LANES, MOST_ROWS, Number, Segment, Steps, TapTile, Vector, VectorLoop, for_instruction_set, sum_taps,
    transpose, transposed, zero,
};

/// Vectors per panel of target channels.
const PANEL: usize = 2;

/// Source channels that are packed at a time.
const CHANNELS: usize = 8;

/// Part of the work of one thread: some target rows of some panels of a group.
struct Chunk {
    group: usize,
    rows: Range<usize>,
    panels: Range<usize>,
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

/// Returns the number of panels for a group's target channels.
fn panels<V: Vector>(channels: usize) -> usize {
    channels.div_ceil(PANEL * V::LANES)
}

/// Splits the work into bands of rows. The packed source of a band fits the cache. Where bands are too few, panels are
/// split too.
fn chunks<V: Vector>(pass: &Pass<'_, V::Number>) -> Vec<Chunk> {
    let (height, _) = pass.tap_map.target();
    let row = pass.tap_map.source_columns() * pass.channels.0 * pass.images;
    // Twice as many numbers as elsewhere: rows that bands share are packed once for each band, and weights are read as
    // a stream.
    let source_rows = (2 * PACKED_NUMBERS / row).saturating_sub(pass.sizes.rows.kernel - 1);
    let band = equal_size(height, (source_rows / pass.sizes.rows.stride).clamp(1, height));
    let all_panels = panels::<V>(pass.channels.1);
    let parts = parts_for(pass.sizes.groups * height.div_ceil(band)).min(all_panels);
    let mut all = Vec::new();
    for group in 0..pass.sizes.groups {
        for first in (0..height).step_by(band) {
            for panels in equal_parts(all_panels, parts) {
                all.push(Chunk { group, rows: first..(first + band).min(height), panels });
            }
        }
    }
    all
}

/// Packs the weights as (group, panel, tap, source channel, lane). Missing channels are zeros.
fn pack_weight<V: Vector>(weight: &[V::Number], pass: &Pass<'_, V::Number>) -> Vec<V::Number> {
    let ((from, to), taps, width) = (pass.channels, pass.taps, PANEL * V::LANES);
    let all_panels = panels::<V>(to);
    let mut packed = vec![zero::<V>(); pass.sizes.groups * all_panels * width * from * taps];
    packed.par_chunks_mut(width * from * taps).enumerate().for_each(|(panel, packed)| {
        let (group, first) = (panel / all_panels, panel % all_panels * width);
        let weight = &weight[group * from * to * taps..][..from * to * taps];
        let channels = first..(first + width).min(to);
        match pass.direction {
            // SAFETY: the processor supports `V`.
            Direction::Forward => unsafe { V::compiled(PackForward { weight, channels, from, taps, packed }) },
            Direction::Backward => {
                for source in 0..from {
                    let kernels = &weight[(source * to + channels.start) * taps..][..channels.len() * taps];
                    for (lane, kernel) in kernels.chunks_exact(taps).enumerate() {
                        for (tap, &weight) in kernel.iter().rev().enumerate() {
                            packed[(tap * from + source) * width + lane] = weight;
                        }
                    }
                }
            }
        }
    });
    packed
}

/// Packs a panel for the forward pass: rows of weights become lanes.
struct PackForward<'a, T> {
    weight: &'a [T],
    channels: Range<usize>,
    from: usize,
    taps: usize,
    packed: &'a mut [T],
}

impl<V: Vector> VectorLoop<V> for PackForward<'_, V::Number> {
    type Result = ();

    #[inline(always)]
    unsafe fn run(self) {
        let Self { weight, channels, from, taps, packed } = self;
        let (row, width) = (from * taps, PANEL * V::LANES);
        for v in 0..PANEL {
            let start = channels.start + v * V::LANES;
            let lanes = start..(start + V::LANES).min(channels.end);
            for first in (0..row).step_by(V::LANES) {
                let count = V::LANES.min(row - first);
                // SAFETY: the caller guarantees the instruction set, and every slice is long enough.
                unsafe {
                    let block = transposed::<V>(lanes.clone().map(|channel| &weight[channel * row + first..][..count]));
                    for (i, vector) in block.iter().enumerate().take(count) {
                        let (source, tap) = ((first + i) / taps, (first + i) % taps);
                        let to = &mut packed[(tap * from + source) * width + v * V::LANES..][..V::LANES];
                        vector.store(to.as_mut_ptr());
                    }
                }
            }
        }
    }
}

/// Packs source pixels of some rows as (pixel, channel, image).
fn pack_source<T: Number>(source: &[T], pass: &Pass<'_, T>, rows: &Range<usize>, packed: &mut [T]) {
    let (images, channels) = (pass.images, pass.channels.0);
    let row = pass.tap_map.source_columns() * images;
    let maps: Vec<&[T]> = source.chunks_exact(pass.maps.0).take(channels).collect();
    // Several channels at a time: then reads and writes are both consecutive for a while.
    for (block, maps) in maps.chunks(CHANNELS).enumerate() {
        for (pixel, to) in packed.chunks_exact_mut(channels * images).enumerate() {
            let start = rows.start * row + pixel * images;
            let to = to[block * CHANNELS * images..].chunks_exact_mut(images);
            for (to, map) in to.zip(maps) {
                copy_few(to, &map[start..start + images]);
            }
        }
    }
}

fn run<V: Vector>(
    pass: &Pass<'_, V::Number>,
    chunk: &Chunk,
    source: &[V::Number],
    weights: &[V::Number],
    target: &Target<'_, V::Number>,
) -> Result<()> {
    let ((from, to), width) = (pass.channels, PANEL * V::LANES);
    let rows = pass.tap_map.source_rows(chunk.rows.clone());
    let group = &source[chunk.group * from * pass.maps.0..];
    let mut segments = Vec::new();
    with_scratch(rows.len() * pass.tap_map.source_columns() * from * pass.images, |packed: &mut [V::Number]| {
        pack_source(group, pass, &rows, packed);
        for panel in chunk.panels.clone() {
            let of_panel = width * from * pass.taps;
            let weight = &weights[(chunk.group * panels::<V>(to) + panel) * of_panel..][..of_panel];
            let channels = panel * width..((panel + 1) * width).min(to);
            for row in chunk.rows.clone() {
                for column in 0..pass.tap_map.target().1 {
                    segments.clear();
                    pass.tap_map.segments((row, column), rows.start, from, &mut segments);
                    // The two sides are exchanged: the weights of the panel serve as columns, and the images serve as
                    // weights.
                    for Segment { source, weight, .. } in &mut segments {
                        std::mem::swap(source, weight);
                    }
                    let sum = Sum { pass, group: chunk.group, channels: channels.clone(), pixel: (row, column) };
                    sum.write::<V>(&segments, packed, weight, target)?;
                }
                finish_row(pass, (chunk.group, &channels, row), target)?;
            }
        }
        Ok(())
    })
}

/// Applies the epilogue to a row of the target, while the cache holds it.
fn finish_row<T: Number>(
    pass: &Pass<'_, T>,
    (group, channels, row): (usize, &Range<usize>, usize),
    target: &Target<'_, T>,
) -> Result<()> {
    if let Some(epilogue) = pass.epilogue {
        let numbers = pass.tap_map.target().1 * pass.images;
        let start = (group * pass.channels.1 + channels.start) * pass.maps.1 + row * numbers;
        // SAFETY: no other chunk has these rows of these channels, and this chunk has just written the row.
        unsafe {
            let mut block = target.shared.block(start, (channels.len(), numbers), pass.maps.1)?;
            epilogue.block(&mut block, start);
        }
    }
    Ok(())
}

/// The sums of one pixel, for some channels and all images.
struct Sum<'a, T> {
    pass: &'a Pass<'a, T>,
    group: usize,
    channels: Range<usize>,
    pixel: (usize, usize),
}

impl<T: Number> Sum<'_, T> {
    fn write<V: Vector<Number = T>>(
        &self,
        segments: &[Segment],
        packed: &[T],
        weight: &[T],
        target: &Target<'_, T>,
    ) -> Result<()> {
        let (pass, width) = (self.pass, PANEL * V::LANES);
        let (map, images) = (pass.maps.1, pass.images);
        let pixel = self.pixel.0 * pass.tap_map.target().1 + self.pixel.1;
        let start = (self.group * pass.channels.1 + self.channels.start) * map + pixel * images;
        let steps = Steps {
            column: width,
            source_vector: V::LANES,
            weight_term: images,
            weight_row: 1,
            target_row: width,
            target_vector: V::LANES,
        };
        for lines in equal_parts(images, images.div_ceil(V::ROWS.min(V::LANES))) {
            let size = (self.channels.len(), lines.len());
            // SAFETY: no other chunk has these rows of these channels, and no other sum has this pixel.
            let mut block = unsafe { target.shared.block(start + lines.start, size, map)? };
            let mut sums = [T::zero(); MOST_ROWS * PANEL * MOST_LANES];
            let sums = sums.as_mut_ptr();
            let turn = Turn { map, width, size, sums, target: block.as_mut_ptr() };
            let set = pass.set.for_lanes::<T>(lines.len());
            // SAFETY: the processor supports `V` and the set. The block lies in the target, and is written where sums
            // are added to it. The sums have room for all images and vectors. The segments stay inside the packed
            // source and the panel, because `TapMap` leaves out positions outside the map.
            unsafe {
                if target.onto {
                    for_instruction_set!(set, T, W => W::<T>::compiled(FromTarget(turn)));
                }
                // Where the rows read nothing, nothing is packed and nothing is read here.
                let (source, weight) = (weight.as_ptr(), packed.as_ptr().wrapping_add(lines.start));
                let tile = TapTile { segments, source, weight, target: sums, onto: target.onto, steps };
                sum_taps::<V>(lines.len(), PANEL, &tile);
                for_instruction_set!(set, T, W => W::<T>::compiled(ToTarget(turn)));
            }
        }
        Ok(())
    }
}

/// A tile of sums (image, channel), and its place in the target (channel, image).
#[derive(Clone, Copy)]
struct Turn<T> {
    /// Numbers between neighbouring channels of the target.
    map: usize,
    /// Numbers between neighbouring images of the sums.
    width: usize,
    /// Channels and images.
    size: (usize, usize),
    sums: *mut T,
    target: *mut T,
}

impl<T> Turn<T> {
    /// Returns the channels and images of each square that is transposed.
    fn squares(&self, lanes: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let (channels, images) = self.size;
        let parts = move |count: usize| (0..count).step_by(lanes).map(move |first| first..(first + lanes).min(count));
        parts(channels).flat_map(move |channels| parts(images).map(move |images| (channels.clone(), images)))
    }
}

/// Writes the tile to the target.
struct ToTarget<T>(Turn<T>);

impl<V: Vector> VectorLoop<V> for ToTarget<V::Number> {
    type Result = ();

    #[inline(always)]
    unsafe fn run(self) {
        let Turn { map, width, sums, target, .. } = self.0;
        for (channels, images) in self.0.squares(V::LANES) {
            // SAFETY: the caller guarantees the instruction set and the addresses.
            unsafe {
                let mut block = [V::zero(); MOST_LANES];
                for (vector, i) in block.iter_mut().zip(images.clone()) {
                    *vector = V::load(sums.add(i * width + channels.start));
                }
                transpose(&mut block);
                for (vector, channel) in block.iter().zip(channels) {
                    let to = target.add(channel * map + images.start);
                    if images.len() == V::LANES {
                        vector.store(to);
                    } else {
                        vector.store_first(to, images.len());
                    }
                }
            }
        }
    }
}

/// Reads the values in the target into the tile.
struct FromTarget<T>(Turn<T>);

impl<V: Vector> VectorLoop<V> for FromTarget<V::Number> {
    type Result = ();

    #[inline(always)]
    unsafe fn run(self) {
        let Turn { map, width, sums, target, .. } = self.0;
        for (channels, images) in self.0.squares(V::LANES) {
            // SAFETY: the caller guarantees the instruction set and the addresses.
            unsafe {
                let mut block = [V::zero(); MOST_LANES];
                for (vector, channel) in block.iter_mut().zip(channels.clone()) {
                    *vector = V::load_first(target.add(channel * map + images.start), images.len());
                }
                transpose(&mut block);
                for (vector, i) in block.iter().zip(images) {
                    vector.store(sums.add(i * width + channels.start));
                }
            }
        }
    }
}
