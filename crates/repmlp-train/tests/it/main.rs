//! Whole trainings of a tiny network. The tests look at the events in a sink.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod fixture;
mod keeping;
mod loading;
mod objectives;
mod resuming;
mod starting;
