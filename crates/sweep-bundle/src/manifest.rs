//! The manifest of a bundle: the first file of the archive.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Name of the manifest in the archive.
pub(crate) const MANIFEST: &str = "bundle.json";
/// Format of bundles that this version writes.
pub(crate) const FORMAT: u32 = 1;

/// What a bundle holds, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the bundle.
    pub format: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// All other files by their places.
    pub files: BTreeMap<String, FileRecord>,
}

/// Where a bundle comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name and version of the program that wrote it.
    pub program: String,
    /// Version and commit of the code that trained the runs, one entry for each that occurs.
    pub code: Vec<String>,
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the profile.
    pub profile: String,
}

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Number of bytes.
    pub size: u64,
    /// BLAKE3 digest, as hexadecimal digits.
    pub digest: String,
    /// Whether people may execute it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}
