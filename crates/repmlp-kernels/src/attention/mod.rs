//! Attention, softmax(s·qᵀk + p)·v with optional position scores p, as one operation. The weights of all pairs of
//! pixels are never in memory together.
//!
//! A tile of queries processes the keys block by block; a block fits the first-level cache. The weights of a block are
//! relative to the largest product so far. When a larger product comes, the sums so far are scaled down (online
//! softmax: Milakov and Gimelshein 2018; Dao et al. 2022). For the gradient, each query keeps its largest product and
//! its sum of weights. The weights are computed again.
//!
//! A lane of a vector is one image. With images as the fastest dimension, nothing is transposed, every product is a
//! product of vectors, and no sum runs across lanes. Where images do not fill a vector, its lanes are consecutive
//! queries of one image. All lanes then share the numbers of a key.

mod backward;
mod composite;
mod forward;
mod lanes;
mod operation;
mod positions;
mod sizes;
#[cfg(test)]
mod tests;
mod tiles;

pub use operation::{attention, attention_on_map};
pub use sizes::{Heads, RelativePositions};
