//! Tests of this crate from outside: against SciPy, and laws that hold for any values.

mod distributions;
mod reference;
