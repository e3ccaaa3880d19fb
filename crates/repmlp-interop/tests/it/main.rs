//! Tests of the exchange through its public interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod cases;
mod checkpoints;
mod exchange;
mod fc3_slice;
mod hostile;
mod name_lists;
mod parity;
mod pytorch;
