//! `reference` and `man`: the generated pages of the documentation, and manual pages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use sweep_protocol::write_atomically;

use super::print_bytes;
use crate::cli::Cli;
use crate::exit::Exit;
use crate::reference;

/// Writes the generated pages into a folder.
pub(crate) fn pages(folder: &Path) -> Result<Exit> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for (name, text) in reference::pages()? {
        let path = folder.join(name);
        write_atomically(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Exit::Done)
}

/// Prints the manual page, or writes one for each command into a folder.
pub(crate) fn man(folder: Option<&Path>) -> Result<Exit> {
    match folder {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            print_bytes(&page)?;
        }
        Some(folder) => {
            let fault = || format!("cannot write manual pages into {}", folder.display());
            fs::create_dir_all(folder).with_context(fault)?;
            clap_mangen::generate_to(Cli::command(), folder).with_context(fault)?;
        }
    }
    Ok(Exit::Done)
}
