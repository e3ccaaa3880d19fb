//! Opens and reads files that a user names.
//!
//! Only regular files are opened. A pipe or a device has no known size, so reading it may never end.

use std::fs::{File, FileType, Metadata};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Opens a regular file. Returns it with its metadata.
///
/// # Errors
/// When the file cannot be opened, or is a folder, a pipe, a device or a socket.
pub fn open_file(path: &Path) -> Result<(File, Metadata)> {
    // Check before opening: opening a pipe waits for its other end.
    refuse_others(std::fs::metadata(path)?.file_type())?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    refuse_others(metadata.file_type())?;
    Ok((file, metadata))
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// When [`open_file`] fails, or the file is larger than `limit` or cannot be read.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, metadata) = open_file(path)?;
    read_whole(file, &metadata, limit)
}

/// Reads the rest of a file that [`open_file`] has opened.
///
/// # Errors
/// When the file is larger than `limit` or cannot be read.
pub fn read_whole(file: File, metadata: &Metadata, limit: u64) -> Result<Vec<u8>> {
    let too_large =
        |size: u64| Error::new(ErrorKind::FileTooLarge, format!("it has {size} bytes; at most {limit} are allowed"));
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(metadata.len()).unwrap_or(usize::MAX))?;
    // The file may grow while it is read, so check the size again.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

fn refuse_others(kind: FileType) -> Result<()> {
    let name = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        kind if kind.is_socket() => "a socket",
        _ => "something else",
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("it is {name}, not a file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"four").unwrap();
        assert_eq!(read_file(&path, 4).unwrap(), b"four");
        assert_eq!(read_file(&path, 3).unwrap_err().to_string(), "it has 4 bytes; at most 3 are allowed");
        let fault = |path: &Path| read_file(path, 4).unwrap_err().to_string();
        assert_eq!(fault(folder.path()), "it is a folder, not a file");
        assert_eq!(fault(Path::new("/dev/zero")), "it is a device, not a file");
        let socket = folder.path().join("socket");
        let _held = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(fault(&socket), "it is a socket, not a file");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert_eq!(fault(&link), "it is a device, not a file");
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(fault(&pipe), "it is a pipe, not a file");
    }
}
