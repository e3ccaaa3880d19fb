//! Relative positions: the position scores of each query for each column and each row of the map, and their gradients.
#![expect(unsafe_code, reason = "loops over addresses that the caller promises")]

use std::ops::Range;

use super::tiles::{KEYS, Side, add, add_products, load_tile, store_tile};
use crate::simd::{Vector, zero};

/// Both tables of embeddings.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a, T> {
    pub(super) columns: Along<'a, T>,
    pub(super) rows: Along<'a, T>,
    /// Column and row of each key. Keys that pad the last tile have entries too.
    pub(super) places: &'a [[u32; 2]],
}

/// One direction of the map.
#[derive(Clone, Copy)]
pub(super) struct Along<'a, T> {
    /// Embeddings, (channel, distance).
    pub(super) table: &'a [T],
    /// Positions of the map in this direction.
    pub(super) size: usize,
    /// Pixels between neighbouring positions.
    pub(super) step: usize,
}

/// A tile of queries: (channel, query of the tile) vectors, the number of padded channels, and which queries they are.
pub(super) struct Queries<'a, T> {
    pub(super) q: &'a [T],
    pub(super) channels: usize,
    /// Vectors of the unit's queries that the tile has.
    pub(super) vectors: Range<usize>,
}

/// Distances that a vector of queries needs. Where all lanes are at one position, this is the window from `first` on.
/// Otherwise it is all distances.
struct Window {
    first: usize,
    count: usize,
}

/// Positions computed at a time.
const PLACES: usize = 8;

impl<T: Copy> Along<'_, T> {
    pub(super) fn distances(&self) -> usize {
        2 * self.size - 1
    }

    /// Returns the position of a pixel.
    fn place(&self, pixel: usize) -> usize {
        pixel / self.step % self.size
    }

    fn window<const SHARED: bool>(&self, vector: usize) -> Window {
        if SHARED {
            Window { first: 0, count: self.distances() }
        } else {
            Window { first: self.size - 1 - self.place(vector), count: self.size }
        }
    }

    /// Returns the index of the distance to position 0, for each lane of a vector of queries.
    fn first_distances(&self, vector: usize, lanes: usize) -> impl Iterator<Item = usize> {
        (vector * lanes..(vector + 1) * lanes).map(|pixel| self.size - 1 - self.place(pixel))
    }

    /// Writes the position scores of a tile: (position, query of the tile) vectors. `row` has room for all distances.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn seen<V: Vector<Number = T>, const Q: usize, const SHARED: bool>(
        &self,
        queries: &Queries<'_, T>,
        row: &mut [T],
        wanted: &mut [T],
    ) {
        let (distances, channels) = (self.distances(), self.table.len() / self.distances());
        assert!(
            queries.q.len() >= channels * Q * V::LANES && row.len() >= distances * V::LANES,
            "queries, and room for a row"
        );
        assert!(wanted.len() >= self.size * Q * V::LANES, "room for all positions");
        for (a, vector) in queries.vectors.clone().enumerate() {
            let Window { first, count } = self.window::<SHARED>(vector);
            let (to, step) = if SHARED { (row.as_mut_ptr(), 1) } else { (wanted[a * V::LANES..].as_mut_ptr(), Q) };
            let left = Side { at: queries.q[a * V::LANES..].as_ptr(), term: Q, row: 0 };
            let mut place = 0;
            macro_rules! places {
                ($count:expr) => {{
                    let right = Side { at: self.table[first + place..].as_ptr(), term: distances, row: 1 };
                    let mut sums = [[V::zero(); 1]; $count];
                    add_products::<V, 1, { $count }, true>(&mut sums, channels, &left, &right);
                    for (i, [sum]) in sums.iter().enumerate() {
                        sum.store(to.add((place + i) * step * V::LANES));
                    }
                    place += $count;
                }};
            }
            // SAFETY: the caller guarantees the instruction set. Queries and table have as many channels as are read,
            // and there is room for all positions or distances.
            unsafe {
                while place + PLACES <= count {
                    places!(PLACES);
                }
                while place < count {
                    places!(1);
                }
            }
            if SHARED {
                for (lane, first) in self.first_distances(vector, V::LANES).enumerate() {
                    for place in 0..self.size {
                        wanted[(place * Q + a) * V::LANES + lane] = row[(first + place) * V::LANES + lane];
                    }
                }
            }
        }
    }

    /// Passes the gradients of position scores back. Adds to the gradients of the queries, with the layout of
    /// `queries`, and to those of the table, (channel, distance) vectors.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn pass_back<V: Vector<Number = T>, const Q: usize, const SHARED: bool>(
        &self,
        queries: &Queries<'_, T>,
        d_wanted: &[T],
        row: &mut [T],
        (d_queries, d_table): (&mut [T], &mut [T]),
    ) {
        let (distances, channels) = (self.distances(), self.table.len() / self.distances());
        let of_tile = queries.channels * Q * V::LANES;
        assert!(queries.q.len() >= of_tile && d_queries.len() >= of_tile, "all channels, and their gradients");
        assert!(
            d_wanted.len() >= self.size * Q * V::LANES && row.len() >= distances * V::LANES,
            "positions, and room for a row"
        );
        assert!(d_table.len() >= channels * distances * V::LANES, "room for the table");
        for (a, vector) in queries.vectors.clone().enumerate() {
            let Window { first, count } = self.window::<SHARED>(vector);
            let row = &mut row[..count * V::LANES];
            // SAFETY: the caller guarantees the instruction set, and the lengths of all slices are checked above.
            unsafe {
                self.d_row::<V, Q, SHARED>((a, vector), d_wanted, row);
                for c in 0..channels {
                    let at = (c * Q + a) * V::LANES;
                    let q = V::load(queries.q.as_ptr().add(at));
                    let table = self.table[c * distances + first..][..count].as_ptr();
                    let d_table = d_table[(c * distances + first) * V::LANES..][..count * V::LANES].as_mut_ptr();
                    // Four sums, so that none waits for the one before.
                    let mut sums = [V::zero(); KEYS];
                    for i in 0..count {
                        let d = V::load(row.as_ptr().add(i * V::LANES));
                        let to = d_table.add(i * V::LANES);
                        q.multiply_add(d, V::load(to)).store(to);
                        sums[i % KEYS] = d.multiply_add(V::splat(table.add(i)), sums[i % KEYS]);
                    }
                    let sum = add(add(sums[0], sums[1]), add(sums[2], sums[3]));
                    let to = d_queries.as_mut_ptr().add(at);
                    add(V::load(to), sum).store(to);
                }
            }
        }
    }

    /// Writes the gradients of the distances in a vector's window.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`. All slices are long enough.
    #[inline(always)]
    unsafe fn d_row<V: Vector<Number = T>, const Q: usize, const SHARED: bool>(
        &self,
        (a, vector): (usize, usize),
        d_wanted: &[T],
        row: &mut [T],
    ) {
        if SHARED {
            row.fill(zero::<V>());
            for (lane, first) in self.first_distances(vector, V::LANES).enumerate() {
                for place in 0..self.size {
                    row[(first + place) * V::LANES + lane] = d_wanted[(place * Q + a) * V::LANES + lane];
                }
            }
            return;
        }
        for (place, to) in row.chunks_exact_mut(V::LANES).enumerate() {
            let from = &d_wanted[(place * Q + a) * V::LANES..][..V::LANES];
            // SAFETY: the caller guarantees the instruction set, and both slices have a vector.
            unsafe { V::load(from.as_ptr()).store(to.as_mut_ptr()) };
        }
    }
}

/// Position scores of a tile of queries, for columns and for rows: (position, query of the tile) vectors.
pub(super) struct Wanted<'a, T> {
    pub(super) columns: &'a [T],
    pub(super) rows: &'a [T],
    /// Column and row of each key of the block.
    pub(super) places: &'a [[u32; 2]],
}

impl<T: Copy> Wanted<'_, T> {
    /// Returns the start values of a tile's products: the position scores for four keys from key `j` of the block on.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn of_keys<V: Vector<Number = T>, const Q: usize>(&self, j: usize) -> [[V; Q]; KEYS] {
        // SAFETY: the caller guarantees the instruction set.
        let mut sums = [[unsafe { V::zero() }; Q]; KEYS];
        for (sums, &[column, row]) in sums.iter_mut().zip(&self.places[j..][..KEYS]) {
            let columns = &self.columns[column as usize * Q * V::LANES..][..Q * V::LANES];
            let rows = &self.rows[row as usize * Q * V::LANES..][..Q * V::LANES];
            // SAFETY: the caller guarantees the instruction set, and both slices have a vector for each query.
            unsafe {
                let ([columns], [rows]) = (load_tile::<V, Q, 1>(columns.as_ptr()), load_tile::<V, Q, 1>(rows.as_ptr()));
                for (a, sum) in sums.iter_mut().enumerate() {
                    *sum = add(columns[a], rows[a]);
                }
            }
        }
        sums
    }
}

/// Adds the gradients of the products, (key, query of the tile) vectors, to those of the position scores.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn add_d_wanted<V: Vector, const Q: usize>(
    d_products: &[V::Number],
    places: &[[u32; 2]],
    (d_columns, d_rows): (&mut [V::Number], &mut [V::Number]),
) {
    for (d, &[column, row]) in d_products.chunks_exact(Q * V::LANES).zip(places) {
        // SAFETY: the caller guarantees the instruction set, and each slice has a vector for each query.
        unsafe {
            let d: [[V; Q]; 1] = load_tile(d.as_ptr());
            for (to, place) in [(&mut *d_columns, column), (&mut *d_rows, row)] {
                let to = to[place as usize * Q * V::LANES..][..Q * V::LANES].as_mut_ptr();
                let mut sums: [[V; Q]; 1] = load_tile(to);
                for (sum, &d) in sums[0].iter_mut().zip(&d[0]) {
                    *sum = add(*sum, d);
                }
                store_tile(&sums, to);
            }
        }
    }
}

/// Writes the sum of all lanes of each vector, in the order (distance, channel) of the tables outside.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn sum_table<V: Vector>(d_table: &[V::Number], distances: usize, to: &mut [V::Number]) {
    let channels = to.len() / distances;
    for (i, vector) in d_table.chunks_exact(V::LANES).take(to.len()).enumerate() {
        // SAFETY: the caller guarantees the instruction set, and the slice has a vector.
        to[i % distances * channels + i / distances] = unsafe { V::load(vector.as_ptr()).sum() };
    }
}
