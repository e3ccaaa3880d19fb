//! Remembers digests of image files, so that a set is hashed once and not by every attempt.
//!
//! There is one file for each set, below the results folder. An entry counts while its file has the same size and the
//! same times of its last changes (nanoseconds), of content and of metadata. A tool that restores the modification time
//! of a changed file does not deceive it. The cache is only a cache: a damaged or missing file costs time, nothing
//! else. The scheduler writes it; attempts read it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sweep_protocol::{create_folders, read_regular_file, write_atomically};

use crate::data::files::Stamp;
use crate::data::image::Ids;

/// First word of a cache file.
const FORMAT: &str = "digests-2";

/// What is known about the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Height and width.
    pub(crate) size: (usize, usize),
    /// Ids that occur in a mask.
    pub(crate) ids: Option<Ids>,
}

/// How a file was looked at. Facts of one way do not count for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The header of an image.
    Header,
    /// All pixels of an image, decoded to this number of channels.
    Pixels { channels: usize },
    /// A mask with this number of classes and this ignored id.
    Mask { classes: usize, ignore: u8 },
}

impl Look {
    /// Whether facts that were found by `self` count where `wanted` is asked for.
    fn covers(self, wanted: Self) -> bool {
        self == wanted || matches!((self, wanted), (Self::Pixels { .. }, Self::Header))
    }

    fn word(self) -> String {
        match self {
            Self::Header => "header".to_owned(),
            Self::Pixels { channels } => format!("pixels-{channels}"),
            Self::Mask { classes, ignore } => format!("mask-{classes}-{ignore}"),
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let mut parts = word.split('-');
        let look = match (parts.next()?, parts.next(), parts.next()) {
            ("header", None, None) => Self::Header,
            ("pixels", Some(channels), None) => Self::Pixels { channels: channels.parse().ok()? },
            ("mask", Some(classes), Some(ignore)) => {
                Self::Mask { classes: classes.parse().ok()?, ignore: ignore.parse().ok()? }
            }
            _ => return None,
        };
        parts.next().is_none().then_some(look)
    }
}

/// An entry: the file as it was, how it was looked at, its digest, and what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    stamp: Stamp,
    look: Look,
    digest: blake3::Hash,
    facts: Facts,
}

/// The digests of all sets of a sweep.
#[derive(Debug)]
pub struct DigestCache {
    folder: PathBuf,
    sets: Mutex<BTreeMap<PathBuf, Set>>,
}

#[derive(Debug, Default)]
struct Set {
    entries: BTreeMap<String, Entry>,
    is_changed: bool,
}

impl DigestCache {
    /// Creates the cache whose files lie in this folder. The folder need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), sets: Mutex::default() }
    }

    /// Returns digest and facts of a file of a set, if it is unchanged since it was looked at in this way.
    pub(crate) fn get(&self, set: &Path, name: &str, stamp: &Stamp, look: Look) -> Option<(blake3::Hash, Facts)> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sets.entry(set.to_owned()).or_insert_with(|| self.read(set));
        let entry = known.entries.get(name)?;
        (entry.stamp == *stamp && entry.look.covers(look)).then_some((entry.digest, entry.facts))
    }

    /// Remembers a file of a set.
    pub(crate) fn add(
        &self,
        (set, name): (&Path, &str),
        (stamp, look): (&Stamp, Look),
        (digest, facts): (blake3::Hash, Facts),
    ) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sets.entry(set.to_owned()).or_insert_with(|| self.read(set));
        let entry = Entry { stamp: *stamp, look, digest, facts };
        known.is_changed |= known.entries.insert(name.to_owned(), entry) != Some(entry);
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// When a file cannot be written. The next call then hashes again.
    pub fn save(&self) -> io::Result<()> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, set) in sets.iter_mut().filter(|(_, set)| set.is_changed) {
            create_folders(&self.folder)?;
            write_atomically(&self.file(path), text_of(path, &set.entries).as_bytes())?;
            set.is_changed = false;
        }
        Ok(())
    }

    fn file(&self, set: &Path) -> PathBuf {
        let name = blake3::hash(set.as_os_str().as_encoded_bytes()).to_hex();
        self.folder.join(format!("{}.txt", &name[..16]))
    }

    fn read(&self, set: &Path) -> Set {
        let bytes = read_regular_file(&self.file(set)).unwrap_or_default();
        let entries = String::from_utf8(bytes).ok().and_then(|text| entries_of(set, &text));
        Set { entries: entries.unwrap_or_default(), is_changed: false }
    }
}

/// The first line names the format, the digest of the rest, and the set. Each other line is an entry.
fn text_of(set: &Path, entries: &BTreeMap<String, Entry>) -> String {
    let mut lines = String::new();
    for (name, Entry { stamp, look, digest, facts }) in entries {
        let ids = facts.ids.map_or_else(|| "-".to_owned(), Ids::to_hex);
        let (h, w) = facts.size;
        let Stamp { size, modified: (ms, mn), changed: (cs, cn) } = stamp;
        let (look, digest) = (look.word(), digest.to_hex());
        writeln!(lines, "{size} {ms} {mn} {cs} {cn} {look} {digest} {h} {w} {ids} {name}")
            .expect("writing to a string cannot fail");
    }
    format!("{FORMAT} {} {}\n{lines}", blake3::hash(lines.as_bytes()).to_hex(), set.display())
}

fn entries_of(set: &Path, text: &str) -> Option<BTreeMap<String, Entry>> {
    let (head, lines) = text.split_once('\n')?;
    if head != format!("{FORMAT} {} {}", blake3::hash(lines.as_bytes()).to_hex(), set.display()) {
        return None;
    }
    lines.lines().map(entry_of).collect()
}

fn entry_of(line: &str) -> Option<(String, Entry)> {
    let mut words = line.splitn(11, ' ');
    let mut next = || words.next();
    let size = next()?.parse().ok()?;
    let modified = (next()?.parse().ok()?, next()?.parse().ok()?);
    let changed = (next()?.parse().ok()?, next()?.parse().ok()?);
    let stamp = Stamp { size, modified, changed };
    let (look, digest) = (Look::parse(next()?)?, blake3::Hash::from_hex(next()?).ok()?);
    let size = (next()?.parse().ok()?, next()?.parse().ok()?);
    let ids = match next()? {
        "-" => None,
        hex => Some(Ids::from_hex(hex)?),
    };
    let facts = Facts { size, ids };
    Some((next()?.to_owned(), Entry { stamp, look, digest, facts }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(size: u64, nanoseconds: i64) -> Stamp {
        Stamp { size, modified: (7, nanoseconds), changed: (8, 9) }
    }

    #[test]
    fn an_entry_counts_while_its_file_is_the_same_and_was_looked_at_enough() {
        let folder = tempfile::tempdir().unwrap();
        let set = Path::new("/data/own");
        let pixels = Look::Pixels { channels: 3 };
        let mask = Look::Mask { classes: 5, ignore: 255 };
        let image = (blake3::hash(b"a"), Facts { size: (4, 6), ids: None });
        let of_mask = (blake3::hash(b"b"), Facts { size: (4, 6), ids: Some(Ids::of(&[0, 4, 255])) });
        let cache = DigestCache::new(folder.path().join("digests"));
        assert_eq!(cache.get(set, "a b.png", &stamp(5, 1), pixels), None);
        cache.add((set, "a b.png"), (&stamp(5, 1), pixels), image);
        cache.add((set, "m.png"), (&stamp(6, 1), mask), of_mask);
        cache.save().unwrap();

        let again = DigestCache::new(folder.path().join("digests"));
        assert_eq!(again.get(set, "a b.png", &stamp(5, 1), pixels), Some(image));
        assert_eq!(again.get(set, "a b.png", &stamp(5, 1), Look::Header), Some(image));
        assert_eq!(again.get(set, "m.png", &stamp(6, 1), mask), Some(of_mask));
        for (name, stamp, look) in [
            ("a b.png", stamp(5, 2), pixels),
            ("a b.png", stamp(4, 1), pixels),
            ("a b.png", Stamp { changed: (8, 10), ..stamp(5, 1) }, pixels),
            ("a b.png", stamp(5, 1), Look::Pixels { channels: 1 }),
            ("m.png", stamp(6, 1), Look::Mask { classes: 6, ignore: 255 }),
            ("other.png", stamp(5, 1), pixels),
        ] {
            assert_eq!(again.get(set, name, &stamp, look), None, "{name}");
        }
        assert_eq!(again.get(Path::new("/data/other"), "a b.png", &stamp(5, 1), pixels), None);

        let file = again.file(set);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(" 4 6 ", " 4 7 ")).unwrap();
        let damaged = DigestCache::new(folder.path().join("digests"));
        assert_eq!(damaged.get(set, "a b.png", &stamp(5, 1), pixels), None, "a damaged file is not used");
    }
}
