//! One scheduler a results folder. The operating system frees the lock when its process ends, however it ends.
//!
//! Two things are locked: the folder itself, which nobody can remove without its runs, and a file in it, which names the holder. A
//! network file system may know no lock of folders; there the file alone holds, on all machines if the file system's locks reach
//! that far (NFS version 4 does), and removing the file lets a second scheduler in. A lease in each attempt's folder then
//! keeps the first one's processes from writing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use sweep_protocol::{ResultsLayout, create_atomically, create_folders, remove_temporaries};

use crate::RunnerError;
use crate::error::unwritable;

/// The right to change a results folder; held until it is dropped.
#[derive(Debug)]
pub struct SchedulerLock {
    layout: ResultsLayout,
    _file: File,
    _folder: Option<File>,
}

impl SchedulerLock {
    /// Takes the lock of a results folder, which is made if it does not exist.
    ///
    /// # Errors
    /// [`RunnerError::InUse`] when another scheduler has it, [`RunnerError::Unwritable`] when the folder or the lock
    /// cannot be made, [`RunnerError::NotText`] when its path is not UTF-8.
    pub fn acquire(layout: &ResultsLayout) -> Result<Self, RunnerError> {
        // Absolute, since paths below it are handed to other processes and recognised in their command lines.
        let root = std::path::absolute(layout.root()).map_err(unwritable(layout.root()))?;
        if root.to_str().is_none() {
            return Err(RunnerError::NotText { path: root });
        }
        create_folders(&root).map_err(unwritable(&root))?;
        let layout = ResultsLayout::new(root);
        let path = layout.lock();
        let folder = File::open(layout.root()).map_err(unwritable(layout.root()))?;
        let folder = match folder.try_lock() {
            Ok(()) => Some(folder),
            Err(TryLockError::WouldBlock) => return Err(in_use(&layout)),
            // This file system knows no lock of folders.
            Err(TryLockError::Error(_)) => None,
        };
        // A lock that is there is opened without asking the disk for room.
        if path.symlink_metadata().is_err() {
            create_atomically(&path, holder().as_bytes()).map_err(unwritable(&path))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(unwritable(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&layout)),
            Err(TryLockError::Error(source)) => return Err(RunnerError::Unwritable { path, source }),
        }
        sign(&file, &path)?;
        let is_lock = |file: &str| path.file_name().is_some_and(|name| name == file);
        remove_temporaries(layout.root(), is_lock).map_err(unwritable(layout.root()))?;
        Ok(Self { layout, _file: file, _folder: folder })
    }

    /// The locked results folder, by its absolute path.
    pub fn layout(&self) -> &ResultsLayout {
        &self.layout
    }
}

fn in_use(layout: &ResultsLayout) -> RunnerError {
    RunnerError::InUse { path: layout.root().to_owned(), pid: owner(&layout.lock()) }
}

fn owner(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// What the file says: this process's number, always in [`LENGTH`] bytes.
///
/// A lock that is taken again writes over these bytes in place. A file that shrinks and grows would hold whatever the disk
/// held there before if the power is cut in between.
fn holder() -> String {
    format!("{:<width$}\n", std::process::id(), width = LENGTH - 1)
}

/// Bytes of a lock file. Process numbers have 10 digits at most.
const LENGTH: usize = 16;

fn sign(file: &File, path: &Path) -> Result<(), RunnerError> {
    let mut text = String::new();
    let is_ours = file.metadata().is_ok_and(|found| found.is_file())
        && file.take(32).read_to_string(&mut text).is_ok()
        // Earlier versions left zeros in the place of a number after a power cut.
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_whitespace() || byte == 0);
    if !is_ours {
        let source = io::Error::other("this file is not a lock of this program; move it away");
        return Err(RunnerError::Unwritable { path: path.to_owned(), source });
    }
    file.write_all_at(holder().as_bytes(), 0).map_err(unwritable(path))
}
