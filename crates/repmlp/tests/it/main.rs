//! Tests of the library as its users see it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod counts;
mod equivalence;
mod networks;
