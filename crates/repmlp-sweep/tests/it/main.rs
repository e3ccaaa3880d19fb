//! The program as its users meet it: whole processes on a tiny experiment, and the rules that the tree obeys.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod bench;
mod exchange;
mod faults;
mod interruption;
mod road;
mod tidy;
