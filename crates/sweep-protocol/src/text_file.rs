//! Files that are read whole: regular ones, so that a device or a pipe of that name is refused and not read for ever. Those that people write
//! have a bounded size too.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a file that a person writes: experiments with a hundred thousand rows are a tenth of it.
const MOST_BYTES: u64 = 64 << 20;

/// The text of a file.
///
/// # Errors
/// When it cannot be read, is no regular file, is larger than 64 MiB, or is not UTF-8.
pub fn read_text_file(path: &Path) -> io::Result<String> {
    check_regular(path)?;
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(text)
}

/// The bytes of a file that this program wrote, whatever its size.
///
/// # Errors
/// When it cannot be read or is no regular file.
pub fn read_regular_file(path: &Path) -> io::Result<Vec<u8>> {
    check_regular(path)?;
    fs::read(path)
}

/// Asked before a file is opened: opening a pipe waits for a writer.
fn check_regular(path: &Path) -> io::Result<()> {
    match fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
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
