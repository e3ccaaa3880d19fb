//! Writes that survive a power cut: what a caller is told is written is on the disk, and so is the folder entry that leads to it.
//!
//! Knows files and folders, not what they hold.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Ends the names of temporary files of [`write_atomically`].
const TEMPORARY: &str = ".tmp";

/// Writes a file so that a reader finds the old content or the new, never a part: temporary file, fsync, rename, fsync of
/// the folder.
///
/// # Errors
/// When any of these steps fails; the old content is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_then(path, bytes, |temporary| fs::rename(temporary, path))
}

/// Makes a file with this content, or leaves the one that is there. Nobody ever finds a part of the content, also after a
/// power cut.
///
/// # Errors
/// When a step fails.
pub fn create_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_then(path, bytes, |temporary| {
        match fs::hard_link(temporary, path) {
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) if path.symlink_metadata().is_ok() => {}
            // This file system knows no second name of a file.
            Err(_) => return fs::rename(temporary, path),
            Ok(()) => {}
        }
        fs::remove_file(temporary)
    })
}

/// Writes a temporary file beside `path`, which `put` gives its place.
fn write_then(path: &Path, bytes: &[u8], put: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(path);
    let mut name = path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?.to_owned();
    name.push(format!(".{}{TEMPORARY}", std::process::id()));
    let temporary = folder.join(name);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| put(&temporary));
    if written.is_err() {
        // The first fault is the one to tell; a temporary file that stays is removed by the next cleaning.
        drop(fs::remove_file(&temporary));
        return written;
    }
    sync_folder(&folder)
}

/// Whether a file's name is that of a temporary file of [`write_atomically`], whose process may have been killed.
pub fn is_temporary(name: &str) -> bool {
    let stem = name.strip_suffix(TEMPORARY).and_then(|name| name.rsplit_once('.'));
    stem.is_some_and(|(file, pid)| !file.is_empty() && !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Makes a folder and those above it that are missing; the entry of each new one is on the disk when this returns.
///
/// # Errors
/// When a folder cannot be made or synced.
pub fn create_folders(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Err(fault) if fault.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => return Err(fault),
            _ => sync_folder(&folder_of(folder))?,
        }
    }
    Ok(())
}

/// Makes one folder that must not exist yet; its entry is on the disk when this returns.
///
/// # Errors
/// When it exists, or cannot be made or synced.
pub fn create_new_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    sync_folder(&folder_of(path))
}

/// Makes the entries of a folder durable: after a file in it was made, renamed or removed.
///
/// # Errors
/// When the folder cannot be opened or synced. File systems that know no sync of folders are taken as they are.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(fault) if matches!(fault.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => Ok(()),
        synced => synced,
    }
}

/// The folder that a path's last name lies in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for content in ["old", "new"] {
            write_atomically(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_atomically(&folder.path().join("missing/a.json"), b"x").is_err());
    }

    #[test]
    fn a_file_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        for content in ["first", "second"] {
            create_atomically(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(create_atomically(&folder.path().join("missing/lock"), b"x").is_err());
    }

    #[test]
    fn temporary_files_are_told_from_others() {
        assert!(is_temporary("a.json.71.tmp") && is_temporary("checkpoint-5.safetensors.9.tmp"));
        for other in ["a.tmp", "a.json", "a.x7.tmp", ".71.tmp", "a..tmp", "notes.2024.tmp.md"] {
            assert!(!is_temporary(other), "{other}");
        }
    }

    #[test]
    fn folders_are_made_down_to_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_folders(&deep).unwrap();
        create_folders(&deep).unwrap();
        assert!(deep.is_dir());
        assert!(create_new_folder(&deep).is_err());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(create_folders(&folder.path().join("file/below")).is_err());
    }
}
