//! Tests of the library's public interface.

mod counts;
mod equivalence;
mod networks;
