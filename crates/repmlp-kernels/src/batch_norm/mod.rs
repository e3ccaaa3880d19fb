//! Batch normalisation of a matrix's rows with the statistics of the batch, and what usually follows it in the same pass.
//!
//! A row is read once from memory forward, and once backward with the row of its gradient; a composite takes more than
//! twenty passes.

mod composite;
mod operation;
mod rows;

pub(crate) use composite::{composite, composite_affine};
pub use operation::{Moments, affine_with_epilogue, batch_norm_with_epilogue};
pub(crate) use rows::{Line, RowGradient, RowMoments, write_passed};
