//! The transforms of pixels: Bᵀ·d·B of source pixels, A·y·Aᵀ of the gradient of target pixels, and Aᵀ·m·A back to
//! target pixels.
#![expect(unsafe_code, reason = "vector instructions, on addresses of slices")]

use std::marker::PhantomData;
use std::ops::Range;

use candle_core::WithDType;

use super::tiles::{Run, Tiles};
use super::{POSITIONS, SIDE, TILE};
use crate::packing::{AHEAD, prefetch};
use crate::scratch::with_scratch;
use crate::simd::{InstructionSet, Number, Vector, VectorLoop, for_instruction_set, zero};

/// A matrix row with at most two non-zero numbers: the indices of the two pixels, and their factors.
type Row = (usize, usize, [f64; 2]);

/// The transform of pixels along each axis.
pub(super) trait Spread {
    /// Rows of the matrix.
    const ROWS: [Row; SIDE];
    /// Pixels that a tile reads along each axis.
    const REACH: usize;
}

/// The transform Bᵀ.
pub(super) struct Source;

impl Spread for Source {
    const ROWS: [Row; SIDE] = [(0, 2, [1.0, -1.0]), (1, 2, [1.0, 1.0]), (2, 1, [1.0, -1.0]), (1, 3, [1.0, -1.0])];
    const REACH: usize = SIDE;
}

/// The transform A.
pub(super) struct TargetGradient;

impl Spread for TargetGradient {
    const ROWS: [Row; SIDE] = [(0, 1, [1.0, 0.0]), (0, 1, [1.0, 1.0]), (0, 1, [1.0, -1.0]), (0, 1, [0.0, -1.0])];
    const REACH: usize = TILE;
}

/// A map, and the zero pixels before it along each axis.
#[derive(Clone, Copy)]
pub(super) struct Map {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) images: usize,
    pub(super) padding: (usize, usize),
}

impl Map {
    /// Numbers per channel.
    pub(super) fn numbers(&self) -> usize {
        self.height * self.width * self.images
    }
}

/// Some channels of a map.
pub(super) struct Channels<'a, T> {
    pub(super) map: &'a Map,
    /// The channels, one after another.
    pub(super) numbers: &'a [T],
    pub(super) count: usize,
}

impl<T: Number> Channels<'_, T> {
    /// Writes a row of the transformed tiles of a range: (column, channel, tile, image).
    pub(super) fn spread<S: Spread>(
        &self,
        set: InstructionSet,
        (tiles, range, row): (Tiles, &Range<usize>, usize),
        to: &mut [T],
    ) {
        let (images, columns) = (self.map.images, range.len() * self.map.images);
        assert_eq!(to.len(), SIDE * self.count * columns, "the room must fit all transformed tiles");
        let set = set.for_lanes::<T>(images);
        with_scratch((TILE * range.len() + SIDE) * images, |patch: &mut [T]| {
            for run in tiles.runs(range.clone()) {
                let patch = &mut patch[..(TILE * (run.columns.len() - 1) + S::REACH) * images];
                let work = SpreadRun {
                    channels: self,
                    run,
                    row: S::ROWS[row],
                    columns,
                    patch,
                    to: &mut *to,
                    spread: PhantomData::<S>,
                };
                // SAFETY: the processor supports the set.
                for_instruction_set!(set, T, V => unsafe { V::<T>::compiled(work) });
            }
        });
    }
}

/// The tiles of a run, to be transformed.
struct SpreadRun<'a, T, S> {
    channels: &'a Channels<'a, T>,
    run: Run,
    row: Row,
    /// Tiles and images of a channel.
    columns: usize,
    /// Memory for the pixels that the tiles read, (pixel, image).
    patch: &'a mut [T],
    to: &'a mut [T],
    spread: PhantomData<S>,
}

impl<V: Vector, S: Spread> VectorLoop<V> for SpreadRun<'_, V::Number, S> {
    type Result = ();

    #[inline(always)]
    unsafe fn run(self) {
        let Self {
            channels: Channels { map, numbers, count: channels },
            run,
            row: (first, second, weights),
            columns,
            patch,
            to,
            ..
        } = self;
        let images = map.images;
        // Columns of pixels that are read, counted with the padding, and those of them inside the map.
        let seen = TILE * run.columns.start..TILE * run.columns.start + patch.len() / images;
        let inside = map.padding.1.clamp(seen.start, seen.end)..(map.padding.1 + map.width).clamp(seen.start, seen.end);
        let start = inside.start.saturating_sub(map.padding.1) * images;
        let middle = (inside.start - seen.start) * images..(inside.end - seen.start) * images;
        let rows = [first, second].map(|row| {
            let row = (TILE * run.row + row).checked_sub(map.padding.0).filter(|&row| row < map.height)?;
            Some(row * map.width * images + start)
        });
        patch.fill(zero::<V>());
        for (channel, from) in numbers.chunks_exact(map.numbers()).enumerate().take(*channels) {
            for start in rows.into_iter().flatten().filter(|_| channel + AHEAD < *channels) {
                // SAFETY: the caller guarantees the instruction set.
                unsafe { prefetch::<V>(&numbers[(channel + AHEAD) * map.numbers() + start..][..middle.len()]) };
            }
            let rows = rows.map(|row| row.map_or(&[][..], |start| &from[start..][..middle.len()]));
            let start = channel * columns + run.before * images;
            // SAFETY: the caller guarantees the instruction set.
            unsafe {
                add_rows::<V>(rows, weights, &mut patch[middle.clone()]);
                for image in (0..images).step_by(V::LANES) {
                    let count = V::LANES.min(images - image);
                    let mut pixels = [V::zero(); SIDE];
                    for (i, pixel) in pixels.iter_mut().enumerate().take(S::REACH - TILE) {
                        *pixel = V::load_some(&patch[i * images + image..][..count]);
                    }
                    for tile in 0..run.columns.len() {
                        for (i, pixel) in pixels.iter_mut().enumerate().take(S::REACH).skip(S::REACH - TILE) {
                            *pixel = V::load_some(&patch[(TILE * tile + i) * images + image..][..count]);
                        }
                        let place = start + tile * images + image;
                        for (column, (first, second, weights)) in S::ROWS.into_iter().enumerate() {
                            let sum = weighted::<V>([pixels[first], pixels[second]], weights);
                            sum.store_some(&mut to[column * channels * columns + place..][..count]);
                        }
                        // The first pixels that the next tile reads are the last pixels of this one.
                        (pixels[0], pixels[1]) = (pixels[2], pixels[3]);
                    }
                }
            }
        }
    }
}

/// Writes the weighted sum of two rows. An empty row counts as zeros.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
unsafe fn add_rows<V: Vector>(rows: [&[V::Number]; 2], weights: [f64; 2], to: &mut [V::Number]) {
    for (i, to) in to.chunks_mut(V::LANES).enumerate() {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut parts = [V::zero(); 2];
            for (part, row) in parts.iter_mut().zip(rows) {
                if !row.is_empty() {
                    *part = V::load_some(&row[i * V::LANES..][..to.len()]);
                }
            }
            weighted::<V>(parts, weights).store_some(to);
        }
    }
}

/// Returns the weighted sum of two vectors.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
unsafe fn weighted<V: Vector>([first, second]: [V; 2], weights: [f64; 2]) -> V {
    let [alpha, beta] = weights.map(V::Number::from_f64);
    // SAFETY: guaranteed by the caller.
    unsafe { V::splat(&alpha).multiply_add(first, V::splat(&beta).multiply_add(second, V::zero())) }
}

/// Writes the target pixels of a run of tiles as two rows of (pixel, image), from the sums (tile, image) at each
/// position.
pub(super) fn gather<T: Number>(set: InstructionSet, sums: &[&[T]; POSITIONS], images: usize, to: [&mut [T]; TILE]) {
    let set = set.for_lanes::<T>(images);
    // SAFETY: the processor supports the set.
    for_instruction_set!(set, T, V => unsafe { V::<T>::compiled(Gather { sums, images, to }) });
}

struct Gather<'a, T> {
    sums: &'a [&'a [T]; POSITIONS],
    images: usize,
    to: [&'a mut [T]; TILE],
}

impl<V: Vector> VectorLoop<V> for Gather<'_, V::Number> {
    type Result = ();

    #[inline(always)]
    unsafe fn run(self) {
        let Self { sums, images, to: [upper, lower] } = self;
        let [one, minus] = [1.0, -1.0].map(V::Number::from_f64);
        for tile in 0..sums[0].len() / images {
            for image in (0..images).step_by(V::LANES) {
                let count = V::LANES.min(images - image);
                // SAFETY: the caller guarantees the instruction set, and every slice is long enough.
                unsafe {
                    let (one, minus) = (V::splat(&one), V::splat(&minus));
                    // Aᵀ along one axis.
                    let tile_of = |[a, b, c, d]: [V; SIDE]| {
                        [one.multiply_add(a, one.multiply_add(b, c)), minus.multiply_add(d, minus.multiply_add(c, b))]
                    };
                    let mut rows = [[V::zero(); TILE]; SIDE];
                    for (row, sums) in rows.iter_mut().zip(sums.chunks_exact(SIDE)) {
                        let mut numbers = [V::zero(); SIDE];
                        for (number, sums) in numbers.iter_mut().zip(sums) {
                            *number = V::load_some(&sums[tile * images + image..][..count]);
                        }
                        *row = tile_of(numbers);
                    }
                    for column in 0..TILE {
                        let [up, low] = tile_of(rows.map(|row| row[column]));
                        let place = (TILE * tile + column) * images + image;
                        up.store_some(&mut upper[place..][..count]);
                        low.store_some(&mut lower[place..][..count]);
                    }
                }
            }
        }
    }
}
