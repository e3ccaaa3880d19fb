//! `man`: manual pages, from the command line's own help.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::builder::Resettable;
use clap::{Command, CommandFactory};
use sweep_protocol::write_atomically;

use super::print_bytes;
use crate::cli::Cli;
use crate::exit::Exit;

/// Prints the manual page, or writes one for each command into a folder.
pub(crate) fn run(folder: Option<&Path>) -> Result<Exit> {
    let mut program = Cli::command().version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    let Some(folder) = folder else {
        print_bytes(&manual(program)?)?;
        return Ok(Exit::Done);
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    // Gives every command its full name.
    program.build();
    let below = program.get_subcommands().filter(|command| !command.is_hide_set());
    let below = below.map(|command| command.clone().version(env!("CARGO_PKG_VERSION")));
    for command in std::iter::once(program.clone()).chain(below) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let path = folder.join(format!("{name}.1"));
        write_atomically(&path, &manual(command)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Exit::Done)
}

/// Writes a manual page. The text after the help keeps its lines, and its headings become sections.
fn manual(command: Command) -> Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.after_help(Resettable::Reset)).render(&mut page)?;
    for line in after.lines() {
        match line.strip_suffix(':').filter(|heading| heading.starts_with(char::is_alphabetic)) {
            Some(heading) => page.extend(format!(".SH {}\n.nf\n", heading.to_uppercase()).bytes()),
            None => page.extend(format!("\\&{}\n", line.replace('\\', "\\e")).bytes()),
        }
    }
    Ok(page)
}
