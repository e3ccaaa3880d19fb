//! Where the files of a set are looked for, what lies in a folder, and what is said when something is not there.

use std::path::{Path, PathBuf};

use crate::data::DataError;

/// The folder that a set lies in.
pub(crate) struct Folder {
    path: PathBuf,
    get: String,
}

/// Ends of the names of image files, in lower case.
const IMAGE_ENDINGS: [&str; 3] = [".jpeg", ".jpg", ".png"];

impl Folder {
    /// `data/<name>`, or `data` itself where that folder does not exist.
    pub(crate) fn find(data: Option<&Path>, name: &str, get: &str) -> Result<Self, DataError> {
        let get = get.to_owned();
        let Some(data) = data else { return Err(DataError::NoFolder { set: name.to_owned(), get }) };
        let inner = data.join(name);
        let path = if inner.is_dir() { inner } else { data.to_owned() };
        Ok(Self { path, get })
    }

    /// Its place.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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
        Err(self.missing(names.to_vec()))
    }

    /// That none of `names` is there.
    pub(crate) fn missing(&self, names: Vec<String>) -> DataError {
        DataError::Missing { folder: self.path.clone(), names, get: self.get.clone() }
    }

    /// Names of the folders in `inner` (empty for the folder itself), sorted.
    pub(crate) fn folders(&self, inner: &str) -> Result<Vec<String>, DataError> {
        self.entries(inner, |path, _| path.is_dir())
    }

    /// Names of the image files in `inner`, sorted; each with `inner` before it.
    pub(crate) fn images(&self, inner: &str) -> Result<Vec<String>, DataError> {
        let is_image = |_: &Path, name: &str| {
            let name = name.to_ascii_lowercase();
            IMAGE_ENDINGS.iter().any(|ending| name.ends_with(ending))
        };
        let names = self.entries(inner, is_image)?;
        if names.is_empty() {
            return Err(self.missing(vec![format!("{inner}/*.{{JPEG,jpg,png}}")]));
        }
        Ok(names.into_iter().map(|name| format!("{inner}/{name}")).collect())
    }

    /// Names of the files in the folder itself, sorted.
    pub(crate) fn files(&self) -> Result<Vec<String>, DataError> {
        self.entries("", |path, _| path.is_file())
    }

    fn entries(&self, inner: &str, wanted: impl Fn(&Path, &str) -> bool) -> Result<Vec<String>, DataError> {
        let folder = self.path.join(inner);
        let fault = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => self.missing(vec![format!("{inner}/")]),
            _ => DataError::Read { path: folder.clone(), source },
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            // Hidden files are what other systems leave behind, such as `._n01443537_0.JPEG`.
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && wanted(&entry.path(), &name) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}
