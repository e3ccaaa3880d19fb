//! Sweeps in bundles: which files a bundle has, and how they are merged into a project.

mod contents;
mod merge;

pub(crate) use contents::{Asked, Contents};
pub(crate) use merge::{Contradiction, Merge, Staged};

/// Folder of results in a bundle, whatever its name is where the sweep ran.
const RESULTS: &str = "results";
/// Folder of report declarations and renderings in a bundle.
const REPORTS: &str = "reports";
