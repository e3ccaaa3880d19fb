//! The folder of a report's renderings: which of its files were written by rendering, and which belong to the user.
//!
//! A manifest in the folder lists the renderings with their digests. A file belongs to the user if the manifest does
//! not list it, or if its bytes have changed. Such a file is never removed or overwritten. If a rendering needs its
//! name, the file is moved aside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sweep_protocol::{create_folders, remove_temporaries, write_atomically};

use crate::{Rendering, ReportError};

/// File name of the manifest.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Number of bytes that are read together.
const READ_TOGETHER: usize = 1 << 20;
/// Marks a manifest as ours: other programs also write files named `manifest.json`.
const WRITER: &str = "repmlp-sweep";

/// A file of the user that was found in a folder of renderings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A former rendering that the user edited. It stays in its place.
    Edited(PathBuf),
    /// The file had the name of a rendering and was renamed.
    MovedAside {
        /// Former path.
        from: PathBuf,
        /// New path.
        to: PathBuf,
    },
}

/// The files that rendering wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    written_by: String,
    /// Maps a file name to its BLAKE3 digest.
    renderings: BTreeMap<String, String>,
    /// The same map for a rendering that began and may be incomplete. Its files are ours too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    begun: BTreeMap<String, String>,
}

impl Manifest {
    /// Creates the manifest of these renderings.
    pub(crate) fn of(renderings: &[Rendering]) -> Self {
        let entry = |r: &Rendering| (r.path.to_string_lossy().into_owned(), digest(&r.bytes));
        Self {
            written_by: WRITER.to_owned(),
            renderings: renderings.iter().map(entry).collect(),
            begun: BTreeMap::new(),
        }
    }

    /// Reads the manifest of a folder. Returns `None` if there is none, or if the file was written by another program.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(&plain_bytes(&folder.join(MANIFEST)).ok()??).ok()?;
        (manifest.written_by == WRITER).then_some(manifest)
    }

    /// Returns the content of the manifest file.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, ReportError> {
        let fault = |source| ReportError::Json { path: MANIFEST.into(), source };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(fault)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Returns the names of the listed files. It skips edited entries that would lead out of the folder.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.renderings.keys().chain(self.begun.keys()).map(String::as_str).filter(|name| {
            let mut parts = Path::new(name).components();
            matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == *name)
        })
    }

    /// Whether a file of the folder is listed and has the bytes that were written.
    pub(crate) fn is_as_written(&self, folder: &Path, name: &str) -> io::Result<bool> {
        let written = [self.renderings.get(name), self.begun.get(name)];
        if written == [None, None] {
            return Ok(false);
        }
        Ok(plain_bytes(&folder.join(name))?.is_some_and(|bytes| written.contains(&Some(&digest(&bytes)))))
    }
}

/// Makes a folder hold these renderings and a manifest of them.
///
/// A former rendering that is no longer needed is removed if the manifest lists it and its bytes are unchanged. All
/// other files stay. If a rendering needs the name of such a file, the file is moved aside. Links are not followed.
/// Without a manifest, every file with other bytes than its rendering belongs to the user.
///
/// Returns the files of the user that were found.
///
/// # Errors
/// When a file cannot be read, written, moved or removed.
pub fn write(folder: &Path, renderings: &[Rendering]) -> Result<Vec<Kept>, ReportError> {
    create_folders(folder).map_err(fault(folder, "creating the folder"))?;
    let former = Manifest::read(folder);
    let current = Manifest::of(renderings);
    let mut kept = Vec::new();
    // An interrupted call leaves files of the new rendering. The manifest must list them before they are written.
    if former.as_ref().is_none_or(|former| former.renderings != current.renderings) {
        let listed = former.as_ref().map(|former| former.renderings.clone()).unwrap_or_default();
        let begun = Manifest { renderings: listed, begun: current.renderings.clone(), ..Manifest::of(&[]) };
        let begun = Rendering { path: MANIFEST.into(), bytes: begun.bytes()? };
        put(folder, &begun, || Ok(former.is_some()), &mut kept)?;
    }
    for rendering in renderings {
        let name = rendering.path.to_string_lossy();
        let is_ours = || former.as_ref().map_or(Ok(false), |former| former.is_as_written(folder, &name));
        put(folder, rendering, is_ours, &mut kept)?;
    }
    if let Some(former) = &former {
        remove_former(folder, former, &current, &mut kept)?;
    }
    let names: BTreeSet<&str> = former.iter().flat_map(Manifest::names).chain(current.names()).collect();
    let is_ours = |file: &str| file == MANIFEST || names.contains(file);
    remove_temporaries(folder, is_ours).map_err(fault(folder, "removing temporary files"))?;
    let manifest = Rendering { path: MANIFEST.into(), bytes: current.bytes()? };
    put(folder, &manifest, || Ok(true), &mut kept)?;
    Ok(kept)
}

/// Writes one file. If a file of the user is in its place, that file is moved aside first.
fn put(
    folder: &Path,
    rendering: &Rendering,
    is_ours: impl FnOnce() -> io::Result<bool>,
    kept: &mut Vec<Kept>,
) -> Result<(), ReportError> {
    let path = folder.join(&rendering.path);
    let reading = fault(&path, "reading");
    if has_bytes(&path, &rendering.bytes).map_err(&reading)? {
        return Ok(());
    }
    if path.symlink_metadata().is_ok() && !is_ours().map_err(&reading)? {
        let to = free_name(&path);
        fs::rename(&path, &to).map_err(fault(&path, "moving aside"))?;
        kept.push(Kept::MovedAside { from: path.clone(), to });
    }
    write_atomically(&path, &rendering.bytes).map_err(fault(&path, "writing"))
}

/// Returns `<name>.edited-<n>` with the first free number.
fn free_name(path: &Path) -> PathBuf {
    let numbered = |n: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".edited-{n}"));
        PathBuf::from(name)
    };
    (1..).map(numbered).find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| numbered(0))
}

fn remove_former(
    folder: &Path,
    former: &Manifest,
    current: &Manifest,
    kept: &mut Vec<Kept>,
) -> Result<(), ReportError> {
    for name in former.names().filter(|name| !current.renderings.contains_key(*name)) {
        let path = folder.join(name);
        if path.symlink_metadata().is_err() {
            continue;
        }
        if former.is_as_written(folder, name).map_err(fault(&path, "reading"))? {
            fs::remove_file(&path).map_err(fault(&path, "removing"))?;
        } else {
            kept.push(Kept::Edited(path));
        }
    }
    Ok(())
}

/// Reads the bytes of a regular file. Returns `None` if the path is a link, something else, or does not exist.
pub(crate) fn plain_bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match path.symlink_metadata() {
        Ok(data) if data.is_file() => fs::read(path).map(Some),
        Ok(_) => Ok(None),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Whether a path is a regular file with these bytes. The file is read in parts, since it may have many megabytes.
fn has_bytes(path: &Path, mut expected: &[u8]) -> io::Result<bool> {
    let is_likely = match path.symlink_metadata() {
        Ok(data) => data.is_file() && data.len() == expected.len() as u64,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => false,
        Err(fault) => return Err(fault),
    };
    if !is_likely {
        return Ok(false);
    }
    let mut file = BufReader::with_capacity(READ_TOGETHER, File::open(path)?);
    loop {
        let part = file.fill_buf()?;
        match expected.split_at_checked(part.len()) {
            Some((expected_part, rest)) if expected_part == part => expected = rest,
            _ => return Ok(false),
        }
        let read = part.len();
        if read == 0 {
            return Ok(expected.is_empty());
        }
        file.consume(read);
    }
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn fault(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> ReportError {
    move |source| ReportError::Io { path: path.to_owned(), doing, source }
}
