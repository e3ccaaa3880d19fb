//! The folder of a report's renderings: what in it was written by rendering, and what is the user's.
//!
//! A manifest beside the renderings lists them with their digests. A file that it does not list, or that has other bytes than were
//! written, is the user's: it is never removed and never overwritten, but moved aside where a rendering needs its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sweep_protocol::{create_folders, remove_temporaries, write_atomically};

use crate::{Rendering, ReportError};

/// The manifest's name in the folder.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Whose manifest it is: other programs write files of that name.
const WRITER: &str = "repmlp-sweep";

/// A file of the user's that was met in a folder of renderings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A former rendering that was edited; it is left where it is.
    Edited(PathBuf),
    /// It had the name of a rendering and has another now.
    MovedAside {
        /// Where it was.
        from: PathBuf,
        /// Where it is.
        to: PathBuf,
    },
}

/// What rendering wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    written_by: String,
    /// Name to BLAKE3 digest.
    renderings: BTreeMap<String, String>,
    /// The same of a rendering that was begun and may be written in part: that is ours too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    begun: BTreeMap<String, String>,
}

impl Manifest {
    /// The manifest of these renderings.
    pub(crate) fn of(renderings: &[Rendering]) -> Self {
        let entry = |r: &Rendering| (r.path.to_string_lossy().into_owned(), digest(&r.bytes));
        Self {
            written_by: WRITER.to_owned(),
            renderings: renderings.iter().map(entry).collect(),
            begun: BTreeMap::new(),
        }
    }

    /// The manifest of a folder; nothing where there is none, or a file of that name that is another program's.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(&plain_bytes(&folder.join(MANIFEST)).ok()??).ok()?;
        (manifest.written_by == WRITER).then_some(manifest)
    }

    /// Its file.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, ReportError> {
        let fault = |source| ReportError::Json { path: MANIFEST.into(), source };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(fault)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Names of the listed files. An entry that someone wrote into the manifest to lead elsewhere is passed over.
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

/// Makes a folder hold these renderings and a manifest of them. Former renderings that are no longer asked for are removed if the
/// manifest lists them and they are as they were written; everything else in the folder is left, or moved aside where a rendering
/// needs its name. Links are not followed. Of a folder that an older version rendered, without a manifest, nothing is removed.
///
/// Returns what of the user's was met.
///
/// # Errors
/// When a file cannot be read, written, moved or removed.
pub fn write(folder: &Path, renderings: &[Rendering]) -> Result<Vec<Kept>, ReportError> {
    create_folders(folder).map_err(fault(folder, "creating the folder"))?;
    let former = Manifest::read(folder);
    // An older version wrote no manifest, but always one of these files: then the names of renderings were its own.
    let wrote = |name: &&str| folder.join(name).is_file();
    let is_of_older_version = former.is_none() && ["report.json", "measurements.csv"].iter().any(wrote);
    let current = Manifest::of(renderings);
    let mut kept = Vec::new();
    // An interrupted call leaves files of the new rendering. They must be known before they are written.
    if let Some(former) = former.as_ref().filter(|former| former.renderings != current.renderings) {
        let begun = Manifest { begun: current.renderings.clone(), ..former.clone() };
        let manifest = folder.join(MANIFEST);
        write_atomically(&manifest, &begun.bytes()?).map_err(fault(&manifest, "writing"))?;
    }
    for rendering in renderings {
        let name = rendering.path.to_string_lossy();
        let is_ours = || match &former {
            Some(former) => former.is_as_written(folder, &name),
            None => Ok(is_of_older_version && plain_bytes(&folder.join(&*name))?.is_some()),
        };
        put(folder, rendering, is_ours, &mut kept)?;
    }
    if let Some(former) = &former {
        remove_former(folder, former, &current, &mut kept)?;
    }
    let names: BTreeSet<&str> = former.iter().flat_map(Manifest::names).chain(current.names()).collect();
    let is_ours = |file: &str| file == MANIFEST || names.contains(file);
    remove_temporaries(folder, is_ours).map_err(fault(folder, "removing temporary files"))?;
    let manifest = Rendering { path: MANIFEST.into(), bytes: current.bytes()? };
    put(folder, &manifest, || Ok(former.is_some()), &mut kept)?;
    Ok(kept)
}

/// Writes one file; one that is in its place and not ours is moved aside first.
fn put(
    folder: &Path,
    rendering: &Rendering,
    is_ours: impl FnOnce() -> io::Result<bool>,
    kept: &mut Vec<Kept>,
) -> Result<(), ReportError> {
    let path = folder.join(&rendering.path);
    let reading = fault(&path, "reading");
    if plain_bytes(&path).map_err(&reading)?.is_some_and(|bytes| bytes == rendering.bytes) {
        return Ok(());
    }
    if path.symlink_metadata().is_ok() && !is_ours().map_err(&reading)? {
        let to = free_name(&path);
        fs::rename(&path, &to).map_err(fault(&path, "moving aside"))?;
        kept.push(Kept::MovedAside { from: path.clone(), to });
    }
    write_atomically(&path, &rendering.bytes).map_err(fault(&path, "writing"))
}

/// `<name>.edited-<n>` with the first number that is free.
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

/// The bytes of a file that is no link; nothing where there is none, or something else.
pub(crate) fn plain_bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match path.symlink_metadata() {
        Ok(data) if data.is_file() => fs::read(path).map(Some),
        Ok(_) => Ok(None),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn fault(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> ReportError {
    move |source| ReportError::Io { path: path.to_owned(), doing, source }
}
