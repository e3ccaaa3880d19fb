//! Attention, softmax(s·qᵀk + places)·v, as one operation: the weights of all pairs of pixels are never in memory together.
//!
//! Queries go in tiles past the keys, a block of which fits the first-level cache: the products of a block become weights relative
//! to the largest so far, and what was gathered before shrinks when a larger one comes (an online softmax: Milakov and
//! Gimelshein 2018; Dao et al. 2022). What is kept for the gradient is that largest product and the weights' sum for each query;
//! the weights are computed again.
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
