//! Reads the end of a log, to show why a process failed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::text_file::check_regular;

/// Number of lines that are shown.
const LINES: usize = 10;
/// Number of bytes that are read.
const BYTES: u64 = 4096;

/// Returns the last lines of a log; empty if there is no log, or something else in its place.
///
/// # Errors
/// When the file cannot be read.
pub fn log_tail(path: &Path) -> io::Result<String> {
    let read_end = || -> io::Result<Vec<u8>> {
        check_regular(path)?;
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.take(BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let end = match read_end() {
        Err(fault) if matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => Vec::new(),
        end => end?,
    };
    let text = String::from_utf8_lossy(&end).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LINES)..].join("\n"))
}
