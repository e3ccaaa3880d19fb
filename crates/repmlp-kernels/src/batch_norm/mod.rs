//! Batch normalisation of the rows of a matrix with batch statistics, and an epilogue in the same pass.
//!
//! The forward pass reads each row from memory once. The backward pass reads it once more, with the row of its
//! gradient. A composite makes more than twenty passes.

mod composite;
mod operation;
mod rows;

pub(crate) use composite::{Centred, composite, composite_affine, gradient};
pub use operation::{Moments, affine_with_epilogue, batch_norm_with_epilogue};
pub(crate) use rows::{Line, RowGradient, RowMoments, write_passed};
