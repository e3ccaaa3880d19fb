//! How many of the planned seeds a mark is based on. A mean over some of the seeds is shown, but it is marked as
//! incomplete.

use std::fmt;

/// The seeds of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seeds {
    pub(super) measured: usize,
    pub(super) planned: usize,
}

impl Seeds {
    pub(super) fn is_complete(self) -> bool {
        self.measured == self.planned
    }

    /// Returns the text after a name; empty if no seed is missing.
    pub(super) fn suffix(self) -> String {
        if self.is_complete() { String::new() } else { format!(" ({self})") }
    }
}

impl fmt::Display for Seeds {
    /// Formats `2 of 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.measured, self.planned)
    }
}

/// Whether a plot has marks with missing seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    /// No mark lacks seeds.
    Complete,
    /// At least one mark lacks seeds.
    Partial,
}

impl Completeness {
    /// Returns the sentence for the caption.
    pub(super) fn caption(self) -> &'static str {
        match self {
            Self::Complete => "",
            Self::Partial => " Hollow marks are means over fewer seeds than planned (n of N) and are not compared.",
        }
    }
}

impl FromIterator<Seeds> for Completeness {
    fn from_iter<T: IntoIterator<Item = Seeds>>(all: T) -> Self {
        if all.into_iter().all(Seeds::is_complete) { Self::Complete } else { Self::Partial }
    }
}
