//! RepMLP (arXiv 2105.01883) as a library: the block in its training and deployed forms, the conversion between them,
//! the networks of the paper, and their costs.
//!
//! Symbols follow section 3.1 of the paper: N images, C input channels, O output channels, a map of H×W, partitions of
//! h×w, g groups, kernels of K×K, reductions r and ρ. Inside the library, tensors have the images last: `(C, H, W, N)`,
//! short `chwn`. In this layout a 1×1 convolution is one matrix product, partitioning is one copy, and batch norm runs
//! along contiguous rows. Whole networks take images `(N, C, H, W)` and return, for example, logits `(N, classes)`.
//!
//! Each form has its own types. A [`blocks::RepMlpBlock`] is trained; its method `reparameterize` returns a
//! [`blocks::DeployedRepMlpBlock`]. The same holds for whole networks, which are described as data (see [`network`]).
//! This crate does not know data sets, optimisers or experiments.

pub mod blocks;
pub mod catalogue;
pub mod cost;
pub mod layers;
pub mod models;
pub mod network;
pub mod reparam;
pub mod stream;
pub mod vars;

mod fault;
mod mode;

pub use fault::ConfigFault;
pub use mode::{Draws, Mode};
