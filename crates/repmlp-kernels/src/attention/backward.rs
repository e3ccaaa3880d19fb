//! The backward pass of a task. The weights of a block of keys are computed again, tile by tile. They are turned into
//! gradients while they are in the cache.
#![expect(unsafe_code, reason = "loops over addresses that are checked before")]

use std::ops::Range;

use candle_core::{Result, WithDType};

use super::forward::{Block, Inputs, Room, blocks, channels, gather, log2_e, pack_keys, take, tile_of_wanted, want};
use super::lanes::{Pixels, Target, Which};
use super::positions::{Queries, Tables, Wanted, add_d_wanted, sum_table};
use super::sizes::{BLOCK_TILES, Sizes, Split, Unit};
use super::tiles::{KEYS, Side, add_products, load_tile, multiply, store_tile, subtract};
use crate::simd::{Number, Vector, VectorLoop, exp2, zero};

/// Keys per block. The weights and gradients of a group of tiles stay in the first-level cache.
const BLOCK_KEYS: usize = 32;
/// Tiles of queries that are added to the gradient sums of a key at a time.
const GROUP: usize = 4;

/// Count of scratch numbers that [`Backward`] needs.
pub(super) fn room(sizes: &Sizes, split: &Split) -> usize {
    let room = Room::new(sizes, split);
    let [k, v] = room.of_keys();
    let of_tile = 2 * (room.d + room.e + room.places) + 3;
    let of_block = (BLOCK_TILES * of_tile + 2 * GROUP * BLOCK_KEYS) * room.tile;
    k + v + room.keys * (room.d + room.e) * split.lanes + room.of_row(split) + of_block + of_tables(sizes, split)
}

/// Count of numbers in the gradients of both tables, in all lanes.
fn of_tables(sizes: &Sizes, split: &Split) -> usize {
    sizes.places() * sizes.d * split.lanes
}

/// What the backward pass reads in addition to the inputs.
#[derive(Clone, Copy)]
pub(super) struct Results<'a, T> {
    pub(super) y: Pixels<'a, T>,
    pub(super) dy: Pixels<'a, T>,
    /// What the task's forward pass has kept.
    pub(super) kept: &'a [T],
}

/// Outputs of the backward pass.
pub(super) struct Gradients<'a, T> {
    pub(super) q: Target<'a, T>,
    pub(super) k: Target<'a, T>,
    pub(super) v: Target<'a, T>,
    /// The task's share of the gradients of the tables: columns, then rows, (distance, channel).
    pub(super) tables: &'a mut [T],
}

/// The backward pass of a task.
pub(super) struct Backward<'a, T, const Q: usize, const CHANNELS: usize, const SHARED: bool> {
    pub(super) sizes: &'a Sizes,
    pub(super) split: &'a Split,
    pub(super) unit: Unit,
    pub(super) inputs: &'a Inputs<'a, T>,
    pub(super) results: Results<'a, T>,
    pub(super) scratch: &'a mut [T],
    pub(super) gradients: Gradients<'a, T>,
}

/// A unit's packed keys and values, and their gradients.
struct Keys<'a, T> {
    k: &'a mut [T],
    v: &'a mut [T],
    dk: &'a mut [T],
    dv: &'a mut [T],
}

/// A block of a unit's queries in tiles. Each tile has a piece of every slice.
struct Queried<'a, T> {
    tiles: usize,
    room: Room,
    tables: Option<&'a Tables<'a, T>>,
    q: &'a mut [T],
    dq: &'a mut [T],
    /// Gradients of the gathered values, divided by the sum of weights.
    d_out: &'a mut [T],
    /// The largest product and the reciprocal of the sum of weights.
    ends: &'a mut [T],
    /// The mean of the weights' gradients, divided by that sum.
    means: &'a mut [T],
    wanted: &'a mut [T],
    d_wanted: &'a mut [T],
}

impl<V: Vector, const Q: usize, const CHANNELS: usize, const SHARED: bool> VectorLoop<V>
    for Backward<'_, V::Number, Q, CHANNELS, SHARED>
{
    type Result = Result<()>;

    /// Requires a split with `Q` queries per tile, and with `shared` equal to `SHARED`.
    #[inline(always)]
    unsafe fn run(self) -> Result<()> {
        let Self { sizes, split, unit, inputs, results, scratch, gradients } = self;
        let room = Room::new(sizes, split);
        let mut rest = scratch;
        let [k, v] = room.of_keys().map(|count| take(&mut rest, count));
        let [dk, dv] = [room.d, room.e].map(|channels| take(&mut rest, room.keys * channels * split.lanes));
        let row = take(&mut rest, room.of_row(split));
        let d_table = take(&mut rest, of_tables(sizes, split));
        let [q, dq, d_out, ends, means, wanted, d_wanted] = [room.d, room.d, room.e, 2, 1, room.places, room.places]
            .map(|count| take(&mut rest, BLOCK_TILES * count * room.tile));
        let pairs = take(&mut rest, 2 * GROUP * BLOCK_KEYS * room.tile);
        for sums in [&mut *dk, dv, d_table] {
            sums.fill(zero::<V>());
        }
        let mut keys = Keys { k, v, dk, dv };
        let tables = inputs.tables.as_ref();
        let mut block = Queried { tiles: 0, room, tables, q, dq, d_out, ends, means, wanted, d_wanted };
        let (of_d, of_e) = (channels(unit.head, sizes.d), channels(unit.head, sizes.e));
        let mut kept = results.kept;
        let one = V::Number::from_f64(1.0);
        // SAFETY: the caller guarantees the instruction set. The rest is checked where slices are taken.
        unsafe {
            pack_keys::<V, SHARED>(inputs, sizes, &unit, (keys.k, keys.v));
            for vectors in blocks(&unit.vectors, BLOCK_TILES * Q) {
                let of_q = Which { unit: &unit, channels: of_d.clone(), vectors: vectors.clone() };
                let of_y = Which { unit: &unit, channels: of_e.clone(), vectors: vectors.clone() };
                block.tiles = vectors.len().div_ceil(Q);
                inputs.q.pack_queries::<V, Q, SHARED>(&of_q, log2_e(), block.q);
                let count = 2 * block.tiles * room.tile;
                block.ends[..count].copy_from_slice(&kept[..count]);
                kept = &kept[count..];
                block.begin::<V, Q, SHARED>(&results, &of_y);
                if let Some(tables) = tables {
                    want::<V, Q, SHARED>(tables, (block.q, room.d), &vectors, row, block.wanted);
                }
                for range in blocks(&(0..sizes.keys), BLOCK_KEYS) {
                    block.pass::<V, Q, CHANNELS, SHARED>(&mut keys, range, pairs);
                }
                block.pass_places_back::<V, Q, SHARED>(&vectors, row, d_table);
                gradients.q.unpack_queries::<V, Q, SHARED>(&of_q, one, block.dq)?;
            }
            // Packed queries contain the factor log₂ e, and gradients of the keys need the factor s.
            let ln_2 = std::f64::consts::LN_2;
            let of_k = V::Number::from_f64(ln_2 * sizes.heads.scale);
            gradients.k.unpack_keys::<V, SHARED>(&unit, of_d, of_k, keys.dk)?;
            gradients.v.unpack_keys::<V, SHARED>(&unit, of_e, one, keys.dv)?;
            if let Some(tables) = tables {
                let columns = tables.columns.distances();
                let (d_columns, d_rows) = d_table.split_at(columns * sizes.d * V::LANES);
                let (to_columns, to_rows) = gradients.tables.split_at_mut(columns * sizes.d);
                sum_table::<V>(d_columns, columns, to_columns);
                sum_table::<V>(d_rows, tables.rows.distances(), to_rows);
                for number in gradients.tables.iter_mut() {
                    *number *= V::Number::from_f64(ln_2);
                }
            }
        }
        Ok(())
    }
}

impl<T: Number> Queried<'_, T> {
    /// Returns the range of `tile` in a packed slice with `rows` rows of vectors per tile.
    #[inline(always)]
    fn of(&self, tile: usize, rows: usize) -> Range<usize> {
        tile * rows * self.room.tile..(tile + 1) * rows * self.room.tile
    }

    /// Packs the gradients of the gathered values, divided by the sums of weights. The products of these gradients with
    /// the gathered values add up to the mean of the weights' gradients.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    unsafe fn begin<V: Vector<Number = T>, const Q: usize, const SHARED: bool>(
        &mut self,
        results: &Results<'_, T>,
        which: &Which<'_>,
    ) {
        for sums in [&mut *self.dq, self.means, self.d_wanted] {
            sums.fill(zero::<V>());
        }
        // SAFETY: guaranteed by the caller.
        unsafe { results.dy.pack_queries::<V, Q, SHARED>(which, T::from_f64(1.0), self.d_out) };
        for (c, channel) in which.channels.clone().enumerate() {
            for (i, vector) in which.vectors.clone().enumerate() {
                let (tile, a) = (i / Q, i % Q);
                let d_out = &mut self.d_out[((tile * self.room.e + c) * Q + a) * V::LANES..][..V::LANES];
                let share = &self.ends[((2 * tile + 1) * Q + a) * V::LANES..][..V::LANES];
                let mean = &mut self.means[i * V::LANES..][..V::LANES];
                // SAFETY: the caller guarantees the instruction set, and each slice has a vector.
                unsafe {
                    let y: V = results.y.vector::<V, SHARED>(which.unit, channel, vector);
                    let d = multiply(V::load(d_out.as_ptr()), V::load(share.as_ptr()));
                    d.store(d_out.as_mut_ptr());
                    y.multiply_add(d, V::load(mean.as_ptr())).store(mean.as_mut_ptr());
                }
            }
        }
    }

    /// Processes some keys for all tiles. `pairs` has room for weights and their gradients.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    unsafe fn pass<V: Vector<Number = T>, const Q: usize, const CHANNELS: usize, const SHARED: bool>(
        &mut self,
        keys: &mut Keys<'_, T>,
        range: Range<usize>,
        pairs: &mut [T],
    ) {
        let room = self.room;
        let of_pairs = BLOCK_KEYS * room.tile;
        let (weights, d_products) = pairs.split_at_mut(GROUP * of_pairs);
        for group in blocks(&(0..self.tiles), GROUP) {
            let block = Block::of::<SHARED>(&room, (keys.k, keys.v), V::LANES, range.clone());
            for (i, tile) in group.clone().enumerate() {
                let weights = &mut weights[i * of_pairs..(i + 1) * of_pairs];
                let d_products = &mut d_products[i * of_pairs..(i + 1) * of_pairs];
                // SAFETY: guaranteed by the caller.
                unsafe { self.pass_tile::<V, Q, SHARED>(tile, &block, range.clone(), (weights, d_products)) };
            }
            let key_tiles = range.start / KEYS..range.end.div_ceil(KEYS);
            let tiles = self.of(group.start, room.e).start..self.of(group.end, room.e).start;
            let side = (&self.d_out[tiles], room.e);
            // SAFETY: guaranteed by the caller.
            unsafe { collect::<V, Q, CHANNELS>(weights, side, keys.dv, key_tiles.clone()) };
            let tiles = self.of(group.start, room.d).start..self.of(group.end, room.d).start;
            let side = (&self.q[tiles], room.d);
            // SAFETY: guaranteed by the caller.
            unsafe { collect::<V, Q, CHANNELS>(d_products, side, keys.dk, key_tiles) };
        }
    }

    /// Processes a block of keys for a tile: computes the weights and the gradients of the products, and adds to the
    /// gradients of queries and position scores.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    unsafe fn pass_tile<V: Vector<Number = T>, const Q: usize, const SHARED: bool>(
        &mut self,
        tile: usize,
        block: &Block<'_, T>,
        range: Range<usize>,
        (weights, d_products): (&mut [T], &mut [T]),
    ) {
        let room = self.room;
        let (of_d, of_e, of_places) = (self.of(tile, room.d), self.of(tile, room.e), self.of(tile, room.places));
        let wanted = &self.wanted[of_places.clone()];
        let wanted = self.tables.map(|tables| tile_of_wanted(tables, wanted, room.tile, range.start));
        let ends = (&self.ends[self.of(2 * tile, 1)], &self.means[self.of(tile, 1)]);
        let sides = (&self.q[of_d.clone()], &self.d_out[of_e]);
        // SAFETY: guaranteed by the caller.
        unsafe {
            weigh::<V, Q, SHARED>(block, sides, wanted.as_ref(), ends, (weights, d_products));
            gather::<V, Q, SHARED>(d_products, (block.k, room.d), None, &mut self.dq[of_d]);
            if let Some(tables) = self.tables {
                let (columns, rows) = self.d_wanted[of_places].split_at_mut(tables.columns.size * room.tile);
                add_d_wanted::<V, Q>(d_products, &tables.places[range], (columns, rows));
            }
        }
    }

    /// Passes the gradients of position scores on to queries and tables.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    unsafe fn pass_places_back<V: Vector<Number = T>, const Q: usize, const SHARED: bool>(
        &mut self,
        vectors: &Range<usize>,
        row: &mut [T],
        d_table: &mut [T],
    ) {
        let Some(tables) = self.tables else { return };
        let of_columns = tables.columns.table.len() * V::LANES;
        let (d_columns, d_rows) = d_table.split_at_mut(of_columns);
        for (tile, vectors) in blocks(vectors, Q).enumerate() {
            let of_d = self.of(tile, self.room.d);
            let d_wanted = &self.d_wanted[self.of(tile, self.room.places)];
            let (columns, rows) = d_wanted.split_at(tables.columns.size * self.room.tile);
            let queries = Queries { q: &self.q[of_d.clone()], channels: self.room.d, vectors };
            let dq = &mut self.dq[of_d];
            for (along, d_wanted, d_table) in
                [(&tables.columns, columns, &mut *d_columns), (&tables.rows, rows, &mut *d_rows)]
            {
                // SAFETY: guaranteed by the caller.
                unsafe { along.pass_back::<V, Q, SHARED>(&queries, d_wanted, row, (dq, d_table)) };
            }
        }
    }
}

/// Writes the weights of a tile, not yet divided by their sum, and the gradients of its products, (key, query) vectors.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
unsafe fn weigh<V: Vector, const Q: usize, const SHARED: bool>(
    block: &Block<'_, V::Number>,
    (q, d_out): (&[V::Number], &[V::Number]),
    wanted: Option<&Wanted<'_, V::Number>>,
    (largest, means): (&[V::Number], &[V::Number]),
    (weights, d_products): (&mut [V::Number], &mut [V::Number]),
) {
    let lanes = if SHARED { 1 } else { V::LANES };
    let of_tile = KEYS * Q * V::LANES;
    assert!(largest.len() >= Q * V::LANES && means.len() >= Q * V::LANES, "a vector for each query");
    assert!(d_out.len() >= block.e * Q * V::LANES, "a vector for each channel and query");
    // SAFETY: the caller guarantees the instruction set, and every slice is long enough.
    unsafe {
        block.products::<V, Q, SHARED>(q, wanted, weights);
        let [largest]: [[V; Q]; 1] = load_tile(largest.as_ptr());
        for of_key in weights.chunks_exact_mut(Q * V::LANES).take(block.keys) {
            let [mut weights]: [[V; Q]; 1] = load_tile(of_key.as_ptr());
            for (weight, &largest) in weights.iter_mut().zip(&largest) {
                *weight = exp2(subtract(*weight, largest));
            }
            store_tile(&[weights], of_key.as_mut_ptr());
        }
        block.clear_filling::<V, Q>(weights);
        let [means]: [[V; Q]; 1] = load_tile(means.as_ptr());
        let left = Side { at: d_out.as_ptr(), term: Q, row: 1 };
        for tile in 0..block.key_tiles() {
            let mut sums = [[V::zero(); Q]; KEYS];
            for sums in &mut sums {
                for (sum, &mean) in sums.iter_mut().zip(&means) {
                    *sum = subtract(*sum, mean);
                }
            }
            let right = Side { at: block.v.as_ptr().add(tile * block.e * KEYS * lanes), term: KEYS, row: 1 };
            add_products::<V, Q, KEYS, SHARED>(&mut sums, block.e, &left, &right);
            let weights: [[V; Q]; KEYS] = load_tile(weights[tile * of_tile..][..of_tile].as_ptr());
            for (sums, weights) in sums.iter_mut().zip(weights) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = multiply(*sum, weight);
                }
            }
            store_tile(&sums, d_products[tile * of_tile..][..of_tile].as_mut_ptr());
        }
    }
}

/// Adds products: `sums[key][channel]` += Σ `of_pairs[key][query]`·`side[query][channel]`, over the queries of the
/// side's tiles.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
unsafe fn collect<V: Vector, const Q: usize, const CHANNELS: usize>(
    of_pairs: &[V::Number],
    (side, channels): (&[V::Number], usize),
    sums: &mut [V::Number],
    key_tiles: Range<usize>,
) {
    let tiles = side.len() / (channels * Q * V::LANES);
    assert!(sums.len() >= key_tiles.end * channels * KEYS * V::LANES, "a vector for each channel and key");
    assert!(of_pairs.len() >= tiles * BLOCK_KEYS * Q * V::LANES, "a vector for each key and query");
    for (key_tile, of_sums) in key_tiles.enumerate() {
        for channel in (0..channels).step_by(CHANNELS) {
            // SAFETY: the caller guarantees the instruction set, and all vectors are in the slices, in whole tiles.
            unsafe {
                let to = sums.as_mut_ptr().add((of_sums * channels + channel) * KEYS * V::LANES);
                let mut sums: [[V; KEYS]; CHANNELS] = load_tile(to);
                for tile in 0..tiles {
                    let first = (tile * BLOCK_KEYS + key_tile * KEYS) * Q * V::LANES;
                    let left = Side { at: of_pairs.as_ptr().add(first), term: 1, row: Q };
                    let at = side.as_ptr().add((tile * channels + channel) * Q * V::LANES);
                    add_products::<V, KEYS, CHANNELS, false>(&mut sums, Q, &left, &Side { at, term: 1, row: Q });
                }
                store_tile(&sums, to);
            }
        }
    }
}
