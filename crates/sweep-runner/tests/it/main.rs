//! The runner with real processes: shell scripts that speak, hang, crash and flood.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod bench;
mod failing;
mod launching;
mod locking;
mod recovering;
mod stopping;
