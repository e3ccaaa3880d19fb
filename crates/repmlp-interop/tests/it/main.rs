//! Tests of the exchange as its users see it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod cases;
mod checkpoints;
mod exchange;
mod hostile;
mod name_lists;
mod parity;
