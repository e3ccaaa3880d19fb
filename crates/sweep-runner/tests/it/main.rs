//! Tests of the runner with real processes: shell scripts that report events, hang, crash and write many lines.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod bench;
mod failing;
mod launching;
mod locking;
mod recovering;
mod stopping;
