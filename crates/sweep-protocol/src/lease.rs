//! The lease of an attempt's folder: the right of one process to write there. The scheduler that started the process
//! grants it; the next scheduler revokes it.
//!
//! A process that was suspended or runs on another machine may outlive its scheduler and its attempt. It checks its
//! lease before each write. If it finds another token, it ends.

use std::io;
use std::path::{Path, PathBuf};

use crate::durable::write_atomically;
use crate::text_file::read_regular_file;

/// Content of a lease that no process holds any more.
const REVOKED: &str = "revoked";

/// Content of a lease whose holder was started again by a cluster. The new process works in the next attempt's folder.
const PASSED_ON: &str = "passed on";

/// A lease, as seen by the process that holds it.
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

    /// Creates the lease of a process that was given its token.
    pub fn held(path: &Path, token: &str) -> Self {
        Self { path: path.to_owned(), token: token.to_owned() }
    }

    /// Revokes the lease of its current holder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn revoke(path: &Path) -> io::Result<()> {
        write_atomically(path, REVOKED.as_bytes())
    }

    /// Takes the right from its current holder, since the cluster has started the attempt a second time.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn pass_on(path: &Path) -> io::Result<()> {
        write_atomically(path, PASSED_ON.as_bytes())
    }

    /// Whether the right was taken by a second start of the attempt.
    pub fn was_passed_on(path: &Path) -> bool {
        read_regular_file(path).is_ok_and(|found| found == PASSED_ON.as_bytes())
    }

    /// Whether its holder may still write. A lease that cannot be read is not valid: its folder may be gone.
    pub fn is_valid(&self) -> bool {
        read_regular_file(&self.path).is_ok_and(|found| found == self.token.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
