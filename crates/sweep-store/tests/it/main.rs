//! Tests of the index through its public interface, on files in temporary folders.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod asking;
mod damage;
mod fixture;
mod opening;
mod rebuilding;
