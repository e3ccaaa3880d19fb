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
    /// A folder has images that nobody would read.
    #[error(
        "{} has {count} images in formats that are not read ({names}): convert them to PNG or JPEG, or move them away",
        .folder.display()
    )]
    OtherFormats {
        /// Which folder.
        folder: PathBuf,
        /// How many.
        count: usize,
        /// Their names, as text.
        names: String,
    },
    /// An image of a format that is not read, under the name of another.
    #[error("{} is a {name} image, whatever its name says: convert it to PNG or JPEG", .path.display())]
    OtherFormat {
        /// Which file.
        path: PathBuf,
        /// The format.
        name: &'static str,
    },
    /// Images lie beside the folders that they belong in.
    #[error(
        "{} has {count} images outside of its folders, one for each class ({names}): move them into one, or away",
        .folder.display()
    )]
    Outside {
        /// Which folder.
        folder: PathBuf,
        /// How many.
        count: usize,
        /// Their names, as text.
        names: String,
    },
    /// A name that cannot be written down.
    #[error("{} has a name that is no UTF-8: {name}; rename it", .folder.display())]
    NoText {
        /// The folder that it lies in.
        folder: PathBuf,
        /// The name, as far as it can be shown.
        name: String,
    },
    /// Two masks for one image.
    #[error("{} and {} are masks of the same image: leave one of them", .paths[0].display(), .paths[1].display())]
    TwoMasks {
        /// Both.
        paths: [PathBuf; 2],
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
    /// A file is not what it was when the set was read.
    #[error(
        "{} has changed since the set was read: a run sees one set from its first epoch to its last. Bring the file back, or \
         do the run again with the new one", .path.display()
    )]
    ChangedFile {
        /// Which file.
        path: PathBuf,
    },
    /// An image has more pixels than are allowed.
    #[error(
        "{} has {width}x{height} pixels, more than {limit} (data.pixel_limit): raise the limit if they are meant", .path.display()
    )]
    TooManyPixels {
        /// Which file.
        path: PathBuf,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// What the configuration allows.
        limit: usize,
    },
    /// An image is no mask.
    #[error(
        "{} is no mask but {found}: masks are PNGs of class ids, grey or with a palette, of 1, 2, 4 or 8 bits", .path.display()
    )]
    NoMask {
        /// Which file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// A mask has another size than its image.
    #[error(
        "{} has {}x{} pixels, its image has {}x{}: both must have the same", .path.display(), .mask.1, .mask.0, .image.1,
        .image.0
    )]
    MaskSize {
        /// The mask.
        path: PathBuf,
        /// Height and width of its image.
        image: (usize, usize),
        /// Its own.
        mask: (usize, usize),
    },
    /// A mask has an id that is no class.
    #[error(
        "{} has pixels of {id}, which is no class (data.source.classes = {classes}) and not the id to leave out \
         (data.source.ignore = {ignore}): correct the mask or these keys", .path.display()
    )]
    MaskId {
        /// The mask.
        path: PathBuf,
        /// The id.
        id: u8,
        /// Ids of classes are below it.
        classes: usize,
        /// Id of pixels that do not count.
        ignore: u8,
    },
    /// A class has nothing to be learned from.
    #[error(
        "the set `{set}` has no training {thing} of class{} {classes}.{hint} Correct the labels, lower data.source.{key}, or name \
         what is meant to be missing in data.absent_classes", if *.count == 1 { "" } else { "es" }
    )]
    NeverOccurs {
        /// Which set.
        set: String,
        /// What would be needed.
        thing: &'static str,
        /// Classes, as text.
        classes: String,
        /// How many.
        count: usize,
        /// What may be the cause.
        hint: String,
        /// The key that says how many classes there are.
        key: &'static str,
    },
    /// A class that should be missing is there.
    #[error("the set `{set}` has training images of class {class}, which data.absent_classes says are missing")]
    Present {
        /// Which set.
        set: String,
        /// Which class.
        class: u32,
    },
    /// No pixel of a part counts.
    #[error(
        "the set `{set}` has nothing to judge in its {part} part: every pixel of the masks of its {images} images is {ignore} \
         (data.source.ignore), which does not count. Correct the masks, data.source.ignore or the limits of the part"
    )]
    NothingJudged {
        /// Which set.
        set: String,
        /// Which part.
        part: &'static str,
        /// Its images.
        images: usize,
        /// Id of pixels that do not count.
        ignore: u8,
    },
    /// A whole file that the configuration does not fit.
    #[error(
        "{} has {found} where the configuration expects {expected}: correct the configuration, or the file if it is not whole",
        .path.display()
    )]
    Misfit {
        /// Which file.
        path: PathBuf,
        /// What the configuration asks for, with its keys.
        expected: String,
        /// What it has.
        found: String,
    },
    /// A file unpacks to more than images do.
    #[error("{} unpacks to more than {size} bytes, over 100 times its size: these are no images", .path.display())]
    Unpacked {
        /// Which file.
        path: PathBuf,
        /// Bytes that were unpacked.
        size: usize,
    },
    /// No pixel of the masks of a part counts any more.
    #[error(
        "no pixel that counts is left of the masks of an evaluation at data.image_size = {image_size}: raise it, or correct the \
         masks"
    )]
    NothingLeft {
        /// What the configuration says.
        image_size: usize,
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
    /// Two folders could be Test.
    #[error("{} has both test/ and val/, and nothing says which of them is Test: {remedy}", .folder.display())]
    TwoTests {
        /// The set.
        folder: PathBuf,
        /// What settles it.
        remedy: &'static str,
    },
    /// People of Test are trained on.
    #[error("{} and {} share people, who are not held out then: {names}", .paths[0].display(), .paths[1].display())]
    NotHeldOut {
        /// Both parts.
        paths: [PathBuf; 2],
        /// Names of their folders, as text.
        names: String,
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
    /// A run was measured on other images, or from other weights, under the same name.
    #[error(
        "run {run} was measured on {seen}, the data folder holds {now}: use another results folder, or tell both \
         apart with data.fingerprint or start.fingerprint in the experiment"
    )]
    Changed {
        /// Which run.
        run: String,
        /// Fingerprint of what it saw.
        seen: String,
        /// Fingerprint of what is there.
        now: String,
    },
    /// The set has fewer images than one batch.
    #[error("{images} training images do not fill one batch of {batch}: {cause}")]
    TooFew {
        /// Training images.
        images: usize,
        /// Images of a batch.
        batch: usize,
        /// What leaves so few, and what helps.
        cause: String,
    },
}

/// The first of some names, and how many more there are.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl DataError {
    /// What a thread that made batches said when it broke down.
    pub(crate) fn loader(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Loader { message: message.unwrap_or_else(|| "it left no message".to_owned()) }
    }
}
