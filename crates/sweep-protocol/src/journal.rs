//! JSON lines: append one, each flushed; read what is complete, as it grows.
//!
//! A journal is the truth and the database is derived from it, so a line that was cut by a crash or a full disk costs
//! that line alone. Knows nothing of what the lines say.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("journal {path}: {doing} failed")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A complete line is not what a journal holds.
    #[error("journal {path}, line {line}: not understood; was it written by another version?")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Why.
        source: serde_json::Error,
    },
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalLine<T> {
    /// Counted from 0 in its file; with run and attempt it names the line for good.
    pub seq: u64,
    /// When it was written: milliseconds since 1970, UTC.
    pub at_ms: u64,
    /// What it says.
    pub event: T,
}

/// Milliseconds since 1970, UTC. For records only: no result depends on it.
#[expect(clippy::disallowed_methods, reason = "the one place that stamps records with the wall clock")]
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Appends lines to a journal; each is handed to the operating system before `append` returns.
#[derive(Debug)]
pub struct JournalWriter<T> {
    path: PathBuf,
    file: File,
    next_seq: u64,
    kind: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> JournalWriter<T> {
    /// Opens a journal for appending; an incomplete last line of an earlier writer is cut off.
    ///
    /// # Errors
    /// When the file cannot be opened, or holds complete lines that are not understood.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (complete, next_seq) = if path.exists() {
            let mut reader = JournalReader::<T>::new(path);
            let next_seq = reader.read_new()?.last().map_or(0, |line| line.seq + 1);
            (reader.offset, next_seq)
        } else {
            (0, 0)
        };
        let fault = |doing| move |source| JournalError::Io { path: path.to_owned(), doing, source };
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(fault("opening"))?;
        file.set_len(complete).map_err(fault("cutting an incomplete line"))?;
        file.seek(SeekFrom::End(0)).map_err(fault("seeking"))?;
        Ok(Self { path: path.to_owned(), file, next_seq, kind: PhantomData })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// When the line cannot be written whole (a full disk).
    pub fn append(&mut self, event: T) -> Result<(), JournalError> {
        let fault = |source| JournalError::Io { path: self.path.clone(), doing: "appending", source };
        let line = JournalLine { seq: self.next_seq, at_ms: now_ms(), event };
        let mut bytes = serde_json::to_vec(&line).map_err(|source| fault(source.into()))?;
        bytes.push(b'\n');
        self.file.write_all(&bytes).map_err(fault)?;
        self.next_seq += 1;
        Ok(())
    }
}

/// Reads a journal as it grows.
#[derive(Debug)]
pub struct JournalReader<T> {
    path: PathBuf,
    offset: u64,
    lines: u64,
    kind: PhantomData<T>,
}

impl<T: DeserializeOwned> JournalReader<T> {
    /// Starts at the beginning of a file that need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, lines: 0, kind: PhantomData }
    }

    /// The complete lines that were added since the last call; an incomplete last line is left for later.
    ///
    /// # Errors
    /// When the file cannot be read, or a complete line is not understood (lines before it are lost to this call only).
    pub fn read_new(&mut self) -> Result<Vec<JournalLine<T>>, JournalError> {
        let fault = |source| JournalError::Io { path: self.path.clone(), doing: "reading", source };
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(fault(e)),
        };
        file.seek(SeekFrom::Start(self.offset)).map_err(fault)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fault)?;
        let complete = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let mut lines = Vec::new();
        for line in bytes[..complete].split_inclusive(|&b| b == b'\n') {
            let number = self.lines + lines.len() as u64 + 1;
            lines.push(serde_json::from_slice(line).map_err(|source| JournalError::Line {
                path: self.path.clone(),
                line: number,
                source,
            })?);
        }
        self.offset += complete as u64;
        self.lines += lines.len() as u64;
        Ok(lines)
    }
}

/// Writes a file so that a reader finds the old content or the new, never a part: temporary file, fsync, rename, fsync
/// of the folder.
///
/// # Errors
/// When any of these steps fails; the old content is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    let mut name = path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(name);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() && temporary.exists() {
        std::fs::remove_file(&temporary)?;
    }
    written?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;
    use crate::Event;

    fn notice(text: &str) -> Event {
        Event::Noticed { text: text.to_owned() }
    }

    proptest! {
        #[test]
        fn a_journal_cut_anywhere_keeps_every_line_before_the_cut(texts in proptest::collection::vec(any::<String>(), 1..6), share in 0.0..1.0f64) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.jsonl");
            let mut writer = JournalWriter::open(&path).unwrap();
            for text in &texts {
                writer.append(notice(text)).unwrap();
            }
            let bytes = std::fs::read(&path).unwrap();
            let cut = (bytes.len() as f64 * share) as usize;
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let whole = bytes[..cut].iter().filter(|&&b| b == b'\n').count();

            let read = JournalReader::<Event>::new(&path).read_new().unwrap();
            prop_assert_eq!(read.len(), whole);

            JournalWriter::open(&path).unwrap().append(notice("after")).unwrap();
            let read = JournalReader::<Event>::new(&path).read_new().unwrap();
            prop_assert_eq!(read.len(), whole + 1);
            prop_assert_eq!(read[whole].seq, whole as u64);
        }
    }

    #[test]
    fn numbers_are_read_to_the_last_bit() {
        // Read back quickly rather than exactly, this loss came out a bit larger.
        let loss = 1.0372208042144775f64;
        let read: f64 = serde_json::from_str(&serde_json::to_string(&loss).unwrap()).unwrap();
        assert_eq!(read.to_bits(), loss.to_bits());
    }

    #[test]
    fn a_reader_follows_a_growing_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut reader = JournalReader::<Event>::new(&path);
        assert!(reader.read_new().unwrap().is_empty());
        let mut writer = JournalWriter::open(&path).unwrap();
        writer.append(notice("a")).unwrap();
        assert_eq!(reader.read_new().unwrap().len(), 1);
        assert!(reader.read_new().unwrap().is_empty());
        writer.append(notice("b")).unwrap();
        assert_eq!(reader.read_new().unwrap()[0].event, notice("b"));
    }

    #[test]
    fn a_foreign_line_is_named_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        JournalWriter::open(&path).unwrap().append(notice("a")).unwrap();
        std::fs::write(&path, [std::fs::read(&path).unwrap(), b"{}\n".to_vec()].concat()).unwrap();
        let fault = JournalReader::<Event>::new(&path).read_new().unwrap_err().to_string();
        assert!(fault.contains("line 2"), "{fault}");
    }
}
