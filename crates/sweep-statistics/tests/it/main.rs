//! Tests of this crate from outside: against SciPy, and laws that hold for any values.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bootstraps;
mod comparisons;
mod distributions;
mod grids;
mod laws;
mod plans;
mod reference;
mod strange_values;
