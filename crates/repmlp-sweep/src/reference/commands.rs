//! The page of all commands, from the command line's own help.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use super::GENERATED;
use crate::cli::Cli;

/// Columns of help texts on the page.
const COLUMNS: usize = 100;

pub(super) fn page() -> String {
    let mut text = format!(
        "{GENERATED}# Commands and exit codes\n\n`repmlp-sweep FILE.toml` is short for `repmlp-sweep run FILE.toml`.\n"
    );
    let mut program = Cli::command().term_width(COLUMNS);
    program.build();
    section(&mut text, &program);
    for command in program.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        section(&mut text, command);
    }
    text
}

/// Heading and help of a command, and of those below it.
fn section(text: &mut String, command: &Command) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.clone().term_width(COLUMNS).render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    writeln!(text, "\n## {name}\n\n```text\n{}\n```", help.join("\n").trim_end())
        .expect("writing to a string succeeds");
    if command.get_name() != "repmlp-sweep" {
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            section(text, below);
        }
    }
}
