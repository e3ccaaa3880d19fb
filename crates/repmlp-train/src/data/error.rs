//! What can be wrong with image files: each message says which file, what was expected, and where to get it.

use std::any::Any;
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
    /// The files have another number of classes or people than the configuration says.
    #[error("{} holds {found} {things}, the configuration says data.source.{key} = {expected}: correct one of them", .path.display())]
    Count {
        /// Where they were counted.
        path: PathBuf,
        /// What was counted.
        things: &'static str,
        /// The key that says how many there are.
        key: &'static str,
        /// What the configuration says.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// Two parts of a set have folders of other names.
    #[error(
        "{} and {} must hold the same class folders, but only one of them has {}", .paths[0].display(), .paths[1].display(),
        .names.join(", ")
    )]
    OtherClasses {
        /// Both parts.
        paths: [PathBuf; 2],
        /// Names that only one has.
        names: Vec<String>,
    },
    /// A held-out person cannot be compared with anybody.
    #[error(
        "{} has {images} image of held-out identity {identity}: verification needs at least 2 of each", .path.display()
    )]
    Alone {
        /// The set.
        path: PathBuf,
        /// Which person.
        identity: String,
        /// How many images there are.
        images: usize,
    },
    /// A thread that made batches broke down.
    #[error("a loader thread broke down: {message}")]
    Loader {
        /// What it said.
        message: String,
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

impl DataError {
    /// What a thread that made batches said when it broke down.
    pub(crate) fn loader(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Loader { message: message.unwrap_or_else(|| "it left no message".to_owned()) }
    }
}
