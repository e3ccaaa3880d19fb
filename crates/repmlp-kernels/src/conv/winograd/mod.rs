//! 3×3 convolution with stride 1 in four ninths of the multiplications: F(2×2, 3×3) of "Fast Algorithms for
//! Convolutional Neural Networks" (arXiv 1509.09308, section 4.1).
//!
//! A tile of 2×2 target pixels reads 4×4 source pixels. With source pixels d and kernel g, the tile is Aᵀ·[(G·g·Gᵀ) ⊙
//! (Bᵀ·d·B)]·A. At each of the sixteen positions, the product ⊙ summed over channels is a matrix product: (target
//! channel, source channel) times (source channel, tile and image). Images are the fastest dimension, so the transforms
//! are sums of whole vectors.
//!
//! A number that is not finite reaches the pixels that read it. An infinity mostly arrives as NaN.

mod backward_weight;
mod convolve;
mod kernels;
mod pixels;
mod tiles;

pub(crate) use backward_weight::backward_weight;
pub(crate) use convolve::{backward_x, forward};

/// Rows and columns of a transformed tile.
const SIDE: usize = 4;
/// Numbers of a transformed tile.
const POSITIONS: usize = SIDE * SIDE;
/// Target pixels of a tile along each axis.
const TILE: usize = 2;
/// Taps of the kernel along each axis.
const KERNEL: usize = 3;
