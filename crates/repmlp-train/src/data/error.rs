//! Errors of data sets. Each message says which file, what was expected, and what to do.

use std::any::Any;
use std::io;
use std::path::PathBuf;

/// An image set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No data folder was given.
    #[error("the set `{set}` needs a data folder: give --data DIR or set REPMLP_SWEEP_DATA. {get}")]
    NoFolder {
        /// Name of the set.
        set: String,
        /// Where to get the set.
        get: String,
    },
    /// A part of a set has no files.
    #[error("the set `{set}` has no files: data.source.{key} is empty")]
    NoFiles {
        /// Name of the set.
        set: String,
        /// The key of the part.
        key: &'static str,
    },
    /// A file does not exist.
    #[error("{}", format!("no {} in {}. {get}", .names.join(" or "), .folder.display()).trim_end())]
    Missing {
        /// The folder that was searched.
        folder: PathBuf,
        /// Accepted names.
        names: Vec<String>,
        /// Where to get the file.
        get: String,
    },
    /// A folder has images of unsupported formats.
    #[error(
        "{} has {count} images in unsupported formats ({names}): convert them to PNG or JPEG, or move them away",
        .folder.display()
    )]
    OtherFormats {
        /// The folder.
        folder: PathBuf,
        /// Number of images.
        count: usize,
        /// Their names, as text.
        names: String,
    },
    /// An image has an unsupported format and the ending of another one.
    #[error("{} is a {name} image despite its file name: convert it to PNG or JPEG", .path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// The real format.
        name: &'static str,
    },
    /// Images lie next to the class folders instead of in them.
    #[error(
        "{} has {count} images outside of its folders for classes or people ({names}): move them into such a folder, \
         or away",
        .folder.display()
    )]
    Outside {
        /// The folder.
        folder: PathBuf,
        /// Number of images.
        count: usize,
        /// Their names, as text.
        names: String,
    },
    /// A file name is not valid UTF-8.
    #[error("{} contains a name that is not valid UTF-8: {name}; rename it", .folder.display())]
    NoText {
        /// The folder of the file.
        folder: PathBuf,
        /// The name, with replacement characters.
        name: String,
    },
    /// An image has two masks.
    #[error("{} and {} are masks of the same image: remove one of them", .paths[0].display(), .paths[1].display())]
    TwoMasks {
        /// Both masks.
        paths: [PathBuf; 2],
    },
    /// A file cannot be read.
    #[error("{} cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause of the failure.
        source: io::Error,
    },
    /// A file is damaged.
    #[error("{} is damaged: expected {expected}, found {found}; fetch it again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A file has changed since the set was read.
    #[error(
        "{} has changed since the set was read, but a run must use the same data in all epochs. Restore the file, or \
         repeat the run with the new one", .path.display()
    )]
    ChangedFile {
        /// The file.
        path: PathBuf,
    },
    /// An image has more pixels than allowed.
    #[error(
        "{} has {width}x{height} pixels, more than {limit} (data.pixel_limit): raise the limit if this is intended",
        .path.display()
    )]
    TooManyPixels {
        /// The file.
        path: PathBuf,
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
        /// Maximum number of pixels.
        limit: usize,
    },
    /// An image is not a mask.
    #[error(
        "{} is not a mask but {found}: a mask is a grey or palette PNG of class ids with 1, 2, 4 or 8 bits",
        .path.display()
    )]
    NoMask {
        /// The file.
        path: PathBuf,
        /// What the image is.
        found: String,
    },
    /// A mask and its image have different sizes.
    #[error(
        "{} has {}x{} pixels, but its image has {}x{}: both must have the same size", .path.display(), .mask.1, .mask.0,
        .image.1, .image.0
    )]
    MaskSize {
        /// The mask.
        path: PathBuf,
        /// Height and width of the image.
        image: (usize, usize),
        /// Height and width of the mask.
        mask: (usize, usize),
    },
    /// A mask has an id that is not a class.
    #[error(
        "{} has pixels with id {id}, which is neither a class (data.source.classes = {classes}) nor the ignored id \
         (data.source.ignore = {ignore}): correct the mask or these keys", .path.display()
    )]
    MaskId {
        /// The mask.
        path: PathBuf,
        /// The id.
        id: u8,
        /// Number of classes. Class ids are below it.
        classes: usize,
        /// Id of ignored pixels.
        ignore: u8,
    },
    /// A class has no training examples.
    #[error(
        "the set `{set}` has no training {thing} of class{} {classes}.{hint} Correct the labels, lower \
         data.source.{key}, or list classes that are missing on purpose in data.absent_classes",
        if *.count == 1 { "" } else { "es" }
    )]
    NeverOccurs {
        /// Name of the set.
        set: String,
        /// What is missing: an image or a pixel.
        thing: &'static str,
        /// The classes, as text.
        classes: String,
        /// Number of classes.
        count: usize,
        /// Possible cause.
        hint: String,
        /// The key with the number of classes.
        key: &'static str,
    },
    /// A class in `absent_classes` has training images.
    #[error("the set `{set}` has training images of class {class}, but data.absent_classes lists it: remove it there")]
    Present {
        /// Name of the set.
        set: String,
        /// The class.
        class: u32,
    },
    /// All pixels of a part are ignored.
    #[error(
        "the set `{set}` has no labelled pixel in its {part} part: all mask pixels of its {images} images are {ignore} \
         (data.source.ignore) and therefore ignored. Correct the masks, data.source.ignore or the limits of the part"
    )]
    NothingJudged {
        /// Name of the set.
        set: String,
        /// Name of the part.
        part: &'static str,
        /// Number of its images.
        images: usize,
        /// Id of ignored pixels.
        ignore: u8,
    },
    /// A file does not match the configuration.
    #[error(
        "{} has {found} where the configuration expects {expected}: correct the configuration, or the file if it is \
         incomplete",
        .path.display()
    )]
    Misfit {
        /// The file.
        path: PathBuf,
        /// What the configuration expects, with its keys.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A file unpacks to more bytes than images can have.
    #[error(
        "{} unpacks to more than {size} bytes, over 100 times its size: it is not a file of images",
        .path.display()
    )]
    Unpacked {
        /// The file.
        path: PathBuf,
        /// Number of unpacked bytes.
        size: usize,
    },
    /// After resizing, all pixels of the masks of a split are ignored.
    #[error(
        "all mask pixels of an evaluation are ignored after resizing to data.image_size = {image_size}: raise it, or \
         correct the masks"
    )]
    NothingLeft {
        /// The configured size.
        image_size: usize,
    },
    /// The number of classes or people differs from the configuration.
    #[error(
        "{} holds {found} {things}, but the configuration says data.source.{key} = {expected}: correct one of them",
        .path.display()
    )]
    Count {
        /// Where they were counted.
        path: PathBuf,
        /// What was counted.
        things: &'static str,
        /// The key with the expected number.
        key: &'static str,
        /// The configured number.
        expected: usize,
        /// The number that was found.
        found: usize,
    },
    /// Two folders could be the test set.
    #[error(
        "{} has both test/ and val/, and it is not clear which of them is the test set: {remedy}", .folder.display()
    )]
    TwoTests {
        /// Folder of the set.
        folder: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// People of the test set are also in the training set.
    #[error(
        "{} and {} have people in common, but people of the test set must be held out: {names}", .paths[0].display(),
        .paths[1].display()
    )]
    NotHeldOut {
        /// Folders of both parts.
        paths: [PathBuf; 2],
        /// Names of the people, as text.
        names: String,
    },
    /// Two parts of a set have different class folders.
    #[error(
        "{} and {} must hold the same class folders, but only one of them has {}", .paths[0].display(),
        .paths[1].display(), .names.join(", ")
    )]
    OtherClasses {
        /// Folders of both parts.
        paths: [PathBuf; 2],
        /// Names that only one part has.
        names: Vec<String>,
    },
    /// A held-out person has fewer than two images.
    #[error(
        "{} has {images} image of held-out identity {identity}: verification needs at least 2 of each", .path.display()
    )]
    Alone {
        /// Folder of the set.
        path: PathBuf,
        /// The person.
        identity: String,
        /// Number of images.
        images: usize,
    },
    /// A loader thread failed.
    #[error("a loader thread failed: {message}")]
    Loader {
        /// Its message.
        message: String,
    },
    /// The images are larger than the network's input.
    #[error("images of {side}x{side} do not fit into data.image_size = {image_size}: raise it")]
    TooLarge {
        /// Side of the images.
        side: usize,
        /// The configured size.
        image_size: usize,
    },
    /// The data set is not the configured one.
    #[error("the images have the fingerprint {found}, but the configuration expects {expected}: this is another set")]
    Fingerprint {
        /// The configured fingerprint.
        expected: String,
        /// Fingerprint of the images that were read.
        found: String,
    },
    /// The data set or the starting weights of a run differ from those that it was measured with.
    #[error(
        "run {run} was measured on {seen}, but the data folder now holds {now}: use another results folder, or set \
         data.fingerprint or start.fingerprint in the experiment to distinguish both"
    )]
    Changed {
        /// The run.
        run: String,
        /// Fingerprint that the run was measured with.
        seen: String,
        /// Current fingerprint.
        now: String,
    },
    /// The training images do not fill one batch.
    #[error("{images} training images do not fill one batch of {batch}: {cause}")]
    TooFew {
        /// Number of training images.
        images: usize,
        /// Batch size.
        batch: usize,
        /// What reduces the number of images, and what to do.
        cause: String,
    },
}

/// Lists the first names and the number of the others.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl DataError {
    /// Makes the error of a failed loader thread from its panic.
    pub(crate) fn loader(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Loader { message: message.unwrap_or_else(|| "no message".to_owned()) }
    }
}
