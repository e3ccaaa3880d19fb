//! Matrix products on checked views, each on one thread. Callers split the work themselves, by shape alone, so that no
//! sum depends on the number of threads.

mod blocks;
mod matrix;
mod pack;
#[cfg(test)]
mod tests;

pub(crate) use blocks::{MOST_COLUMNS, TileEpilogue, Update, multiply, multiply_with_epilogue};
pub(crate) use matrix::{Matrix, MatrixMut, Shared};
pub(crate) use pack::pack_right;
