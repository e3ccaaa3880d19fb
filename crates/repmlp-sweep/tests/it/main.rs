//! The program as its users meet it: whole processes on a tiny experiment, and the rules that the tree obeys.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod again;
mod arithmetic;
mod bench;
mod benchmark;
mod chaos;
mod completion;
mod exchange;
mod faults;
mod interruption;
mod own_files;
mod power_cut;
mod processes;
mod road;
mod surroundings;
mod tidy;
