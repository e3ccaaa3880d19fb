//! 3×3 convolution with stride 1 in four ninths of the multiplications: F(2×2, 3×3) of "Fast Algorithms for Convolutional Neural
//! Networks" (arXiv 1509.09308, section 4.1).
//!
//! A tile of 2×2 target pixels sees 4×4 source pixels. With d those and g the kernel, the tile is Aᵀ·[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]·A. The
//! product ⊙ at each of the sixteen positions, summed over channels, is a product of matrices: (target channel, source channel) and
//! (source channel, tile and image). Images are neighbours, so that the transforms are sums of whole vectors.
//!
//! A number that is not finite reaches the pixels that see it, an infinity mostly as NaN.

mod backward_weight;
mod convolve;
mod kernels;
mod pixels;
mod tiles;

pub(crate) use backward_weight::backward_weight;
pub(crate) use convolve::{backward_x, forward};

/// Rows, and columns, of a transformed tile.
const SIDE: usize = 4;
/// Numbers of a transformed tile.
const POSITIONS: usize = SIDE * SIDE;
/// Target pixels of a tile along either axis.
const TILE: usize = 2;
/// Taps of the kernel along either axis.
const KERNEL: usize = 3;
