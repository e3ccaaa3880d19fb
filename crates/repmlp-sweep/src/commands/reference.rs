//! `reference`: writes the generated pages of the documentation.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sweep_protocol::write_atomically;

use crate::exit::Exit;
use crate::program::Program;
use crate::reference;

/// Writes the generated pages into a folder.
pub(crate) fn run(folder: &Path, program: &Program) -> Result<Exit> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for (name, text) in reference::pages(program)? {
        let path = folder.join(name);
        write_atomically(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Exit::Done)
}
