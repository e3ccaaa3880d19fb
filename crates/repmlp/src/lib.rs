//! RepMLP (arXiv 2105.01883) as a library: its block in both forms, the algebra that turns one into the other, the
//! networks of the paper, and what they cost.
//!
//! Letters are the paper's (section 3.1): N images, C input and O output channels, a map of H×W, partitions of h×w,
//! g groups, kernels of K×K, r and ρ for reductions. Tensors keep images last, `(C, H, W, N)` or `chwn`: a 1×1
//! convolution is then one matrix product, a partition one copy, and batch norm a walk along rows. Networks take and
//! give the usual `(N, C, H, W)` and `(N, classes)`.
//!
//! Each form has its own types: [`blocks::RepMlpBlock`] trains, `reparameterize` makes a [`blocks::DeployedRepMlpBlock`] of
//! it, and likewise whole networks, which are written as data ([`network`]). Nothing here knows data sets, optimisers or experiments.

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
