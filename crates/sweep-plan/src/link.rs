//! Symbolic links to experiment files. A linked file is treated as if it were opened at the link's target: its name,
//! and the files next to it, are those at the target.
//!
//! Only the last component of a path is followed. Folders that are links stay as they were typed.

use std::fs;
use std::path::{Path, PathBuf};

/// Maximum number of links that are followed, as in operating systems.
const MOST_LINKS: usize = 40;

/// Returns the path of the file at the end of a chain of symbolic links. A path that is not a link is returned
/// unchanged.
pub fn file_behind(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        // An absolute target replaces the folder.
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}
