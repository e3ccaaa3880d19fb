//! The lock of a results folder: it allows one scheduler. The operating system frees it when the process ends for any
//! reason.
//!
//! Two things are locked: the folder itself and a file in it. The folder cannot be removed without its runs. The file
//! names the holder.
//!
//! Some network file systems cannot lock folders. Then only the file is locked. That lock holds on all machines if the
//! file system shares its locks, as NFS version 4 does. On such a file system, removing the file lets a second
//! scheduler start. The lease in each attempt's folder then stops the processes of the first scheduler from writing.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use sweep_protocol::{
    ResultsLayout, create_atomically, create_folders, host_name, read_regular_file, remove_temporaries,
};

use crate::RunnerError;
use crate::error::unwritable;

/// The right to change a results folder, held until it is dropped.
#[derive(Debug)]
pub struct SchedulerLock {
    layout: ResultsLayout,
    _file: File,
    _folder: Option<File>,
}

impl SchedulerLock {
    /// Takes the lock of a results folder. Creates the folder if it does not exist.
    ///
    /// # Errors
    /// [`RunnerError::InUse`] when another scheduler holds the lock, [`RunnerError::Unwritable`] when the folder or the
    /// lock file cannot be created, [`RunnerError::NotText`] when the folder's path is not UTF-8.
    pub fn acquire(layout: &ResultsLayout) -> Result<Self, RunnerError> {
        // Paths below the root are given to other processes and recognised in their command lines, so it is absolute.
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
            // This file system cannot lock folders.
            Err(TryLockError::Error(_)) => None,
        };
        // An existing lock file is reused: that needs no free disk space.
        if path.symlink_metadata().is_err() {
            create_atomically(&path, Holder::this().text().as_bytes()).map_err(unwritable(&path))?;
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

    /// The locked results folder, with its absolute path.
    pub fn layout(&self) -> &ResultsLayout {
        &self.layout
    }
}

fn in_use(layout: &ResultsLayout) -> RunnerError {
    RunnerError::InUse { path: layout.root().to_owned(), holder: Holder::read(&layout.lock()) }
}

/// The scheduler that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Name of its machine. Absent in lock files of earlier versions.
    pub host: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        self.host.as_ref().map_or(Ok(()), |host| write!(f, " on {host}"))
    }
}

impl Holder {
    fn this() -> Self {
        Self { pid: std::process::id(), host: Some(host_name()) }
    }

    pub(crate) fn read(path: &Path) -> Option<Self> {
        let bytes = read_regular_file(path).ok()?;
        let text = String::from_utf8_lossy(bytes.get(..LENGTH).unwrap_or(&bytes)).into_owned();
        let mut lines = text.lines().map(str::trim);
        let pid = lines.next()?.parse().ok()?;
        Some(Self { pid, host: lines.next().filter(|host| !host.is_empty()).map(str::to_owned) })
    }

    /// Whether it is a process of this machine. Lock files of earlier versions name no machine.
    pub(crate) fn is_of_host(&self, host: &str) -> bool {
        self.host.as_ref().is_none_or(|own| *own == written_host(host))
    }

    /// Content of the lock file: the process id and the host, padded to [`LENGTH`] bytes.
    ///
    /// A lock that is taken again overwrites these bytes in place. If the file shrank and grew instead, a power cut in
    /// between could leave old disk content in it.
    fn text(&self) -> String {
        let host = self.host.as_deref().map(written_host).unwrap_or_default();
        format!("{:<PID$}\n{host:<HOST$}\n", self.pid)
    }
}

/// A host's name as a lock file has it.
fn written_host(host: &str) -> String {
    host.chars().filter(char::is_ascii_graphic).take(HOST).collect()
}

/// Characters of a process id in a lock file. Process ids have at most 10 digits.
const PID: usize = 15;
/// Characters of a host's name in a lock file.
const HOST: usize = 63;
/// Size of a lock file in bytes.
const LENGTH: usize = PID + 1 + HOST + 1;

fn sign(file: &File, path: &Path) -> Result<(), RunnerError> {
    let mut text = String::new();
    let is_ours = file.metadata().is_ok_and(|found| found.is_file())
        && file.take(PID as u64 + 1).read_to_string(&mut text).is_ok()
        // Earlier versions could leave zeros instead of a number after a power cut.
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_whitespace() || byte == 0);
    if !is_ours {
        let source = io::Error::other("this is not a lock file of this program; move it away");
        return Err(RunnerError::Unwritable { path: path.to_owned(), source });
    }
    file.write_all_at(Holder::this().text().as_bytes(), 0).map_err(unwritable(path))
}
