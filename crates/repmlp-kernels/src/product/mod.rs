//! Matrix products on checked views, one thread each: callers split the work themselves, by shape alone, so that no sum depends on
//! the thread count.

mod blocks;
mod matrix;
mod pack;
#[cfg(test)]
mod tests;

pub(crate) use blocks::{Epilogue, MOST_COLUMNS, Update, multiply, multiply_then};
pub(crate) use matrix::{Matrix, MatrixMut, Shared};
pub(crate) use pack::pack_right;
