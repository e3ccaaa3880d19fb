//! Tests of the library as its users see it.

mod counts;
mod equivalence;
mod networks;
