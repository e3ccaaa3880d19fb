//! Reads the bytes of a data file with many images, gzipped or not, piece by piece.
//!
//! The number of bytes is limited before memory is allocated. The limit of a plain file is its size. The limit of a
//! gzipped file is [`MOST_RATIO`] times its size, but never less than [`SMALL`] bytes.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use repmlp_interop::open_file;

use crate::data::DataError;

/// The unpacked bytes of a file.
pub(crate) struct Content<'a> {
    pub(crate) path: PathBuf,
    reader: Box<dyn Read + 'a>,
    is_packed: bool,
    /// Remaining bytes. For a gzipped file, an upper limit.
    left: u64,
}

/// First bytes of a gzipped file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Maximum ratio of unpacked to packed size. Up to `SMALL` unpacked bytes, any ratio is allowed.
const MOST_RATIO: u64 = 100;
const SMALL: u64 = 64 << 20;

impl Content<'static> {
    /// Opens a file.
    pub(crate) fn of_file(path: PathBuf) -> Result<Self, DataError> {
        let opened =
            open_file(&path).and_then(|(file, metadata)| Self::new(path.clone(), Box::new(file), metadata.len()));
        opened.map_err(|source| DataError::Read { path, source })
    }
}

impl<'a> Content<'a> {
    /// Uses bytes in memory as if they came from the file `path`.
    pub(crate) fn of_bytes(path: &Path, bytes: &'a [u8]) -> Result<Self, DataError> {
        let opened = Self::new(path.to_owned(), Box::new(bytes), bytes.len() as u64);
        opened.map_err(|source| DataError::Read { path: path.to_owned(), source })
    }

    fn new(path: PathBuf, source: Box<dyn Read + 'a>, size: u64) -> io::Result<Self> {
        let mut source = BufReader::new(source);
        let is_packed = source.fill_buf()?.starts_with(&GZIP);
        Ok(match is_packed {
            false => Self { path, reader: Box::new(source), is_packed, left: size },
            true => {
                let left = size.saturating_mul(MOST_RATIO).max(SMALL);
                Self { path, reader: Box::new(MultiGzDecoder::new(source)), is_packed, left }
            }
        })
    }

    /// Returns the remaining bytes, or `None` if the file is gzipped.
    pub(crate) fn size(&self) -> Option<u64> {
        (!self.is_packed).then_some(self.left)
    }

    /// Returns the next `count` bytes, or fewer at the end.
    pub(crate) fn take(&mut self, count: u64) -> Result<Vec<u8>, DataError> {
        let wanted = count.min(self.left);
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(wanted).read_to_end(&mut bytes);
        read.map_err(|source| self.fault(source))?;
        self.left -= bytes.len() as u64;
        if self.is_packed && self.left == 0 && wanted < count {
            let more = self.reader.read(&mut [0]).map_err(|source| self.fault(source))?;
            if more > 0 {
                return Err(DataError::Unpacked { path: self.path.clone(), size: bytes.len() });
            }
        }
        Ok(bytes)
    }

    fn fault(&self, source: io::Error) -> DataError {
        let path = self.path.clone();
        match self.is_packed {
            false => DataError::Read { path, source },
            true => {
                DataError::Damaged { path, expected: "a complete gzip stream".to_owned(), found: source.to_string() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_or_not_the_bytes_are_the_same() {
        let two_parts = [packed(b"abc"), packed(b"de")].concat();
        for (bytes, size) in [(b"abcde".to_vec(), Some(5)), (packed(b"abcde"), None), (two_parts, None)] {
            let mut content = Content::of_bytes(Path::new("a"), &bytes).unwrap();
            assert_eq!(content.size(), size);
            assert_eq!(content.take(2).unwrap(), b"ab");
            assert_eq!(content.take(u64::MAX).unwrap(), b"cde");
            assert_eq!(content.take(1).unwrap(), b"");
        }
        let text = Content::of_bytes(Path::new("a"), &packed(b"abcde")[..12]).unwrap().take(9).unwrap_err().to_string();
        assert!(text.starts_with("a is damaged: expected a complete gzip stream"), "{text}");
    }

    #[test]
    fn files_that_unpack_to_too_much_are_refused() {
        let bomb = packed(&vec![0; SMALL as usize + 1]);
        let text = Content::of_bytes(Path::new("a"), &bomb).unwrap().take(u64::MAX).unwrap_err().to_string();
        assert_eq!(text, "a unpacks to more than 67108864 bytes, over 100 times its size: it is not a file of images");
        let most = packed(&vec![0; SMALL as usize]);
        assert_eq!(Content::of_bytes(Path::new("a"), &most).unwrap().take(u64::MAX).unwrap().len() as u64, SMALL);
    }
}
