//! Properties of the terminal: colour and width.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;

/// Prints a line on standard error. Errors are ignored: without a terminal there is nobody to tell.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Access to the properties of the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    color: ColorChoice,
}

impl Screen {
    pub(crate) fn of(color: ColorChoice) -> Self {
        Self { color }
    }

    fn colored(self, is_terminal: impl FnOnce() -> bool) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            // The convention of no-color.org: the variable counts if it is set and not empty.
            ColorChoice::Auto => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && is_terminal(),
        }
    }

    /// Returns the colour mode of tables on standard output.
    pub(crate) fn table_color(self) -> sweep_report::Color {
        if self.colored(|| std::io::stdout().is_terminal()) {
            sweep_report::Color::Ansi
        } else {
            sweep_report::Color::Plain
        }
    }

    /// Returns the colour mode of faults on standard error.
    pub(crate) fn plan_colors(self) -> sweep_plan::Colors {
        if self.stderr_colored() { sweep_plan::Colors::On } else { sweep_plan::Colors::Off }
    }

    pub(crate) fn stderr_colored(self) -> bool {
        self.colored(|| std::io::stderr().is_terminal())
    }

    /// Highlights an important word for standard error.
    pub(crate) fn alarm(self, word: &str) -> String {
        if self.stderr_colored() { format!("\x1b[1;31m{word}\x1b[0m") } else { word.to_owned() }
    }

    /// Returns the number of characters in a line of standard output; 160 if it is not a terminal.
    pub(crate) fn width(self) -> usize {
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        columns.or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))).unwrap_or(160)
    }
}
