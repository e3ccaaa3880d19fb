//! Unpacks bundles. Nothing in an archive is trusted before its digest is checked.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};

use crate::error::BundleError;
use crate::manifest::{FORMAT, FileRecord, MANIFEST, Manifest};
use crate::place::check_place;

/// Largest manifest: a million files.
const MOST_MANIFEST: u64 = 256 * 1024 * 1024;
/// Zeros after the last file: tar fills up its last block.
const MOST_PADDING: u64 = 1024 * 1024;
/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Unpacks a bundle into an empty folder, and returns its manifest. If it fails, the folder has some of the files.
///
/// # Errors
/// When the archive is damaged or no bundle, has a file that its manifest does not list, or lacks one, or a file cannot
/// be written.
pub fn unpack(bundle: &Path, into: &Path) -> Result<Manifest, BundleError> {
    let unreadable = |source| BundleError::Io { path: bundle.to_owned(), doing: "read", source };
    let damaged = |reason: String| BundleError::Damaged { path: bundle.to_owned(), reason };
    let file = File::open(bundle).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(damaged("it is not a regular file".to_owned()));
    }
    let mut archive = Archive::new(GzDecoder::new(BufReader::new(file)));
    // Raw: other entries than files, such as one that only names the next, are refused and never read into memory.
    let mut entries = archive.entries().map_err(|fault| damaged(fault.to_string()))?.raw(true);
    let mut manifest: Option<Manifest> = None;
    let mut found = BTreeSet::new();
    for entry in &mut entries {
        let mut entry = entry.map_err(|fault| damaged(fault.to_string()))?;
        let place = String::from_utf8(entry.path_bytes().into_owned());
        let place = place.map_err(|_| damaged("it has a file whose name is not UTF-8 text".to_owned()))?;
        if entry.header().entry_type() != EntryType::Regular {
            return Err(damaged(format!("`{}` is not a regular file", place.escape_debug())));
        }
        let Some(known) = &manifest else {
            if place != MANIFEST {
                return Err(damaged(format!("its first file must be {MANIFEST}")));
            }
            manifest = Some(read_manifest(bundle, &mut entry)?);
            continue;
        };
        let Some(record) = known.files.get(&place) else {
            return Err(damaged(format!("`{}` is not in its manifest", place.escape_debug())));
        };
        if !found.insert(place.clone()) {
            return Err(damaged(format!("`{place}` occurs twice")));
        }
        write_file(&mut entry, &into.join(&place), record)?.map_err(|reason| damaged(format!("`{place}` {reason}")))?;
    }
    // The end of the archive has the checksum of the compressed bytes.
    let mut end = archive.into_inner().take(MOST_PADDING);
    io::copy(&mut end, &mut io::sink()).map_err(|fault| damaged(fault.to_string()))?;
    if end.limit() == 0 {
        return Err(damaged("more follows after its last file".to_owned()));
    }
    let manifest = manifest.ok_or_else(|| damaged(format!("it has no {MANIFEST}")))?;
    match manifest.files.keys().find(|place| !found.contains(*place)) {
        Some(lost) => Err(damaged(format!("`{lost}` is missing"))),
        None => Ok(manifest),
    }
}

/// Whether a file is a bundle, as far as its first file tells.
pub(crate) fn is_bundle(path: &Path) -> bool {
    let first = || {
        let file = File::open(path).ok()?;
        let mut archive = Archive::new(GzDecoder::new(BufReader::new(file)));
        let mut entry = archive.entries().ok()?.raw(true).next()?.ok()?;
        (entry.path_bytes().as_ref() == MANIFEST.as_bytes()).then(|| read_manifest(path, &mut entry).ok())?
    };
    first().is_some()
}

/// The part of a manifest that every format has.
#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

fn read_manifest(bundle: &Path, entry: &mut impl Read) -> Result<Manifest, BundleError> {
    let damaged = |reason: String| BundleError::Damaged { path: bundle.to_owned(), reason };
    let mut text = Vec::new();
    entry.take(MOST_MANIFEST + 1).read_to_end(&mut text).map_err(|fault| damaged(fault.to_string()))?;
    if text.len() as u64 > MOST_MANIFEST {
        return Err(damaged(format!("{MANIFEST} is too large")));
    }
    let unreadable = |fault: serde_json::Error| damaged(format!("{MANIFEST} cannot be read: {fault}"));
    let Format { format } = serde_json::from_slice(&text).map_err(unreadable)?;
    if format > FORMAT {
        return Err(BundleError::Newer { path: bundle.to_owned(), found: format, known: FORMAT });
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(unreadable)?;
    manifest.files.keys().try_for_each(|place| check_place(place))?;
    Ok(manifest)
}

/// Writes a file, and compares it with its record. The inner error is a reason why they differ.
fn write_file(entry: &mut impl Read, path: &Path, record: &FileRecord) -> Result<Result<(), String>, BundleError> {
    let unwritable = |source| BundleError::Io { path: path.to_owned(), doing: "written", source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(unwritable)?;
    }
    let mode = if record.executable { 0o755 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(unwritable)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; PIECE];
    loop {
        let count = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
            Err(fault) => return Ok(Err(format!("cannot be unpacked: {fault}"))),
        };
        hasher.update(&buffer[..count]);
        if hasher.count() > record.size {
            return Ok(Err("is larger than its manifest says".to_owned()));
        }
        file.write_all(&buffer[..count]).map_err(unwritable)?;
    }
    file.sync_all().map_err(unwritable)?;
    if hasher.count() != record.size || hasher.finalize().to_hex().as_str() != record.digest {
        return Ok(Err("is not what its manifest says".to_owned()));
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::manifest::Origin;
    use crate::pack::{Content, pack};

    fn origin() -> Origin {
        Origin {
            program: "p 1".to_owned(),
            code: vec!["1 abc".to_owned()],
            experiment: "e".to_owned(),
            profile: "default".to_owned(),
        }
    }

    fn files() -> BTreeMap<String, Content> {
        let bytes = |text: &str| Content::Bytes(text.as_bytes().to_vec());
        let long = format!("a/{}/{}/c", "long".repeat(20), "longer".repeat(14));
        [("b.txt", bytes("two")), ("a/x.json", bytes("{}")), (&long, bytes("")), ("big", bytes(&"x".repeat(200_000)))]
            .map(|(place, content)| (place.to_owned(), content))
            .into()
    }

    /// Entries of an archive: place, kind and content.
    type Entries<'a> = Vec<(&'a str, EntryType, &'a [u8])>;

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn bundle(&self) -> PathBuf {
            self.folder.path().join("x.tar.gz")
        }

        fn unpacked(&self) -> Result<Manifest, String> {
            let into = tempfile::tempdir_in(self.folder.path()).unwrap();
            let manifest = unpack(&self.bundle(), into.path()).map_err(|fault| fault.to_string())?;
            for (place, content) in files() {
                let Content::Bytes(bytes) = content else { continue };
                if manifest.files.contains_key(&place) {
                    assert_eq!(fs::read(into.path().join(place)).unwrap(), bytes);
                }
            }
            Ok(manifest)
        }

        /// Writes an archive of these entries.
        fn archive(&self, entries: &[(&str, EntryType, &[u8])]) {
            let file = File::create(self.bundle()).unwrap();
            let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
            for (place, kind, content) in entries {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(*kind);
                header.set_size(content.len() as u64);
                // Written raw, since the library refuses such names.
                header.as_gnu_mut().unwrap().name[..place.len()].copy_from_slice(place.as_bytes());
                header.set_link_name("/etc/passwd").unwrap();
                header.set_cksum();
                archive.append(&header, *content).unwrap();
            }
            archive.into_inner().unwrap().finish().unwrap();
        }
    }

    fn manifest_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let record = |content: &[u8]| FileRecord {
            size: content.len() as u64,
            digest: blake3::hash(content).to_hex().to_string(),
            executable: false,
        };
        let files = files.iter().map(|(place, content)| ((*place).to_owned(), record(content))).collect();
        serde_json::to_vec(&Manifest { format: FORMAT, origin: origin(), files }).unwrap()
    }

    #[test]
    fn what_was_packed_is_unpacked_and_the_same_files_give_the_same_bytes() {
        let place = Place::new();
        let written = pack(&place.bundle(), origin(), &files()).unwrap();
        let bytes = fs::read(place.bundle()).unwrap();
        assert_eq!(place.unpacked().unwrap(), written);
        pack(&place.bundle(), origin(), &files()).unwrap();
        assert_eq!(fs::read(place.bundle()).unwrap(), bytes);
        assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 1, "no part is left");
        fs::write(place.bundle(), "mine").unwrap();
        let fault = pack(&place.bundle(), origin(), &files()).unwrap_err().to_string();
        assert!(fault.contains("is no bundle"), "{fault}");
        assert_eq!(fs::read(place.bundle()).unwrap(), b"mine");
    }

    #[test]
    fn a_damaged_archive_never_unpacks_to_something_else() {
        let place = Place::new();
        let written = pack(&place.bundle(), origin(), &files()).unwrap();
        let bytes = fs::read(place.bundle()).unwrap();
        for at in (0..bytes.len()).step_by(7) {
            fs::write(place.bundle(), &bytes[..at]).unwrap();
            assert!(place.unpacked().is_err(), "cut at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            fs::write(place.bundle(), changed).unwrap();
            // A header of gzip has bytes without a meaning, such as the system that wrote it.
            if let Ok(found) = place.unpacked() {
                assert_eq!(found, written, "byte {at}");
            }
        }
    }

    #[test]
    fn hostile_archives_are_refused() {
        let place = Place::new();
        let regular = EntryType::Regular;
        let good = manifest_of(&[("a", b"1")]);
        let cases: Vec<(Entries<'_>, &str)> = vec![
            (vec![], "it has no bundle.json"),
            (vec![("a", regular, b"1")], "its first file must be bundle.json"),
            (vec![(MANIFEST, regular, b"{}")], "bundle.json cannot be read"),
            (vec![(MANIFEST, regular, br#"{"format":9,"x":1}"#)], "has format 9"),
            (vec![(MANIFEST, regular, &good)], "`a` is missing"),
            (vec![(MANIFEST, regular, &good), ("a", regular, b"2")], "`a` is not what its manifest says"),
            (vec![(MANIFEST, regular, &good), ("a", regular, b"11")], "`a` is larger than its manifest says"),
            (vec![(MANIFEST, regular, &good), ("b", regular, b"1")], "`b` is not in its manifest"),
            (vec![(MANIFEST, regular, &good), ("a", regular, b"1"), ("a", regular, b"1")], "`a` occurs twice"),
            (vec![(MANIFEST, regular, &good), ("a", EntryType::Symlink, b"")], "`a` is not a regular file"),
            (vec![(MANIFEST, regular, &good), ("a", EntryType::Link, b"")], "`a` is not a regular file"),
            (vec![(MANIFEST, regular, &good), ("d", EntryType::Directory, b"")], "`d` is not a regular file"),
            (vec![(MANIFEST, regular, &good), ("n", EntryType::GNULongName, b"x")], "`n` is not a regular file"),
            (vec![(MANIFEST, regular, &good), ("n", EntryType::XHeader, b"x")], "`n` is not a regular file"),
        ];
        for (entries, expected) in cases {
            place.archive(&entries);
            let fault = place.unpacked().unwrap_err();
            assert!(fault.contains(expected), "{fault}\n{expected}");
        }
        for outside in ["../a", "/tmp/a", ".git/config", "a/../../b"] {
            let manifest = manifest_of(&[(outside, b"1")]);
            place.archive(&[(MANIFEST, regular, &manifest), (outside, regular, b"1")]);
            let fault = place.unpacked().unwrap_err();
            assert!(fault.contains("cannot be in a bundle"), "{fault}");
        }
    }

    #[test]
    fn files_that_cannot_be_packed_are_named() {
        let place = Place::new();
        let absent = Content::File(place.folder.path().join("absent"));
        let fault = pack(&place.bundle(), origin(), &[("a".to_owned(), absent)].into()).unwrap_err().to_string();
        assert!(fault.ends_with("absent cannot be read"), "{fault}");
        let folder = Content::File(place.folder.path().to_owned());
        assert!(pack(&place.bundle(), origin(), &[("a".to_owned(), folder)].into()).is_err());
        let fault = pack(&place.bundle(), origin(), &[("../a".to_owned(), Content::Bytes(vec![]))].into());
        assert!(fault.unwrap_err().to_string().contains("starts with a dot"));
        assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
