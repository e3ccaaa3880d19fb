//! What can be wrong with image files: each message says which file, what was expected, and where to get it.

use std::io;
use std::path::PathBuf;

/// An image set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Nobody said where data lies.
    #[error("the set `{set}` needs a data folder: give --data DIR or set REPMLP_SWEEP_DATA. {get}")]
    NoFolder {
        /// Which set.
        set: String,
        /// Where to get it.
        get: String,
    },
    /// A part of a set has no files.
    #[error("the set `{set}` names no files for data.source.{key}")]
    NoFiles {
        /// Which set.
        set: String,
        /// Which part.
        key: &'static str,
    },
    /// A file is not there.
    #[error("no {} in {}. {get}", .names.join(" or "), .folder.display())]
    Missing {
        /// Where it was looked for.
        folder: PathBuf,
        /// Names that would do.
        names: Vec<String>,
        /// Where to get it.
        get: String,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is damaged: {expected} expected, {found} found; fetch it again", .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Images are larger than the network's.
    #[error("images of {side}x{side} do not fit into data.image_size = {image_size}: raise it")]
    TooLarge {
        /// Side of the set's images.
        side: usize,
        /// What the configuration says.
        image_size: usize,
    },
    /// The set is another than the configuration names.
    #[error("the images have the fingerprint {found}, the configuration says {expected}: this is another set")]
    Fingerprint {
        /// What the configuration says.
        expected: String,
        /// What the decoded images have.
        found: String,
    },
    /// A run was measured on other images under the same name.
    #[error(
        "run {run} was measured on {seen}, the data folder holds {now}: use another results folder, or tell both sets \
         apart with data.fingerprint in the experiment"
    )]
    Changed {
        /// Which run.
        run: String,
        /// Fingerprint of the images it saw.
        seen: String,
        /// Fingerprint of the images that are there.
        now: String,
    },
    /// The set has fewer images than one batch.
    #[error(
        "{images} training images do not fill one batch of {batch}: lower training.batch or raise data.train_limit"
    )]
    TooFew {
        /// Training images.
        images: usize,
        /// Images of a batch.
        batch: usize,
    },
}
