//! One scheduler a results folder. The operating system frees the lock when its process ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use sweep_protocol::ResultsLayout;

use crate::RunnerError;
use crate::error::unwritable;

/// The right to change a results folder; held until it is dropped.
#[derive(Debug)]
pub struct SchedulerLock {
    layout: ResultsLayout,
    _held: File,
}

impl SchedulerLock {
    /// Takes the lock of a results folder, which is made if it does not exist.
    ///
    /// # Errors
    /// [`RunnerError::InUse`] when another scheduler has it, [`RunnerError::Unwritable`] when the folder or the lock
    /// cannot be made.
    pub fn acquire(layout: &ResultsLayout) -> Result<Self, RunnerError> {
        // Absolute, since paths below it are handed to other processes and recognised in their command lines.
        let root = std::path::absolute(layout.root()).map_err(unwritable(layout.root()))?;
        fs::create_dir_all(&root).map_err(unwritable(&root))?;
        let layout = ResultsLayout::new(root);
        let path = layout.lock();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(unwritable(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RunnerError::InUse { path: layout.root().to_owned(), pid: owner(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(RunnerError::Unwritable { path, source }),
        }
        sign(&mut file, &path)?;
        Ok(Self { layout, _held: file })
    }

    /// The locked results folder, by its absolute path.
    pub fn layout(&self) -> &ResultsLayout {
        &self.layout
    }
}

fn owner(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn sign(file: &mut File, path: &Path) -> Result<(), RunnerError> {
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(unwritable(path))
}
