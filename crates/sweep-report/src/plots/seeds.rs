//! How many of the planned seeds stand behind a mark: a mean over some of them is shown, but not as if it were of all.

use std::fmt;

/// The seeds behind a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seeds {
    pub(super) measured: usize,
    pub(super) planned: usize,
}

impl Seeds {
    pub(super) fn is_complete(self) -> bool {
        self.measured == self.planned
    }

    /// What stands behind a name; nothing where no seed is missing.
    pub(super) fn suffix(self) -> String {
        if self.is_complete() { String::new() } else { format!(" ({self})") }
    }
}

impl fmt::Display for Seeds {
    /// `2 of 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.measured, self.planned)
    }
}

/// Whether a plot has marks with missing seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    /// None is missing.
    Complete,
    /// Behind some mark.
    Partial,
}

impl Completeness {
    /// What a caption says of it.
    pub(super) fn caption(self) -> &'static str {
        match self {
            Self::Complete => "",
            Self::Partial => {
                " Hollow marks are means over fewer seeds than planned (n of N) and are compared with nothing."
            }
        }
    }
}

impl FromIterator<Seeds> for Completeness {
    fn from_iter<T: IntoIterator<Item = Seeds>>(all: T) -> Self {
        if all.into_iter().all(Seeds::is_complete) { Self::Complete } else { Self::Partial }
    }
}
