//! The index through its public face, on files in temporary folders.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod asking;
mod damage;
mod fixture;
mod opening;
mod rebuilding;
