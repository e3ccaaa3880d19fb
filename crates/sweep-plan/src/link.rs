//! A file that is reached by a symbolic link stands where the link leads: its name and the files beside it are those of that place.
//!
//! Only the last part of a path is followed; folders that are links stay as they were typed.

use std::fs;
use std::path::{Path, PathBuf};

/// Links that are followed at most, as the operating system does it.
const MOST_LINKS: usize = 40;

/// The path of the file that a chain of symbolic links ends at; the path itself where it is no link.
pub fn file_behind(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        // A target that is absolute takes the folder's place.
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}
