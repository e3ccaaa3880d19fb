//! Faults with their places, and how a person reads them.
//!
//! Knows files, spans and sentences; what is a fault is decided elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use crate::document::{SourceFile, Span, WHOLE_FILE};

/// Faults that are rendered in full; the others are counted.
const RENDERED: usize = 20;

/// Why an experiment file yields no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The experiment file cannot be read at all.
    #[error("experiment file {path} cannot be read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The experiment file, or a base file beneath it, is wrong in these places.
    #[error("{}", summary(faults))]
    Invalid {
        /// Everything that can be seen at once; never empty.
        faults: Vec<Fault>,
    },
}

/// Whether rendered faults carry terminal colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// Plain text.
    Off,
    /// ANSI escapes.
    On,
}

impl PlanError {
    /// The faults, none for a file that cannot be read.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid { faults } => faults,
        }
    }

    /// The faults as a compiler shows them, with the lines of the file and the words underlined.
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

/// One thing that is wrong, and where.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(crate) source: Arc<SourceFile>,
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Fault {
    /// The file that is to be changed.
    pub fn file(&self) -> &Path {
        &self.source.path
    }

    /// The bytes that are underlined; empty at 0 for a fault of the whole file.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where that can be said.
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
    /// `file:line:column: message`, without line and column for a fault of the whole file.
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

/// Faults of one file while it is read; a fault that is found twice is kept once.
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

    /// Takes over the faults of another file.
    pub(crate) fn append(&mut self, mut other: Faults) {
        self.list.append(&mut other.list);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Ends a phase of reading: fails with everything found so far.
    pub(crate) fn check(&mut self) -> Result<(), PlanError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(std::mem::replace(self, Self::new(&self.source)).into())
    }
}

impl From<Faults> for PlanError {
    /// Faults in the order of the file, those of other files last.
    fn from(Faults { source, mut list }: Faults) -> Self {
        list.sort_by_key(|fault| (fault.source.path != source.path, fault.span.start));
        Self::Invalid { faults: list }
    }
}
