//! Attention, softmax(s·qᵀk + places)·v, as one operation: the weights of all pairs of pixels are never in memory together.
//!
//! A tile of queries meets the keys block by block; a block fits the first-level cache. The weights of a block are relative to the largest
//! product so far. When a larger product comes, the sums so far are scaled down (online softmax: Milakov and Gimelshein 2018; Dao et al.
//! 2022). For the gradient, each query keeps its largest product and its sum of weights; the weights are computed again.
//!
//! A lane of a vector is one image: with images last, nothing is transposed, every product is one of vectors and no sum runs
//! across lanes. Where images do not fill a vector, its lanes are neighbouring queries of one image, and a key's number is the same
//! for all of them.

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
