//! Whole trainings of a tiny network, heard through a sink.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod fixture;
mod loading;
mod objectives;
mod resuming;
