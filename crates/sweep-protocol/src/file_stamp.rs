//! Detects whether a file has changed since it was last read, without reading it again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Returns the size and modification time of a regular file. If both are unchanged, the content is assumed to be
/// unchanged. Returns `None` if there is no such file.
pub fn file_stamp(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(format!("{},{},{}", found.size(), found.mtime(), found.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_with_size_and_with_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!((file_stamp(&path), file_stamp(folder.path())), (None, None));
        fs::write(&path, "one").unwrap();
        let first = file_stamp(&path).unwrap();
        fs::write(&path, "longer").unwrap();
        assert_ne!(file_stamp(&path).unwrap(), first);
        let file = fs::File::options().append(true).open(&path).unwrap();
        let before = file_stamp(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_ne!(file_stamp(&path).unwrap(), before);
    }
}
