//! Reads whole files, and only regular ones: reading a device or a pipe might never end. Files that users write also
//! have a size limit.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Maximum size of a file that a user writes, in bytes. An experiment file with a hundred thousand rows has a tenth of
/// it.
const MOST_BYTES: u64 = 64 << 20;

/// Reads the text of a file that a user wrote.
///
/// # Errors
/// When the file cannot be read, is not a regular file, is larger than 64 MiB, or is not UTF-8.
pub fn read_text_file(path: &Path) -> io::Result<String> {
    check_regular(path)?;
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the file is larger than {} MiB", MOST_BYTES >> 20),
        ));
    }
    Ok(text)
}

/// Reads the bytes of a file that this program wrote, whatever its size.
///
/// # Errors
/// When the file cannot be read or is not a regular file.
pub fn read_regular_file(path: &Path) -> io::Result<Vec<u8>> {
    check_regular(path)?;
    fs::read(path)
}

/// Checks that a path leads to a regular file. This happens before opening it, because opening a pipe waits for a
/// writer.
pub(crate) fn check_regular(path: &Path) -> io::Result<()> {
    match fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(not_regular()),
    }
}

/// The error that something else lies in the place of a file.
pub(crate) fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        fs::write(&path, "a = 1").unwrap();
        assert_eq!(read_text_file(&path).unwrap(), "a = 1");
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for other in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            assert_eq!(read_text_file(other).unwrap_err().to_string(), "not a regular file", "{}", other.display());
            assert_eq!(read_regular_file(other).unwrap_err().to_string(), "not a regular file", "{}", other.display());
        }
        File::create(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert_eq!(read_text_file(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
