//! A bundle: files in one archive (tar, gzip), with a manifest that lists the digest of each and names their origin.
//!
//! The same files give the same bytes. An archive may come from anywhere, so unpacking trusts nothing in it: every file
//! must be listed, have its size and its digest, and stay inside the folder that it is unpacked into. This crate knows
//! files. It does not know runs, plans or reports.

mod error;
mod manifest;
mod pack;
mod place;
mod unpack;

pub use error::BundleError;
pub use manifest::{FileRecord, Manifest, Origin};
pub use pack::{Content, pack};
pub use place::check_place;
pub use unpack::unpack;
