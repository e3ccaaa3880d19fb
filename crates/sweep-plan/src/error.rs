//! Faults with their positions, and how users see them.
//!
//! This module knows files, spans and sentences. Other modules decide what is a fault.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use crate::document::{SourceFile, Span, WHOLE_FILE};

/// Maximum number of faults that are rendered in full; further ones are only counted.
const RENDERED: usize = 20;

/// Reason why an experiment file gives no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The experiment file cannot be read.
    #[error("experiment file {path} cannot be read")]
    Unreadable {
        /// The experiment file.
        path: PathBuf,
        /// Cause of the failure.
        source: io::Error,
    },
    /// The experiment file or one of its base files has faults.
    #[error("{}", summary(faults))]
    Invalid {
        /// All faults that were found together; never empty.
        faults: Vec<Fault>,
    },
}

/// Whether rendered faults contain terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// Plain text without colours.
    Off,
    /// ANSI escape codes.
    On,
}

impl PlanError {
    /// Returns the faults; empty if the file cannot be read.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid { faults } => faults,
        }
    }

    /// Renders the faults like compiler errors: with the lines of the file, and with the faulty places underlined.
    pub fn render(&self, colors: Colors) -> String {
        let renderer = match colors {
            Colors::Off => Renderer::plain(),
            Colors::On => Renderer::styled(),
        };
        match self {
            Self::Unreadable { source, .. } => {
                let message = format!("{self}: {source}");
                renderer.render(&[Level::ERROR.primary_title(message).elements(None::<Origin<'_>>)])
            }
            Self::Invalid { faults } => {
                let mut blocks: Vec<_> = faults.iter().take(RENDERED).map(|fault| fault.render(&renderer)).collect();
                match faults.len().saturating_sub(RENDERED) {
                    0 => {}
                    1 => blocks.push("and 1 more fault".to_owned()),
                    more => blocks.push(format!("and {more} more faults")),
                }
                blocks.join("\n\n")
            }
        }
    }
}

fn summary(faults: &[Fault]) -> String {
    match faults {
        [] => "invalid experiment".to_owned(),
        [only] => only.to_string(),
        [first, _] => format!("{first} (and 1 more fault)"),
        [first, others @ ..] => format!("{first} (and {} more faults)", others.len()),
    }
}

/// One fault and its position.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(crate) source: Arc<SourceFile>,
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Fault {
    /// Returns the file to change.
    pub fn file(&self) -> &Path {
        &self.source.path
    }

    /// Returns the bytes to underline; the empty span at 0 for a fault of the whole file.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Returns what is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what to do about it, if known.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    fn render(&self, renderer: &Renderer) -> String {
        let path = self.source.path.to_string_lossy();
        let title = Level::ERROR.primary_title(&self.message);
        let group = if self.span == WHOLE_FILE {
            title.element(Origin::path(path))
        } else {
            let word = AnnotationKind::Primary.span(self.span.clone());
            title.element(Snippet::source(&self.source.text).path(path).annotation(word))
        };
        renderer.render(&[group.elements(self.help.iter().map(|help| Level::HELP.message(help)))])
    }
}

impl fmt::Display for Fault {
    /// Formats the fault as `file:line:column: message`. Line and column are left out for a fault of the whole file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.source.path.display())?;
        if self.span != WHOLE_FILE {
            let before = self.source.text.get(..self.span.start).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            write!(f, "{}:{}:", before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)?;
        }
        write!(f, " {}", self.message)
    }
}

/// Collects faults while a file is read. Repeated faults are kept once.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) source: Arc<SourceFile>,
    list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn new(source: &Arc<SourceFile>) -> Self {
        Self { source: Arc::clone(source), list: Vec::new() }
    }

    pub(crate) fn add(&mut self, span: &Span, message: impl Into<String>, help: impl Into<Option<String>>) {
        let (message, help) = (message.into(), help.into());
        if !self.list.iter().any(|fault| fault.span == *span && fault.message == message) {
            self.list.push(Fault { source: Arc::clone(&self.source), span: span.clone(), message, help });
        }
    }

    /// Adds the faults of another file.
    pub(crate) fn append(&mut self, mut other: Faults) {
        self.list.append(&mut other.list);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Ends a phase of reading. Fails if any faults were found, and returns all of them.
    pub(crate) fn check(&mut self) -> Result<(), PlanError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(std::mem::replace(self, Self::new(&self.source)).into())
    }
}

impl From<Faults> for PlanError {
    /// Sorts faults by their position in the file. Faults of other files come last.
    fn from(Faults { source, mut list }: Faults) -> Self {
        list.sort_by_key(|fault| (fault.source.path != source.path, fault.span.start));
        Self::Invalid { faults: list }
    }
}
