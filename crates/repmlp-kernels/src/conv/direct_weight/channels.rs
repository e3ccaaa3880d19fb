//! Lanes of a vector hold the channels of one side, which is transposed for it. The channels of the other side are the
//! rows of a tile and are read in place. For large batches, neighbouring pixels are far apart; then some images are
//! gathered first. A tile keeps its sums over all positions that a tap connects.
#![expect(unsafe_code, reason = "tasks write disjoint parts of one output; vector loops take addresses")]

use std::ops::Range;

use candle_core::{Error, Result};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::conv::ConvSizes;
use crate::packing::{PACKED_NUMBERS, copy_few};
use crate::parts::{equal_parts, equal_size, parts_for, sum_parts};
use crate::product::{Matrix, Shared, pack_right};
use crate::scratch::with_scratch;
use crate::simd::{Number, Segment, Steps, TapTile, Vector, fills, most_rows, most_vectors, sum_taps, zero};

/// Maximum batch that is transposed as a whole, row by row. From larger batches, some images are taken at a time, so
/// that whole maps fit the cache.
const FEW_IMAGES: usize = 16;

/// The side with channels in lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneSide {
    Inputs,
    Outputs,
}

impl LaneSide {
    /// Returns the side that leaves fewer lanes empty. `None` where neither side fills its vectors.
    pub(super) fn of<V: Vector>(sizes: &ConvSizes) -> Option<Self> {
        let taken = |channels: usize| channels as f64 / channels.next_multiple_of(V::LANES) as f64;
        let (inputs, outputs) = (taken(sizes.group_inputs()), taken(sizes.group_outputs()));
        let (best, channels) = if inputs >= outputs {
            (Self::Inputs, sizes.group_inputs())
        } else {
            (Self::Outputs, sizes.group_outputs())
        };
        fills::<V>(channels).then_some(best)
    }
}

/// One side of the sums: x or dy.
#[derive(Clone, Copy)]
struct Side<'a, T> {
    numbers: &'a [T],
    /// Channels of a group.
    channels: usize,
    /// Rows, and pixels of a row.
    map: (usize, usize),
    images: usize,
}

impl<'a, T> Side<'a, T> {
    /// Numbers per channel.
    fn channel(&self) -> usize {
        self.map.0 * self.map.1 * self.images
    }

    /// Gathers a band of all channels of a group as (channel, row, column, image).
    fn gather(&self, group: &[T], band: &Band, to: &mut [T])
    where
        T: Copy,
    {
        let row = self.map.1 * self.images;
        let rows = band.other_rows.start * row..band.other_rows.end * row;
        let pixels = group.chunks_exact(self.channel()).flat_map(|map| map[rows.clone()].chunks_exact(self.images));
        for (to, pixel) in to.chunks_exact_mut(band.images.len()).zip(pixels) {
            copy_few(to, &pixel[band.images.clone()]);
        }
    }

    /// Returns all channels of a group.
    fn group(&self, group: usize) -> &'a [T] {
        let count = self.channels * self.channel();
        &self.numbers[group * count..][..count]
    }
}

/// What a band sums over: some rows of the output and some images, and the positions of each tap.
struct Band {
    /// Rows of the side with channels in lanes.
    rows: Range<usize>,
    /// Rows of the other side.
    other_rows: Range<usize>,
    images: Range<usize>,
    /// Index into `Bands::segments`.
    segments: usize,
}

/// All positions, in bands. A panel of a band fits the cache.
struct Bands {
    all: Vec<Band>,
    /// Segments of each tap. `source` is a position in the packed panel. `weight` is a position in a channel of the
    /// other side, read in place or gathered.
    segments: Vec<Vec<Vec<Segment>>>,
}

impl Bands {
    fn new(sizes: &ConvSizes, lanes: LaneSide, width: usize) -> Self {
        let most = PACKED_NUMBERS / width;
        let map = sizes.rows.input * sizes.columns.input;
        let images = if sizes.images <= FEW_IMAGES {
            sizes.images
        } else {
            (most / map / FEW_IMAGES * FEW_IMAGES).clamp(FEW_IMAGES, sizes.images)
        };
        let input_rows = (most / (sizes.columns.input * images)).saturating_sub(sizes.rows.kernel - 1);
        let height = equal_size(sizes.rows.output, (input_rows / sizes.rows.stride).clamp(1, sizes.rows.output));
        let mut bands = Self { all: Vec::new(), segments: Vec::new() };
        for first in (0..sizes.rows.output).step_by(height) {
            let outputs = first..(first + height).min(sizes.rows.output);
            let seen = sizes.rows.seen_by(&outputs);
            let mut known: Vec<(usize, usize)> = Vec::new();
            for start in (0..sizes.images).step_by(images) {
                let images = start..(start + images).min(sizes.images);
                let found = known.iter().find(|known| known.0 == images.len());
                let segments = found.map_or(bands.segments.len(), |known| known.1);
                if segments == bands.segments.len() {
                    bands.segments.push(segments_of(sizes, lanes, (&outputs, &seen), images.len()));
                    known.push((images.len(), segments));
                }
                let (rows, other_rows) = match lanes {
                    LaneSide::Inputs => (seen.clone(), outputs.clone()),
                    LaneSide::Outputs => (outputs.clone(), seen.clone()),
                };
                bands.all.push(Band { rows, other_rows, images, segments });
            }
        }
        bands
    }
}

/// Returns, for each tap, the positions that it connects to some rows of the output, for `images` images.
fn segments_of(
    sizes: &ConvSizes,
    lanes: LaneSide,
    (outputs, seen): (&Range<usize>, &Range<usize>),
    images: usize,
) -> Vec<Vec<Segment>> {
    let pixels = ConvSizes { images: 1, ..*sizes };
    let (row, seen_row) = (sizes.columns.output, sizes.columns.input);
    let tile = outputs.start * row..outputs.end * row;
    let of_tap = |tap| {
        let mut segments = Vec::new();
        pixels.each_run(tap, &tile, |run| {
            let (input, output) = (run.input, tile.start + run.output);
            let (packed_input, packed_output) = (input - seen.start * seen_row, output - tile.start);
            // The other side is read in place where all of its images are taken.
            let in_place = images == sizes.images;
            let (source, weight) = match lanes {
                LaneSide::Inputs => (packed_input, if in_place { output } else { packed_output }),
                LaneSide::Outputs => (packed_output, if in_place { input } else { packed_input }),
            };
            segments.push(Segment { source: source * images, weight: weight * images, count: run.length * images });
        });
        segments
    };
    (0..sizes.taps()).map(of_tap).collect()
}

/// Computes dW from x (C, H, W, N) and dy.
pub(super) fn backward_weight<V: Vector>(
    lanes: LaneSide,
    x: &[V::Number],
    dy: &[V::Number],
    sizes: &ConvSizes,
) -> Result<Vec<V::Number>> {
    let side = |numbers, channels, map| Side { numbers, channels, map, images: sizes.images };
    let inputs = side(x, sizes.group_inputs(), (sizes.rows.input, sizes.columns.input));
    let outputs = side(dy, sizes.group_outputs(), (sizes.rows.output, sizes.columns.output));
    let (turned, other) = if lanes == LaneSide::Inputs { (inputs, outputs) } else { (outputs, inputs) };
    // This is a power of two.
    let vectors = 1 << turned.channels.div_ceil(V::LANES).ilog2();
    let width = vectors.min(most_vectors::<V>(other.channels.min(V::ROWS))) * V::LANES;
    let panels = turned.channels.div_ceil(width);
    let bands = Bands::new(sizes, lanes, width);
    let parts = parts_for(sizes.groups * panels).min(bands.all.len());
    // The sums are (part, group, panel, channel of the other side, tap, lane).
    let of_panel = other.channels * sizes.taps() * width;
    let mut partial = vec![zero::<V>(); parts * sizes.groups * panels * of_panel];
    partial.par_chunks_mut(of_panel).enumerate().try_for_each(|(task, sums)| {
        let (part, group, panel) = (task / panels / sizes.groups, task / panels % sizes.groups, task % panels);
        let channels = panel * width..((panel + 1) * width).min(turned.channels);
        let panel = Panel { turned: turned.group(group), side: turned, channels, width };
        for band in bands.all.iter().skip(part).step_by(parts) {
            panel.add::<V>(band, &bands.segments[band.segments], (other.group(group), other), sums)?;
        }
        Ok::<(), Error>(())
    })?;
    let sums = sum_parts(partial, parts);
    let (taps, of_output) = (sizes.taps(), sizes.group_inputs() * sizes.taps());
    let mut dw = vec![zero::<V>(); sizes.outputs * of_output];
    dw.par_chunks_mut(of_output).enumerate().for_each(|(output, dw)| {
        let (group, output) = (output / sizes.group_outputs(), output % sizes.group_outputs());
        for (input, dw) in dw.chunks_exact_mut(taps).enumerate() {
            let (lane, row) = if lanes == LaneSide::Inputs { (input, output) } else { (output, input) };
            let start = (group * panels + lane / width) * of_panel + row * taps * width + lane % width;
            for (dw, &sum) in dw.iter_mut().zip(sums[start..].iter().step_by(width)) {
                *dw = sum;
            }
        }
    });
    Ok(dw)
}

/// Some channels of the transposed side of a group.
struct Panel<'a, T> {
    turned: &'a [T],
    side: Side<'a, T>,
    channels: Range<usize>,
    width: usize,
}

impl<T: Number> Panel<'_, T> {
    /// Adds the sums of a band to `sums` (channel of the other side, tap, lane).
    fn add<V: Vector<Number = T>>(
        &self,
        band: &Band,
        segments: &[Vec<Segment>],
        (group, other): (&[T], Side<'_, T>),
        sums: &mut [T],
    ) -> Result<()> {
        let (width, taps) = (self.width, segments.len());
        let places = band.rows.len() * self.side.map.1 * band.images.len();
        let in_place = band.images.len() == other.images;
        let of_row = band.other_rows.len() * other.map.1 * band.images.len();
        let gathered = if in_place { 0 } else { other.channels * of_row };
        let shared = Shared::new(sums);
        with_scratch(places * width + gathered, |packed: &mut [T]| {
            let (packed, gathered) = packed.split_at_mut(places * width);
            self.pack::<V>(band, packed)?;
            let (rows, of_row) = if in_place {
                (group, other.channel())
            } else {
                other.gather(group, band, gathered);
                (&*gathered, of_row)
            };
            let steps = Steps {
                column: width,
                source_vector: V::LANES,
                weight_term: 1,
                weight_row: of_row,
                target_row: taps * width,
                target_vector: V::LANES,
            };
            for tile in equal_parts(other.channels, other.channels.div_ceil(most_rows::<V>(width / V::LANES))) {
                let weight = rows.as_ptr().wrapping_add(tile.start * of_row);
                for (tap, segments) in segments.iter().enumerate() {
                    let start = (tile.start * taps + tap) * width;
                    // SAFETY: one block at a time, of sums that are written.
                    let mut block = unsafe { shared.block(start, (tile.len(), width), taps * width)? };
                    let (source, target) = (packed.as_ptr(), block.as_mut_ptr());
                    let of_tap = TapTile { segments, source, weight, target, onto: true, steps };
                    // SAFETY: the processor supports `V`. Positions of the segments lie in the packed panel, and in a
                    // row of the other side. There is such a row for each channel. The block lies in the sums, which
                    // are written.
                    unsafe { sum_taps::<V>(tile.len(), width / V::LANES, &of_tap) };
                }
            }
            Ok(())
        })
    }

    /// Packs the positions of a band as (row, column, image, lane).
    fn pack<V: Vector<Number = T>>(&self, band: &Band, packed: &mut [T]) -> Result<()> {
        let (channel, images) = (self.side.channel(), self.side.images);
        let row = self.side.map.1 * images;
        let first = self.channels.start * channel + band.rows.start * row + band.images.start;
        let all = band.images.len() == images;
        let (pieces, length) =
            if all { (1, band.rows.len() * row) } else { (band.rows.len() * self.side.map.1, band.images.len()) };
        for (piece, packed) in packed.chunks_exact_mut((length * self.width).max(1)).enumerate().take(pieces) {
            let numbers = &self.turned[first + piece * images..];
            let matrix = Matrix::new(numbers, (self.channels.len(), length), channel)?.transposed();
            // SAFETY: the processor supports `V`.
            unsafe { pack_right::<V>(matrix, &(0..length), &(0..self.channels.len()), self.width, packed) };
        }
        Ok(())
    }
}
