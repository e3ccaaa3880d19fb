//! Vector instructions, chosen at run time. They serve two kinds of loops: handwritten loops over [`Vector`], the basis
//! of all products and convolutions, and loops over elements that the compiler vectorises (`for_each_set`).
//!
//! Both are written once and compiled for each instruction set. This module knows numbers and addresses, but no
//! convolutions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dot_tile;
mod exp2;
mod instruction_set;
mod plain;
mod tap_tile;
mod transpose;
mod vector;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{Avx2F32, Avx2F64};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512F32, Avx512F64};
pub(crate) use dot_tile::{DotRun, DotTile, dots};
pub(crate) use exp2::exp2;
pub(crate) use instruction_set::InstructionSet;
pub use instruction_set::{
    UnknownInstructionSet, VERSION, check_environment, choose_instruction_set, instruction_set, instruction_sets,
};
pub(crate) use plain::Plain;
pub(crate) use tap_tile::{Segment, Steps, TapTile, most_rows, most_vectors, sum_taps};
pub(crate) use transpose::{transpose, transposed};
#[cfg(target_arch = "x86_64")]
use vector::compiled;
pub(crate) use vector::{
    MOST_LANES, MOST_ROWS, Number, Vector, VectorLoop, fills, for_each_set, for_instruction_set, zero,
};
