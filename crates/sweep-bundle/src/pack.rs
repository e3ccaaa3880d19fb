//! Writes bundles. The same files give the same bytes: entries are sorted, and have no times and no owners.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sweep_protocol::sync_folder;
use tar::{Builder, EntryType, Header};

use crate::error::BundleError;
use crate::manifest::{FORMAT, FileRecord, MANIFEST, Manifest, Origin};
use crate::place::check_place;
use crate::unpack::is_bundle;

/// Content of a file in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The bytes of a file.
    File(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Writes a bundle with these files, by their places. The archive is written completely or not at all.
///
/// # Errors
/// When a place is not allowed, a file cannot be read or changes meanwhile, the archive cannot be written, or something
/// else than a bundle has its name.
pub fn pack(out: &Path, origin: Origin, files: &BTreeMap<String, Content>) -> Result<Manifest, BundleError> {
    let mut records = BTreeMap::new();
    for (place, content) in files {
        check_place(place)?;
        records.insert(place.clone(), content.record()?);
    }
    let manifest = Manifest { format: FORMAT, origin, files: records };
    if out.symlink_metadata().is_ok() && !is_bundle(out) {
        return Err(BundleError::InTheWay { path: out.to_owned() });
    }
    let partial = with_ending(out, &format!(".{}.partial", std::process::id()));
    let unwritable = |source| BundleError::Io { path: out.to_owned(), doing: "written", source };
    let written = write(&partial, &manifest, files)
        .and_then(|()| fs::rename(&partial, out).and_then(|()| sync_folder(parent(out))).map_err(unwritable));
    if written.is_err() {
        // What could be written is no bundle. A failure here hides no other.
        let _removed: io::Result<()> = fs::remove_file(&partial);
    }
    written.map(|()| manifest)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

impl Content {
    fn record(&self) -> Result<FileRecord, BundleError> {
        match self {
            Self::Bytes(bytes) => Ok(FileRecord {
                size: bytes.len() as u64,
                digest: blake3::hash(bytes).to_hex().to_string(),
                executable: false,
            }),
            Self::File(path) => {
                let unreadable = |source| BundleError::Io { path: path.clone(), doing: "read", source };
                let found = fs::metadata(path).map_err(unreadable)?;
                if !found.is_file() {
                    return Err(unreadable(io::Error::other("it is not a regular file")));
                }
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(File::open(path).map_err(unreadable)?).map_err(unreadable)?;
                let executable = found.permissions().mode() & 0o100 != 0;
                Ok(FileRecord { size: hasher.count(), digest: hasher.finalize().to_hex().to_string(), executable })
            }
        }
    }
}

fn write(path: &Path, manifest: &Manifest, files: &BTreeMap<String, Content>) -> Result<(), BundleError> {
    let unwritable = |source| BundleError::Io { path: path.to_owned(), doing: "written", source };
    let text = serde_json::to_vec_pretty(manifest).map_err(|fault| unwritable(fault.into()))?;
    let file = File::create_new(path).map_err(unwritable)?;
    let mut archive = Builder::new(GzEncoder::new(BufWriter::new(file), Compression::default()));
    add(&mut archive, (MANIFEST, text.len() as u64, 0o644), text.as_slice()).map_err(unwritable)?;
    for (place, content) in files {
        let FileRecord { size, digest, executable } = &manifest.files[place];
        let mode = if *executable { 0o755 } else { 0o644 };
        match content {
            Content::Bytes(bytes) => {
                add(&mut archive, (place, *size, mode), bytes.as_slice()).map_err(unwritable)?;
            }
            Content::File(from) => {
                let unreadable = |source| BundleError::Io { path: from.clone(), doing: "read", source };
                let changed = || unreadable(io::Error::other("it changed while the bundle was written"));
                let mut reader = Hashing { from: File::open(from).map_err(unreadable)?, hasher: blake3::Hasher::new() };
                add(&mut archive, (place, *size, mode), (&mut reader).take(*size)).map_err(unwritable)?;
                if reader.hasher.finalize().to_hex().as_str() != digest {
                    return Err(changed());
                }
            }
        }
    }
    let compressed = archive.into_inner().map_err(unwritable)?;
    let mut file = compressed.finish().and_then(|file| Ok(file.into_inner()?)).map_err(unwritable)?;
    file.flush().and_then(|()| file.sync_all()).map_err(unwritable)
}

/// Reads a file and computes its digest.
struct Hashing {
    from: File,
    hasher: blake3::Hasher,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

fn add(archive: &mut Builder<impl Write>, (place, size, mode): (&str, u64, u32), content: impl Read) -> io::Result<()> {
    // This form has room for long paths in the header itself, so no entry is needed that only names the next one.
    let mut header = Header::new_ustar();
    header.set_path(place)?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_cksum();
    archive.append(&header, content)
}
