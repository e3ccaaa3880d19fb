//! Reads a journal while it grows, and reports damaged lines.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::line::{Parsed, parsed};
use super::{JournalError, JournalLine, LineDamage};
use crate::text_file::not_regular;

/// What a reader found since its last call.
#[derive(Debug, PartialEq)]
pub struct JournalPart<T> {
    /// The intact lines, in order.
    pub lines: Vec<JournalLine<T>>,
    /// The damage between them.
    pub damage: Vec<LineDamage>,
}

/// Reads a journal while it grows.
#[derive(Debug)]
pub struct JournalReader<T> {
    path: PathBuf,
    /// Number of bytes in the complete lines read so far.
    pub(super) offset: u64,
    /// Number of lines that count, once the attempt is closed. Later lines were written without a valid lease.
    extent: Option<u64>,
    /// Bytes after the last complete line.
    pub(super) rest: Vec<u8>,
    lines: u64,
    pub(super) next_seq: u64,
    /// Number of damaged lines since the last intact one. It explains gaps in the sequence numbers.
    damaged: u64,
    checked: u64,
    unchecked: u64,
    kind: PhantomData<T>,
}

impl<T: DeserializeOwned> JournalReader<T> {
    /// Creates a reader that starts at the beginning of a file. The file need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            offset: 0,
            extent: None,
            rest: Vec::new(),
            lines: 0,
            next_seq: 0,
            damaged: 0,
            checked: 0,
            unchecked: 0,
            kind: PhantomData,
        }
    }

    /// Limits the reader to lines with sequence numbers below `extent`. The last of them needs no line end.
    #[must_use]
    pub fn up_to(self, extent: Option<u64>) -> Self {
        Self { extent, ..self }
    }

    /// Returns the sequence number of the next line. It equals the number of lines that were read or are missing.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Returns the number of intact lines that were read and have no checksum. Only the first format has such lines.
    pub fn unchecked(&self) -> u64 {
        self.unchecked
    }

    /// Returns the complete lines that were added since the last call. An incomplete last line is left for a later
    /// call.
    ///
    /// # Errors
    /// When the file cannot be read or has a later format.
    pub fn read_new(&mut self) -> Result<JournalPart<T>, JournalError> {
        self.read(|_| Ok(()))
    }

    /// As [`Self::read_new`], but also syncs the file. So the returned lines are on the disk, even if the writer has
    /// not synced them yet.
    ///
    /// # Errors
    /// As [`Self::read_new`], and when the file cannot be synced.
    pub fn read_durable(&mut self) -> Result<JournalPart<T>, JournalError> {
        self.read(File::sync_data)
    }

    fn read(&mut self, settle: impl FnOnce(&File) -> io::Result<()>) -> Result<JournalPart<T>, JournalError> {
        let mut part = JournalPart { lines: Vec::new(), damage: Vec::new() };
        let fault = |source| JournalError::Io { path: self.path.clone(), doing: "reading", source };
        match std::fs::metadata(&self.path) {
            // Opening a pipe waits, and reading a device may never end.
            Ok(found) if !found.is_file() => return Err(fault(not_regular())),
            _ => {}
        }
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(part),
            Err(e) => return Err(fault(e)),
        };
        file.seek(SeekFrom::Start(self.offset)).map_err(fault)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fault)?;
        let complete = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        if complete > 0 {
            settle(&file).map_err(fault)?;
        }
        for line in bytes[..complete].split_inclusive(|&b| b == b'\n') {
            self.take(&line[..line.len() - 1], &mut part)?;
        }
        self.offset += complete as u64;
        self.rest = bytes[complete..].to_vec();
        if self.extent.is_some() && !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.take(&rest, &mut part)?;
        }
        Ok(part)
    }

    /// Processes one complete line, given without its line end.
    fn take(&mut self, text: &[u8], part: &mut JournalPart<T>) -> Result<(), JournalError> {
        self.lines += 1;
        // An editor may have added blank lines or changed the line ends.
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let is_beyond = |seq: u64| self.extent.is_some_and(|extent| seq >= extent);
        if text.is_empty() || is_beyond(self.next_seq) {
            return Ok(());
        }
        let mut damage = |line, what: String| part.damage.push(LineDamage { path: self.path.clone(), line, what });
        let (line, is_checked) = match parsed(text) {
            Parsed::Intact { line, is_checked } => (line, is_checked),
            Parsed::Newer(found) => return Err(JournalError::Newer { path: self.path.clone(), found }),
            Parsed::Damaged(what) => {
                self.damaged += 1;
                damage(self.lines, what);
                return Ok(());
            }
        };
        if !is_checked && self.checked > 0 {
            self.damaged += 1;
            damage(self.lines, "its checksum is missing".to_owned());
            return Ok(());
        }
        let Some(next_seq) = line.seq.checked_add(1) else {
            damage(self.lines, format!("its sequence number {} is too large", line.seq));
            return Ok(());
        };
        if is_beyond(line.seq) {
            return Ok(());
        }
        if line.seq < self.next_seq {
            damage(self.lines, format!("it repeats the sequence number {}", line.seq));
            return Ok(());
        }
        let missing = (line.seq - self.next_seq).saturating_sub(self.damaged);
        if missing > 0 {
            damage(self.lines, format!("{missing} lines before it are missing"));
        }
        self.next_seq = next_seq;
        self.damaged = 0;
        *(if is_checked { &mut self.checked } else { &mut self.unchecked }) += 1;
        part.lines.push(line);
        Ok(())
    }
}
