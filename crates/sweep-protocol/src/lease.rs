//! The right of one process to write into an attempt's folder: granted by the scheduler that started it, taken away by the
//! next one.
//!
//! A process that was stopped, or lives on another machine, may outlast its scheduler and the attempt that it worked on. It
//! asks for its lease before it writes, finds another token, and ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable::write_atomically;

/// What a lease holds when nobody may write any more.
const REVOKED: &str = "revoked";

/// A lease as the process that holds it sees it.
#[derive(Clone, Debug)]
pub struct Lease {
    path: PathBuf,
    token: String,
}

impl Lease {
    /// Grants the right to write to the process that knows `token`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn grant(path: &Path, token: &str) -> io::Result<Self> {
        write_atomically(path, token.as_bytes())?;
        Ok(Self::held(path, token))
    }

    /// The lease of a process that was told its token.
    pub fn held(path: &Path, token: &str) -> Self {
        Self { path: path.to_owned(), token: token.to_owned() }
    }

    /// Takes the right from its holder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn revoke(path: &Path) -> io::Result<()> {
        write_atomically(path, REVOKED.as_bytes())
    }

    /// Whether its holder may still write. A lease that cannot be read is gone with its folder.
    pub fn is_valid(&self) -> bool {
        fs::read(&self.path).is_ok_and(|found| found == self.token.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_when_it_is_revoked_or_granted_to_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease");
        let first = Lease::grant(&path, "a").unwrap();
        assert!(first.is_valid());
        let second = Lease::grant(&path, "b").unwrap();
        assert!(!first.is_valid() && second.is_valid());
        Lease::revoke(&path).unwrap();
        assert!(!second.is_valid());
        fs::remove_file(&path).unwrap();
        assert!(!second.is_valid());
    }
}
