//! Finds the program that carries out attempts: this one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The program that carries out attempts: the running program itself, even if its file is replaced or moved meanwhile.
/// So all attempts of a sweep use the same trainer.
pub(crate) struct OwnProgram {
    pub(crate) path: PathBuf,
    /// Name in process lists, if it is not the path.
    pub(crate) name: Option<OsString>,
}

impl OwnProgram {
    pub(crate) fn find() -> Result<Self> {
        let path = std::env::current_exe().context("the path of this program is unknown")?;
        let running = Path::new("/proc/self/exe");
        if running.exists() {
            return Ok(Self { path: running.to_owned(), name: Some(path.into_os_string()) });
        }
        Ok(Self { path, name: None })
    }
}
