//! Writes that survive a power cut. When a function returns, the content and the folder entry of the file are on the
//! disk.
//!
//! This module knows files and folders, but not their contents.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Suffix of the temporary files of [`write_atomically`]: `<file>.<process>.tmp`.
const TEMPORARY: &str = ".tmp";

/// Replaces a file atomically: a reader finds either the old or the new content, never a part. The steps are: write a
/// temporary file, sync it, rename it, sync the folder.
///
/// # Errors
/// When one of these steps fails. If the rename has not happened yet, the old content is untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_then(path, bytes, |temporary| fs::rename(temporary, path))
}

/// Creates a file with this content; an existing file stays as it is. No reader ever finds a part of the content, even
/// after a power cut. Returns whether the file is new.
///
/// # Errors
/// When one of the steps fails.
pub fn create_atomically(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut is_new = true;
    write_then(path, bytes, |temporary| {
        match fs::hard_link(temporary, path) {
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => is_new = false,
            Err(_) if path.symlink_metadata().is_ok() => is_new = false,
            // This file system does not support hard links.
            Err(_) => return fs::rename(temporary, path),
            Ok(()) => {}
        }
        fs::remove_file(temporary)
    })?;
    Ok(is_new)
}

/// Writes a temporary file next to `path`. The closure `put` then moves it to its final place.
fn write_then(path: &Path, bytes: &[u8], put: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(path);
    let mut name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?.to_owned();
    name.push(format!(".{}{TEMPORARY}", std::process::id()));
    let temporary = folder.join(name);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| put(&temporary));
    if written.is_err() {
        // Report the first error. If the temporary file stays, a later clean-up removes it.
        drop(fs::remove_file(&temporary));
        return written;
    }
    sync_folder(&folder)
}

/// Removes temporary files of [`write_atomically`] that killed processes left in a folder. It removes only
/// temporary files for which `ours` accepts the final name. Temporary files of running processes stay, and so do all
/// other files. A folder that does not exist is not an error.
///
/// # Errors
/// When the folder cannot be read or a file cannot be removed.
pub fn remove_temporaries(folder: &Path, ours: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some((file, process)) = name.to_str().and_then(temporary_of) else { continue };
        let is_running = Path::new("/proc").join(process.to_string()).exists();
        if ours(file) && !is_running && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Splits the name of a temporary file into the final file name and the id of the writing process. Returns `None` for
/// other files.
fn temporary_of(name: &str) -> Option<(&str, u32)> {
    let (file, process) = name.strip_suffix(TEMPORARY)?.rsplit_once('.')?;
    let is_number = process.bytes().all(|byte| byte.is_ascii_digit());
    (!file.is_empty() && is_number).then(|| Some((file, process.parse().ok()?)))?
}

/// Creates a folder and its missing parent folders. The entry of each new folder is on the disk when this function
/// returns.
///
/// # Errors
/// When a folder cannot be created or synced.
pub fn create_folders(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Err(fault) if fault.kind() != io::ErrorKind::AlreadyExists => return Err(fault),
            Err(_) if !folder.is_dir() => return Err(not_a_folder(folder)),
            _ => sync_folder(&folder_of(folder))?,
        }
    }
    Ok(())
}

/// Refuses a link in the place of a folder: it may lead to a folder that belongs to something else.
///
/// # Errors
/// When the path is a link.
pub fn refuse_link(path: &Path) -> io::Result<()> {
    if path.is_symlink() { Err(not_a_folder(path)) } else { Ok(()) }
}

/// The error that something else lies in the place of a folder.
fn not_a_folder(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a folder", path.display()))
}

/// Creates one folder that must not exist yet. Its entry is on the disk when this function returns.
///
/// # Errors
/// When the folder exists, or cannot be created or synced.
pub fn create_new_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    sync_folder(&folder_of(path))
}

/// Makes the entries of a folder durable. Call it after creating, renaming or removing a file in the folder.
///
/// # Errors
/// When the folder cannot be opened or synced. It is not an error if the file system cannot sync folders.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(fault) if matches!(fault.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => Ok(()),
        synced => synced,
    }
}

/// Returns the folder that contains a path's last component.
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
    fn temporary_files_are_recognised() {
        assert_eq!(temporary_of("a.json.71.tmp"), Some(("a.json", 71)));
        assert_eq!(temporary_of("checkpoint-5.safetensors.9.tmp"), Some(("checkpoint-5.safetensors", 9)));
        for other in ["a.tmp", "a.json", "a.x7.tmp", ".71.tmp", "a..tmp", "notes.2024.tmp.md", "a.99999999999.tmp"] {
            assert_eq!(temporary_of(other), None, "{other}");
        }
    }

    #[test]
    fn only_our_temporary_files_of_killed_processes_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // No process id is above 2²².
        let left = "plan.json.4194305.tmp";
        let own = format!("plan.json.{}.tmp", std::process::id());
        let names = [left, own.as_str(), "notes.4194305.tmp", "plan.json"];
        names.iter().for_each(|name| fs::write(path(name), "x").unwrap());
        fs::create_dir(path("plan.json.4194306.tmp")).unwrap();
        remove_temporaries(folder.path(), |file| file == "plan.json").unwrap();
        let there = |name: &&str| path(name).exists();
        assert_eq!(names.iter().map(there).collect::<Vec<_>>(), [false, true, true, true]);
        assert!(path("plan.json.4194306.tmp").is_dir());
        remove_temporaries(&path("missing"), |_| true).unwrap();
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
        let fault = create_folders(&folder.path().join("file/below")).unwrap_err();
        assert_eq!(fault.to_string(), format!("{} is not a folder", folder.path().join("file").display()));
    }
}
