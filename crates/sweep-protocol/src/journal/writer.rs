//! Appends lines to a journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::line::{Parsed, may_begin, parsed, written};
use super::{JournalError, JournalReader};
use crate::durable::sync_folder;

/// Appends lines to a journal.
#[derive(Debug)]
pub struct JournalWriter<T> {
    path: PathBuf,
    file: File,
    length: u64,
    next_seq: u64,
    kind: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> JournalWriter<T> {
    /// Opens a journal for appending. An unfinished line of an earlier writer is cut off. A whole line without a line
    /// end gets one. Any other text at the end stays as a damaged line.
    ///
    /// # Errors
    /// When the file cannot be opened or has a later format.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut reader = JournalReader::<T>::new(path);
        reader.read_new()?;
        let fault = |doing| move |source| JournalError::Io { path: path.to_owned(), doing, source };
        let is_new = !path.exists();
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(fault("opening"))?;
        let rest = reader.rest;
        let is_whole = matches!(parsed::<T>(&rest), Parsed::Intact { .. });
        if is_whole || !may_begin(&rest) {
            file.seek(SeekFrom::End(0))
                .and_then(|_| file.write_all(b"\n"))
                .map_err(fault("completing its last line"))?;
            return Self::open(path);
        }
        file.set_len(reader.offset).map_err(fault("removing an incomplete line"))?;
        file.seek(SeekFrom::End(0)).map_err(fault("seeking"))?;
        if is_new && let Some(folder) = path.parent() {
            sync_folder(folder).map_err(fault("syncing its folder"))?;
        }
        Ok(Self { path: path.to_owned(), file, length: reader.offset, next_seq: reader.next_seq, kind: PhantomData })
    }

    /// Appends one line. It is on the disk when this function returns.
    ///
    /// # Errors
    /// When the line cannot be written completely, for example because the disk is full. Nothing of it then remains in
    /// the file.
    pub fn append(&mut self, event: T) -> Result<(), JournalError> {
        let (length, seq) = (self.length, self.next_seq);
        self.append_without_sync(event)?;
        let synced = self.file.sync_data();
        if synced.is_err() {
            // The line may not be on the disk, so it does not count and no reader may find it.
            (self.length, self.next_seq) = (length, seq);
            self.cut();
        }
        synced.map_err(|source| self.fault("syncing", source))
    }

    /// Appends one line that a crash of the machine may lose. Nothing may depend on it.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_without_sync(&mut self, event: T) -> Result<(), JournalError> {
        let bytes =
            written(self.next_seq, event).map_err(|source| JournalError::Event { path: self.path.clone(), source })?;
        if let Err(source) = self.file.write_all(&bytes) {
            let doing = if self.cut() { "appending" } else { "appending (and removing the incomplete line)" };
            return Err(self.fault(doing, source));
        }
        self.length += bytes.len() as u64;
        self.next_seq += 1;
        Ok(())
    }

    /// Removes everything after the last line that counts. Returns whether this was possible.
    fn cut(&mut self) -> bool {
        self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length))).is_ok()
    }

    fn fault(&self, doing: &'static str, source: io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), doing, source }
    }
}
