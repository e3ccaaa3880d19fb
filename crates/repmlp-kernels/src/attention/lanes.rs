//! Packing: between tensors with images last and the layout that tiles read.
//!
//! Queries are packed as (tile, channel, query of the tile) vectors. Keys are packed as (tile, channel, key of the
//! tile), four to a tile: as vectors, or as numbers where lanes are queries. Zeros fill channels up to a multiple of
//! four, and tiles too.
#![expect(unsafe_code, reason = "vector instructions, and an output that tasks share")]

use std::ops::Range;

use candle_core::Result;

use super::sizes::Unit;
use super::tiles::{KEYS, multiply, splat};
use crate::product::Shared;
use crate::simd::{MOST_LANES, Vector, zero};

/// How many pixels ahead of the current one are prefetched.
const AHEAD: usize = 8;

/// Returns all pairs of a tile and a channel, four channels at a time. Packed tiles of a channel lie pages apart. In a
/// tensor, the channels of a pixel lie so far apart that they evict each other from a cache.
#[inline(always)]
fn few_channels(tiles: usize, channels: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..channels / KEYS)
        .flat_map(move |few| (0..tiles).flat_map(move |tile| (0..KEYS).map(move |c| (tile, few * KEYS + c))))
}

/// Some channels of some vectors of a unit's queries.
pub(super) struct Which<'a> {
    pub(super) unit: &'a Unit,
    pub(super) channels: Range<usize>,
    pub(super) vectors: Range<usize>,
}

/// A tensor (channels, pixels, images).
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a, T> {
    pub(super) data: &'a [T],
    pub(super) pixels: usize,
    pub(super) images: usize,
}

impl<T: Copy> Pixels<'_, T> {
    /// Returns a vector of a channel: all images of the unit at pixel `i`, or, if `SHARED`, consecutive pixels of its
    /// image from `i·LANES` on. The other lanes are 0.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn vector<V: Vector<Number = T>, const SHARED: bool>(
        &self,
        unit: &Unit,
        channel: usize,
        i: usize,
    ) -> V {
        let place = |pixel: usize| (channel * self.pixels + pixel) * self.images + unit.first_image;
        // SAFETY: the caller guarantees the instruction set, and the slices have as many numbers as are read.
        unsafe {
            if !SHARED {
                // The processor does not prefetch numbers that lie far apart by itself.
                V::prefetch(self.data.as_ptr().wrapping_add(place(i + AHEAD)));
                return if i < self.pixels { V::load_some(&self.data[place(i)..][..unit.images]) } else { V::zero() };
            }
            let mut lanes = [zero::<V>(); MOST_LANES];
            for (lane, pixel) in lanes.iter_mut().zip(i * V::LANES..self.pixels.min((i + 1) * V::LANES)) {
                *lane = self.data[place(pixel)];
            }
            V::load(lanes.as_ptr())
        }
    }

    /// Packs some channels of some vectors of a unit's queries, multiplied by `factor`.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn pack_queries<V: Vector<Number = T>, const Q: usize, const SHARED: bool>(
        &self,
        which: &Which<'_>,
        factor: T,
        packed: &mut [T],
    ) {
        let Which { unit, channels, vectors } = which;
        let padded = channels.len().next_multiple_of(KEYS);
        let tiles = vectors.len().div_ceil(Q);
        assert!(packed.len() >= tiles * padded * Q * V::LANES, "room for the tiles");
        for (tile, c) in few_channels(tiles, padded) {
            for i in 0..Q {
                let to = ((tile * padded + c) * Q + i) * V::LANES;
                let i = tile * Q + i;
                // SAFETY: the caller guarantees the instruction set, and there is room for the tiles.
                unsafe {
                    let there = c < channels.len() && i < vectors.len();
                    let (channel, i) = (channels.start + c, vectors.start + i);
                    let vector = if there { self.vector::<V, SHARED>(unit, channel, i) } else { V::zero() };
                    multiply(vector, splat(factor)).store(packed.as_mut_ptr().add(to));
                }
            }
        }
    }

    /// Packs channels of a unit's keys or values.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn pack_keys<V: Vector<Number = T>, const SHARED: bool>(
        &self,
        unit: &Unit,
        channels: Range<usize>,
        packed: &mut [T],
    ) {
        let padded = channels.len().next_multiple_of(KEYS);
        let keys = self.pixels.next_multiple_of(KEYS);
        let lanes = if SHARED { 1 } else { V::LANES };
        assert!(packed.len() >= keys * padded * lanes, "room for the tiles");
        for (tile, c) in few_channels(keys / KEYS, padded) {
            for j in 0..KEYS {
                let to = ((tile * padded + c) * KEYS + j) * lanes;
                let j = tile * KEYS + j;
                let there = c < channels.len() && j < self.pixels;
                let channel = channels.start + c;
                // SAFETY: the caller guarantees the instruction set, and there is room for the tiles.
                unsafe {
                    let to = packed.as_mut_ptr().add(to);
                    if SHARED {
                        let place = (channel * self.pixels + j) * self.images + unit.first_image;
                        *to = if there { self.data[place] } else { zero::<V>() };
                    } else {
                        let vector = if there { self.vector::<V, false>(unit, channel, j) } else { V::zero() };
                        vector.store(to);
                    }
                }
            }
        }
    }
}

/// An output (channels, pixels, images) that several tasks write.
pub(super) struct Target<'a, T> {
    pub(super) data: &'a Shared<'a, T>,
    /// Index of the first number of the output.
    pub(super) start: usize,
    pub(super) pixels: usize,
    pub(super) images: usize,
}

impl<T: Copy> Target<'_, T> {
    /// Writes vectors of queries from tiles, multiplied by `factor`.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`. No other task writes these queries of these channels and images.
    #[inline(always)]
    pub(super) unsafe fn unpack_queries<V: Vector<Number = T>, const Q: usize, const SHARED: bool>(
        &self,
        which: &Which<'_>,
        factor: T,
        packed: &[T],
    ) -> Result<()> {
        let Which { unit, channels, vectors } = which;
        let padded = channels.len().next_multiple_of(KEYS);
        let lanes = if SHARED { V::LANES } else { 1 };
        let pixels = vectors.start * lanes..self.pixels.min(vectors.end * lanes);
        assert!(packed.len() >= vectors.len().div_ceil(Q) * padded * Q * V::LANES, "all tiles");
        for (c, channel) in channels.clone().enumerate() {
            let start = self.start + (channel * self.pixels + pixels.start) * self.images + unit.first_image;
            // SAFETY: guaranteed by the caller. A channel's block is dropped before the next is requested.
            let mut block = unsafe { self.data.block(start, (pixels.len(), unit.images), self.images)? };
            let to = block.as_mut_ptr();
            for i in 0..vectors.len() {
                let from = ((i / Q * padded + c) * Q + i % Q) * V::LANES;
                // SAFETY: the caller guarantees the instruction set, and all tiles are in the slice. The block has a
                // row for each pixel, with a single number where lanes are queries.
                unsafe {
                    let vector = multiply(V::load(packed.as_ptr().add(from)), splat(factor));
                    if SHARED {
                        let mut numbers = [zero::<V>(); MOST_LANES];
                        vector.store(numbers.as_mut_ptr());
                        for (pixel, &number) in (i * V::LANES..pixels.len()).zip(&numbers[..V::LANES]) {
                            *to.add(pixel * self.images) = number;
                        }
                    } else if unit.images == V::LANES {
                        vector.store(to.add(i * self.images));
                    } else {
                        vector.store_first(to.add(i * self.images), unit.images);
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes all keys from tiles of vectors, multiplied by `factor`. Where lanes are queries, it writes sums over all
    /// lanes.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`. No other task writes these channels of these images.
    #[inline(always)]
    pub(super) unsafe fn unpack_keys<V: Vector<Number = T>, const SHARED: bool>(
        &self,
        unit: &Unit,
        channels: Range<usize>,
        factor: T,
        packed: &[T],
    ) -> Result<()> {
        let padded = channels.len().next_multiple_of(KEYS);
        assert!(packed.len() >= self.pixels.next_multiple_of(KEYS) * padded * V::LANES, "all tiles");
        let start = self.start + channels.start * self.pixels * self.images + unit.first_image;
        // SAFETY: guaranteed by the caller.
        let mut block = unsafe { self.data.block(start, (channels.len() * self.pixels, unit.images), self.images)? };
        let to = block.as_mut_ptr();
        for (tile, c) in few_channels(self.pixels.div_ceil(KEYS), padded) {
            if c >= channels.len() {
                continue;
            }
            for j in 0..KEYS.min(self.pixels - tile * KEYS) {
                let from = ((tile * padded + c) * KEYS + j) * V::LANES;
                // SAFETY: the caller guarantees the instruction set, and all tiles are in the slice. The block has a
                // row for each channel and pixel.
                unsafe {
                    let vector = multiply(V::load(packed.as_ptr().add(from)), splat(factor));
                    let to = to.add((c * self.pixels + tile * KEYS + j) * self.images);
                    if SHARED {
                        *to = vector.sum();
                    } else if unit.images == V::LANES {
                        vector.store(to);
                    } else {
                        vector.store_first(to, unit.images);
                    }
                }
            }
        }
        Ok(())
    }
}
