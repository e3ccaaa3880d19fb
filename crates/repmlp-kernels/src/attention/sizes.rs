//! The sizes of attention, checked, and how its work is split into tasks: by shape alone.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use crate::parts::parts_for;
use crate::simd::{InstructionSet, Number, Vector, fills, for_instruction_set};

/// The heads, and the factor of their products.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Number of heads. Each is an equal part of the channels with its own attention.
    pub count: usize,
    /// The factor s: 1/√d in Vaswani et al. 2017, 1 in the non-local block.
    pub scale: f64,
}

/// Embeddings of relative positions (BoTNet, Srinivas et al. 2021). A query's score for a row or a column of the map is
/// the product of the unscaled query with the embedding of the distance.
#[derive(Clone, Copy, Debug)]
pub struct RelativePositions<'a> {
    /// Embeddings of row distances, (2·H − 1, d). The distance 1 − H is the first.
    pub height: &'a Tensor,
    /// Embeddings of column distances, (2·W − 1, d). The distance 1 − W is the first.
    pub width: &'a Tensor,
}

/// Sizes of one attention operation, checked: none is 0, and the channels divide into the heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) heads: Heads,
    /// Channels of a head's query and key.
    pub(super) d: usize,
    /// Channels of a head's value.
    pub(super) e: usize,
    /// Pixels with queries.
    pub(super) queries: usize,
    /// Pixels with keys and values.
    pub(super) keys: usize,
    pub(super) images: usize,
    /// Height and width, where positions count.
    pub(super) map: Option<(usize, usize)>,
}

impl Sizes {
    /// Returns the sizes of separate queries (heads·d, …, N), keys (heads·d, …, N) and values (heads·e, …, N).
    pub(super) fn apart([q, k, v]: [&Tensor; 3], heads: Heads) -> Result<Self> {
        let parts = |t: &Tensor| match (t.dims().first(), t.dims().last()) {
            (Some(&channels), Some(&images)) if t.rank() > 1 && t.elem_count() > 0 => {
                Ok((channels, t.elem_count() / channels / images, images))
            }
            _ => bail!("attention needs shapes (C, …, N) without empty dimensions, not {:?}", t.dims()),
        };
        let [(d, queries, images), (d_of_k, keys, n), (e, values, m)] = [parts(q)?, parts(k)?, parts(v)?];
        if (d, keys, images, images) != (d_of_k, values, n, m) {
            bail!("queries {:?}, keys {:?} and values {:?} do not fit each other", q.dims(), k.dims(), v.dims());
        }
        let of_head = |channels: usize| match channels.checked_div(heads.count) {
            Some(of_head) if of_head * heads.count == channels => Ok(of_head),
            _ => bail!("{} heads do not divide {channels} channels", heads.count),
        };
        Ok(Self { heads, d: of_head(d)?, e: of_head(e)?, queries, keys, images, map: None })
    }

    /// Returns the sizes of one tensor (heads·(2·d + e), H, W, N) with tables of positions.
    pub(super) fn on_map(qkv: &Tensor, heads: Heads, positions: RelativePositions<'_>) -> Result<Self> {
        let (channels, h, w, images) = qkv.dims4()?;
        let ((of_h, d), (of_w, d_of_w)) = (positions.height.dims2()?, positions.width.dims2()?);
        if h * w == 0 || (of_h, of_w) != (2 * h - 1, 2 * w - 1) || d != d_of_w {
            bail!(
                "tables of positions {:?} and {:?} do not fit a {h}×{w} map",
                positions.height.dims(),
                positions.width.dims()
            );
        }
        let e = channels.checked_div(heads.count).and_then(|of_head| of_head.checked_sub(2 * d)).unwrap_or(0);
        if d * e * images == 0 || heads.count * (2 * d + e) != channels {
            bail!("{:?} cannot hold queries, keys and values of {} heads with {d} channels", qkv.dims(), heads.count);
        }
        Ok(Self { heads, d, e, queries: h * w, keys: h * w, images, map: Some((h, w)) })
    }

    /// Counts of numbers in q, k and v.
    pub(super) fn counts(&self) -> [usize; 3] {
        let of_channel = |pixels: usize| self.heads.count * pixels * self.images;
        [self.d * of_channel(self.queries), self.d * of_channel(self.keys), self.e * of_channel(self.keys)]
    }

    /// Count of numbers in the result.
    pub(super) fn output(&self) -> usize {
        self.heads.count * self.e * self.queries * self.images
    }

    /// Rows of both tables of positions together.
    pub(super) fn places(&self) -> usize {
        self.map.map_or(0, |(h, w)| 2 * (h + w) - 2)
    }
}

/// Queries per tile: as many sums as the registers hold beside four keys.
pub(super) fn tile_queries<V: Vector>() -> usize {
    V::ROWS / 2
}

/// Tiles of queries that process the keys together.
pub(super) const BLOCK_TILES: usize = 8;

/// Minimum tiles per part. With fewer, packing a unit's keys once more costs too much.
const PART_TILES: usize = 48;

/// How the work is split. A unit is one head of as many images as fill a vector, or of a single image. The queries of a
/// unit may be split further.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) set: InstructionSet,
    pub(super) lanes: usize,
    /// Whether lanes are queries, which share their keys.
    pub(super) shared: bool,
    /// Groups of images.
    pub(super) groups: usize,
    /// Tasks per unit.
    pub(super) parts: usize,
    /// Vectors of queries per tile.
    pub(super) tile: usize,
    /// Tiles per task; the last may have fewer.
    pub(super) tiles: usize,
    /// Vectors of queries per unit.
    pub(super) vectors: usize,
}

impl Split {
    pub(super) fn new<T: Number>(sizes: &Sizes, set: InstructionSet) -> Self {
        let of_images = set.for_lanes::<T>(sizes.images);
        let images_fill = for_instruction_set!(of_images, T, V => fills::<V<T>>(sizes.images));
        let set = if images_fill { of_images } else { set.for_lanes::<T>(sizes.queries) };
        let (lanes, tile) = for_instruction_set!(set, T, V => (<V<T> as Vector>::LANES, tile_queries::<V<T>>()));
        let (groups, vectors) = if images_fill {
            (sizes.images.div_ceil(lanes), sizes.queries)
        } else {
            (sizes.images, sizes.queries.div_ceil(lanes))
        };
        let (units, tiles) = (sizes.heads.count * groups, vectors.div_ceil(tile));
        let parts = parts_for(units).min(tiles.div_ceil(PART_TILES));
        let tiles_of_part = tiles.div_ceil(parts).next_multiple_of(BLOCK_TILES);
        let parts = tiles.div_ceil(tiles_of_part);
        Self { set, lanes, shared: !images_fill, groups, parts, tile, tiles: tiles_of_part, vectors }
    }

    /// Number of tasks. Those of a unit are consecutive.
    pub(super) fn tasks(&self, sizes: &Sizes) -> usize {
        sizes.heads.count * self.groups * self.parts
    }

    /// Count of numbers that a task keeps for the gradient: for each query, the largest product and the reciprocal of
    /// its sum of weights.
    pub(super) fn kept_of_task(&self) -> usize {
        2 * self.tiles * self.tile * self.lanes
    }

    /// Returns the head, the images and the queries of a task.
    pub(super) fn task(&self, number: usize, sizes: &Sizes) -> Unit {
        let (unit, part) = (number / self.parts, number % self.parts);
        let (head, group) = (unit / self.groups, unit % self.groups);
        let first_image = if self.shared { group } else { group * self.lanes };
        let images = if self.shared { 1 } else { self.lanes.min(sizes.images - first_image) };
        let first = part * self.tiles * self.tile;
        let vectors = first..(first + self.tiles * self.tile).min(self.vectors);
        Unit { head, first_image, images, part, vectors }
    }
}

/// The head, the images and the vectors of queries of a task.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) head: usize,
    pub(super) first_image: usize,
    pub(super) images: usize,
    pub(super) part: usize,
    pub(super) vectors: Range<usize>,
}
