//! The forward pass of a task. Tiles of queries process blocks of keys. Their sums are scaled down when a larger
//! product comes.
#![expect(unsafe_code, reason = "loops over addresses that are checked before")]

use std::ops::Range;

use candle_core::{Result, WithDType};

use super::lanes::{Pixels, Target, Which};
use super::positions::{Queries, Tables, Wanted};
use super::sizes::{BLOCK_TILES, Sizes, Split, Unit};
use super::tiles::{KEYS, Side, add, add_products, load_tile, multiply, splat, store_tile, subtract};
use crate::simd::{Number, Vector, VectorLoop, exp2, zero};

/// Keys per block. The products of a tile with them stay in the first-level cache.
const BLOCK_KEYS: usize = 64;

/// Queries, keys and values, and tables of positions.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a, T> {
    pub(super) q: Pixels<'a, T>,
    pub(super) k: Pixels<'a, T>,
    pub(super) v: Pixels<'a, T>,
    pub(super) tables: Option<Tables<'a, T>>,
}

/// Takes the first `count` elements off a slice.
pub(super) fn take<'a, T>(room: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    let (taken, rest) = std::mem::take(room).split_at_mut(count);
    *room = rest;
    taken
}

/// Sizes of a task's packed tensors and of their blocks.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// Channels of keys (`d`) and of values (`e`), padded to whole tiles.
    pub(super) d: usize,
    pub(super) e: usize,
    /// Keys, padded to whole tiles.
    pub(super) keys: usize,
    /// Lanes of a key.
    pub(super) key_lanes: usize,
    /// Numbers in the vectors of a tile's queries, one vector each.
    pub(super) tile: usize,
    /// Positions in both directions (`places`), and maximum distances in one direction (`distances`).
    pub(super) places: usize,
    pub(super) distances: usize,
}

impl Room {
    pub(super) fn new(sizes: &Sizes, split: &Split) -> Self {
        let (h, w) = sizes.map.unwrap_or((0, 0));
        Self {
            d: sizes.d.next_multiple_of(KEYS),
            e: sizes.e.next_multiple_of(KEYS),
            keys: sizes.keys.next_multiple_of(KEYS),
            key_lanes: if split.shared { 1 } else { split.lanes },
            tile: split.tile * split.lanes,
            places: h + w,
            distances: (2 * h.max(w)).saturating_sub(1),
        }
    }

    /// Counts of numbers in packed keys and in packed values.
    pub(super) fn of_keys(&self) -> [usize; 2] {
        [self.d, self.e].map(|channels| self.keys * channels * self.key_lanes)
    }

    /// Count of numbers in a row of distances.
    pub(super) fn of_row(&self, split: &Split) -> usize {
        self.distances * split.lanes
    }

    fn of_forward(&self, split: &Split) -> usize {
        let of_tile = self.d + self.e + 2 + self.places;
        let [k, v] = self.of_keys();
        k + v + self.of_row(split) + (BLOCK_TILES * of_tile + BLOCK_KEYS) * self.tile
    }
}

/// Count of scratch numbers that [`Forward`] needs.
pub(super) fn room(sizes: &Sizes, split: &Split) -> usize {
    Room::new(sizes, split).of_forward(split)
}

/// The forward pass of a task.
pub(super) struct Forward<'a, T, const Q: usize, const SHARED: bool> {
    pub(super) sizes: &'a Sizes,
    pub(super) split: &'a Split,
    pub(super) unit: Unit,
    pub(super) inputs: &'a Inputs<'a, T>,
    pub(super) scratch: &'a mut [T],
    pub(super) y: Target<'a, T>,
    /// What the gradient needs, if there is one: (tile; largest product, reciprocal of the sum; query of the tile)
    /// vectors.
    pub(super) kept: Option<&'a mut [T]>,
}

impl<V: Vector, const Q: usize, const SHARED: bool> VectorLoop<V> for Forward<'_, V::Number, Q, SHARED> {
    type Result = Result<()>;

    /// Requires a split with `Q` queries per tile, and with `shared` equal to `SHARED`.
    #[inline(always)]
    unsafe fn run(self) -> Result<()> {
        let Self { sizes, split, unit, inputs, scratch, y, mut kept } = self;
        let unit = &unit;
        let room = Room::new(sizes, split);
        let mut rest = scratch;
        let [k, v] = room.of_keys().map(|count| take(&mut rest, count));
        let row = take(&mut rest, room.of_row(split));
        let [q, o, stats, wanted] =
            [room.d, room.e, 2, room.places].map(|count| take(&mut rest, BLOCK_TILES * count * room.tile));
        let products = take(&mut rest, BLOCK_KEYS * room.tile);
        let (of_d, of_e) = (channels(unit.head, sizes.d), channels(unit.head, sizes.e));
        // SAFETY: the caller guarantees the instruction set. The rest is checked where slices are taken.
        unsafe {
            pack_keys::<V, SHARED>(inputs, sizes, unit, (k, v));
            for vectors in blocks(&unit.vectors, BLOCK_TILES * Q) {
                let of_q = Which { unit, channels: of_d.clone(), vectors: vectors.clone() };
                inputs.q.pack_queries::<V, Q, SHARED>(&of_q, log2_e(), q);
                if let Some(tables) = &inputs.tables {
                    want::<V, Q, SHARED>(tables, (q, room.d), &vectors, row, wanted);
                }
                let tiles = vectors.len().div_ceil(Q);
                o[..tiles * room.e * room.tile].fill(zero::<V>());
                for stats in stats.chunks_exact_mut(2 * room.tile).take(tiles) {
                    let (largest, sums) = stats.split_at_mut(room.tile);
                    // Any product is larger. −∞ cannot be used, because −∞ − (−∞) is NaN.
                    largest.fill(V::Number::from_f64(-1e30));
                    sums.fill(zero::<V>());
                }
                for keys in blocks(&(0..sizes.keys), BLOCK_KEYS) {
                    let block = Block::of::<SHARED>(&room, (k, v), V::LANES, keys.clone());
                    for tile in 0..tiles {
                        let wanted = inputs.tables.as_ref().map(|tables| {
                            tile_of_wanted(tables, &wanted[tile * room.places * room.tile..], room.tile, keys.start)
                        });
                        block.pass::<V, Q, SHARED>(
                            &q[tile * room.d * room.tile..],
                            wanted.as_ref(),
                            products,
                            (
                                &mut stats[2 * tile * room.tile..][..2 * room.tile],
                                &mut o[tile * room.e * room.tile..][..room.e * room.tile],
                            ),
                        );
                    }
                }
                for tile in 0..tiles {
                    let stats = &mut stats[2 * tile * room.tile..][..2 * room.tile];
                    finish::<V, Q>(stats, &mut o[tile * room.e * room.tile..][..room.e * room.tile]);
                }
                if let Some(kept) = &mut kept {
                    let count = 2 * tiles * room.tile;
                    take(kept, count).copy_from_slice(&stats[..count]);
                }
                let one = V::Number::from_f64(1.0);
                let of_y = Which { unit, channels: of_e.clone(), vectors };
                y.unpack_queries::<V, Q, SHARED>(&of_y, one, o)?;
            }
        }
        Ok(())
    }
}

/// Returns log₂ e. Queries are multiplied by it, because powers of two cost less than powers of e.
#[inline(always)]
pub(super) fn log2_e<T: WithDType>() -> T {
    T::from_f64(std::f64::consts::LOG2_E)
}

/// Returns the channels of a head.
pub(super) fn channels(head: usize, of_head: usize) -> Range<usize> {
    head * of_head..(head + 1) * of_head
}

/// Splits a range into consecutive blocks of `most` elements; the last may be shorter.
pub(super) fn blocks(things: &Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let end = things.end;
    things.clone().step_by(most).map(move |first| first..(first + most).min(end))
}

/// Packs keys and values. The keys contain the factor s, because position scores need unscaled queries.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn pack_keys<V: Vector, const SHARED: bool>(
    inputs: &Inputs<'_, V::Number>,
    sizes: &Sizes,
    unit: &Unit,
    (k, v): (&mut [V::Number], &mut [V::Number]),
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        inputs.k.pack_keys::<V, SHARED>(unit, channels(unit.head, sizes.d), k);
        inputs.v.pack_keys::<V, SHARED>(unit, channels(unit.head, sizes.e), v);
    }
    let scale = V::Number::from_f64(sizes.heads.scale);
    for number in k {
        *number *= scale;
    }
}

/// Writes the position scores of a block of queries for columns and rows, tile by tile.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn want<V: Vector, const Q: usize, const SHARED: bool>(
    tables: &Tables<'_, V::Number>,
    (q, channels): (&[V::Number], usize),
    vectors: &Range<usize>,
    row: &mut [V::Number],
    wanted: &mut [V::Number],
) {
    let tile = Q * V::LANES;
    let of_columns = tables.columns.size * tile;
    let wanted = wanted.chunks_exact_mut(of_columns + tables.rows.size * tile);
    for ((vectors, q), wanted) in blocks(vectors, Q).zip(q.chunks_exact(channels * tile)).zip(wanted) {
        // Queries that pad the last tile get zeros.
        wanted.fill(zero::<V>());
        let (columns, rows) = wanted.split_at_mut(of_columns);
        let queries = Queries { q, channels, vectors };
        // SAFETY: guaranteed by the caller.
        unsafe {
            tables.columns.seen::<V, Q, SHARED>(&queries, row, columns);
            tables.rows.seen::<V, Q, SHARED>(&queries, row, rows);
        }
    }
}

/// Returns the position scores of a tile, for keys from `first_key` on.
#[inline(always)]
pub(super) fn tile_of_wanted<'a, T: Copy>(
    tables: &Tables<'a, T>,
    wanted: &'a [T],
    tile: usize,
    first_key: usize,
) -> Wanted<'a, T> {
    let (columns, rows) = wanted.split_at(tables.columns.size * tile);
    Wanted { columns, rows, places: &tables.places[first_key..] }
}

/// Packed keys and values of a block.
pub(super) struct Block<'a, T> {
    /// Keys without padding.
    pub(super) keys: usize,
    /// Channels of keys (`d`) and of values (`e`), padded.
    pub(super) d: usize,
    pub(super) e: usize,
    pub(super) k: &'a [T],
    pub(super) v: &'a [T],
}

impl<'a, T: Number> Block<'a, T> {
    #[inline(always)]
    pub(super) fn of<const SHARED: bool>(
        room: &Room,
        (k, v): (&'a [T], &'a [T]),
        lanes: usize,
        keys: Range<usize>,
    ) -> Self {
        let lanes = if SHARED { 1 } else { lanes };
        let part = |side: &'a [T], channels: usize| {
            let count = keys.len().next_multiple_of(KEYS) * channels * lanes;
            &side[keys.start * channels * lanes..][..count]
        };
        Self { keys: keys.len(), d: room.d, e: room.e, k: part(k, room.d), v: part(v, room.e) }
    }

    pub(super) fn key_tiles(&self) -> usize {
        self.keys.div_ceil(KEYS)
    }

    /// Writes the products of a tile of queries with all keys of the block, (key, query) vectors. Returns the largest
    /// product of each query.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn products<V: Vector<Number = T>, const Q: usize, const SHARED: bool>(
        &self,
        q: &[T],
        wanted: Option<&Wanted<'_, T>>,
        products: &mut [T],
    ) -> [V; Q] {
        assert!(q.len() >= self.d * Q * V::LANES, "a vector for each channel and query");
        assert!(products.len() >= self.key_tiles() * KEYS * Q * V::LANES, "room for all products");
        let left = Side { at: q.as_ptr(), term: Q, row: 1 };
        let lanes = if SHARED { 1 } else { V::LANES };
        // SAFETY: the caller guarantees the instruction set, and the block has its keys in whole tiles.
        unsafe {
            let mut largest = [splat::<V>(T::from_f64(-1e30)); Q];
            for tile in 0..self.key_tiles() {
                let mut sums = match wanted {
                    Some(wanted) => wanted.of_keys::<V, Q>(tile * KEYS),
                    None => [[V::zero(); Q]; KEYS],
                };
                let right = Side { at: self.k.as_ptr().add(tile * self.d * KEYS * lanes), term: KEYS, row: 1 };
                add_products::<V, Q, KEYS, SHARED>(&mut sums, self.d, &left, &right);
                store_tile(&sums, products.as_mut_ptr().add(tile * KEYS * Q * V::LANES));
                let there = self.keys - tile * KEYS;
                for (b, sums) in sums.iter().enumerate() {
                    if b < there {
                        for (largest, &sum) in largest.iter_mut().zip(sums) {
                            *largest = largest.max(sum);
                        }
                    }
                }
            }
            largest
        }
    }

    /// Writes zeros for keys that pad the last tile.
    #[inline(always)]
    pub(super) fn clear_filling<V: Vector<Number = T>, const Q: usize>(&self, of_keys: &mut [T]) {
        of_keys[self.keys * Q * V::LANES..self.key_tiles() * KEYS * Q * V::LANES].fill(zero::<V>());
    }

    /// Processes the keys of the block for a tile of queries. Updates the largest products, the sums of weights and the
    /// gathered values.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    unsafe fn pass<V: Vector<Number = T>, const Q: usize, const SHARED: bool>(
        &self,
        q: &[T],
        wanted: Option<&Wanted<'_, T>>,
        products: &mut [T],
        (stats, gathered): (&mut [T], &mut [T]),
    ) {
        assert!(stats.len() == 2 * Q * V::LANES, "two vectors for each query");
        // SAFETY: the caller guarantees the instruction set, and every slice is long enough.
        unsafe {
            let [before, mut sums]: [[V; Q]; 2] = load_tile(stats.as_ptr());
            let of_block = self.products::<V, Q, SHARED>(q, wanted, products);
            let (mut largest, mut shrinks) = (before, before);
            for a in 0..Q {
                largest[a] = before[a].max(of_block[a]);
                shrinks[a] = exp2(subtract(before[a], largest[a]));
                sums[a] = multiply(sums[a], shrinks[a]);
            }
            for key in 0..self.keys {
                let at = products.as_mut_ptr().add(key * Q * V::LANES);
                let [mut weights]: [[V; Q]; 1] = load_tile(at);
                for a in 0..Q {
                    weights[a] = exp2(subtract(weights[a], largest[a]));
                    sums[a] = add(sums[a], weights[a]);
                }
                store_tile(&[weights], at);
            }
            self.clear_filling::<V, Q>(products);
            store_tile(&[largest, sums], stats.as_mut_ptr());
            gather::<V, Q, SHARED>(products, (self.v, self.e), Some(&shrinks), gathered);
        }
    }
}

/// Gathers weighted values: `gathered[channel][query]` ← `shrinks[query]`·gathered + Σ
/// `weights[key][query]`·`side[key][channel]`.
///
/// # Safety
/// The processor has the instruction set of `V`. There are weights for as many keys as the side has.
#[inline(always)]
pub(super) unsafe fn gather<V: Vector, const Q: usize, const SHARED: bool>(
    weights: &[V::Number],
    (side, channels): (&[V::Number], usize),
    shrinks: Option<&[V; Q]>,
    gathered: &mut [V::Number],
) {
    let lanes = if SHARED { 1 } else { V::LANES };
    let key_tiles = side.len() / (channels * KEYS * lanes);
    assert!(weights.len() >= key_tiles * KEYS * Q * V::LANES, "a vector for each key and query");
    assert!(gathered.len() >= channels * Q * V::LANES, "a vector for each channel and query");
    for channel in (0..channels).step_by(KEYS) {
        // SAFETY: the caller guarantees the instruction set, and the slices have all vectors, in whole tiles.
        unsafe {
            let to = gathered.as_mut_ptr().add(channel * Q * V::LANES);
            let mut sums: [[V; Q]; KEYS] = load_tile(to);
            if let Some(shrinks) = shrinks {
                for sums in &mut sums {
                    for (sum, &shrink) in sums.iter_mut().zip(shrinks) {
                        *sum = multiply(*sum, shrink);
                    }
                }
            }
            for tile in 0..key_tiles {
                let left = Side { at: weights.as_ptr().add(tile * KEYS * Q * V::LANES), term: Q, row: 1 };
                let right =
                    Side { at: side.as_ptr().add((tile * channels + channel) * KEYS * lanes), term: 1, row: KEYS };
                add_products::<V, Q, KEYS, SHARED>(&mut sums, KEYS, &left, &right);
            }
            store_tile(&sums, to);
        }
    }
}

/// Divides the gathered values by the sums of weights. Replaces these sums with their reciprocals.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
unsafe fn finish<V: Vector, const Q: usize>(stats: &mut [V::Number], gathered: &mut [V::Number]) {
    let sums = &mut stats[Q * V::LANES..];
    for sum in sums.iter_mut() {
        *sum = V::Number::from_f64(1.0) / *sum;
    }
    // SAFETY: the caller guarantees the instruction set, and every slice is long enough.
    unsafe {
        let [shares]: [[V; Q]; 1] = load_tile(sums.as_ptr());
        for gathered in gathered.chunks_exact_mut(Q * V::LANES) {
            let [mut vectors]: [[V; Q]; 1] = load_tile(gathered.as_ptr());
            for (vector, &share) in vectors.iter_mut().zip(&shares) {
                *vector = multiply(*vector, share);
            }
            store_tile(&[vectors], gathered.as_mut_ptr());
        }
    }
}
