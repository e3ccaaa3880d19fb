//! Tests of the crate from outside: rows go in, files come out.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

mod analyses;
mod claims;
mod declarations;
mod fixture;
mod frames;
mod hostile_text;
mod needs;
mod noise;
mod publishing;
mod rendering_folders;
mod spellings;
mod styles;
mod tables;
