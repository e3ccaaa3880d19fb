//! Where the files of a set are looked for, and what is said when they are not there.

use std::path::{Path, PathBuf};

use crate::data::DataError;

/// The folder that a set lies in.
pub(crate) struct Folder {
    path: PathBuf,
    get: String,
}

impl Folder {
    /// `data/<name>`, or `data` itself where that folder does not exist.
    pub(crate) fn find(data: Option<&Path>, name: &str, get: &str) -> Result<Self, DataError> {
        let get = get.to_owned();
        let Some(data) = data else { return Err(DataError::NoFolder { set: name.to_owned(), get }) };
        let inner = data.join(name);
        let path = if inner.is_dir() { inner } else { data.to_owned() };
        Ok(Self { path, get })
    }

    /// The content of the first of `names` that exists.
    pub(crate) fn read(&self, names: &[String]) -> Result<(PathBuf, Vec<u8>), DataError> {
        for name in names {
            let path = self.path.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => return Ok((path, bytes)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(DataError::Read { path, source }),
            }
        }
        Err(DataError::Missing { folder: self.path.clone(), names: names.to_vec(), get: self.get.clone() })
    }
}
