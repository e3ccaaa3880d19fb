//! Finds the files of a data set, and reports missing files.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::data::DataError;
use crate::data::content::Content;
use crate::data::error::listed;

/// The folder of a data set.
pub(crate) struct DataFolder {
    path: PathBuf,
    get: String,
}

/// Endings of image files, in lower case.
const IMAGE_ENDINGS: [&str; 3] = [".jpeg", ".jpg", ".png"];

/// Endings of image formats that are not supported.
const OTHER_ENDINGS: [&str; 13] =
    [".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".pgm", ".ppm", ".tif", ".tiff", ".webp"];

/// Returns the names that a file may have: with and without `.gz`.
pub(crate) fn or_gzipped(name: &str) -> [String; 2] {
    let other = name.strip_suffix(".gz").map_or_else(|| format!("{name}.gz"), str::to_owned);
    [name.to_owned(), other]
}

impl DataFolder {
    /// Finds `data/<name>`. If that folder does not exist, `data` itself is used.
    pub(crate) fn find(data: Option<&Path>, name: &str, get: &str) -> Result<Self, DataError> {
        let get = get.to_owned();
        let Some(data) = data else { return Err(DataError::NoFolder { set: name.to_owned(), get }) };
        let inner = data.join(name);
        if inner.is_dir() {
            return Ok(Self { path: inner, get });
        }
        let missing = match data.is_dir() {
            true => format!("There is no folder {} either.", inner.display()),
            false => format!("The folder {} does not exist.", data.display()),
        };
        Ok(Self { path: data.to_owned(), get: format!("{missing} {get}") })
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether it has a folder `inner`.
    pub(crate) fn has(&self, inner: &str) -> bool {
        self.path.join(inner).is_dir()
    }

    /// Opens the first of `names` that exists.
    pub(crate) fn open(&self, names: &[String]) -> Result<Content<'static>, DataError> {
        for name in names {
            let path = self.path.join(name);
            match Content::of_file(path) {
                Err(DataError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                opened => return opened,
            }
        }
        Err(self.missing(names.to_vec()))
    }

    /// Returns the error that none of `names` exists.
    pub(crate) fn missing(&self, names: Vec<String>) -> DataError {
        DataError::Missing { folder: self.path.clone(), names, get: self.get.clone() }
    }

    /// Returns the names of the folders in `inner`, sorted. An empty `inner` is the folder itself.
    pub(crate) fn folders(&self, inner: &str) -> Result<Vec<String>, DataError> {
        self.entries(inner, |path, _| path.is_dir())
    }

    /// Returns the names of the image files in `inner` and all folders below it, as torchvision finds them. They are
    /// sorted and start with `inner`.
    pub(crate) fn images(&self, inner: &str) -> Result<Vec<String>, DataError> {
        let mut names = Vec::new();
        let mut open = vec![(inner.to_owned(), Vec::new())];
        while let Some((inner, mut above)) = open.pop() {
            names.extend(self.own_images(&inner)?);
            above.push(self.identity(&inner)?);
            for name in self.folders(&inner)? {
                let below = format!("{inner}/{name}");
                if above.contains(&self.identity(&below)?) {
                    let source = std::io::Error::other("it is a link to a folder that contains it");
                    return Err(DataError::Read { path: self.path.join(below), source });
                }
                open.push((below, above.clone()));
            }
        }
        if names.is_empty() {
            return Err(self.missing(vec![format!("{inner}/*.{{JPEG,jpg,png}}")]));
        }
        names.sort();
        Ok(names)
    }

    /// Refuses images in `inner` itself: they must be in the folders below it.
    pub(crate) fn refuse_images(&self, inner: &str) -> Result<(), DataError> {
        let names = self.own_images(inner)?;
        match names.is_empty() {
            true => Ok(()),
            false => {
                Err(DataError::Outside { folder: self.path.join(inner), count: names.len(), names: listed(&names) })
            }
        }
    }

    /// Returns the names of the image files in `inner` itself. Files of unsupported image formats are an error: they
    /// would silently be left out.
    fn own_images(&self, inner: &str) -> Result<Vec<String>, DataError> {
        let ends = |name: &str, endings: &[&str]| {
            let name = name.to_ascii_lowercase();
            endings.iter().any(|ending| name.ends_with(ending))
        };
        let others = self.entries(inner, |_, name| ends(name, &OTHER_ENDINGS))?;
        if !others.is_empty() {
            let (folder, count) = (self.path.join(inner), others.len());
            return Err(DataError::OtherFormats { folder, count, names: listed(&others) });
        }
        let names = self.entries(inner, |path, name| ends(name, &IMAGE_ENDINGS) && !path.is_dir())?;
        let joined = |name| if inner.is_empty() { name } else { format!("{inner}/{name}") };
        Ok(names.into_iter().map(joined).collect())
    }

    /// Returns device and inode, which identify a folder reached by any path.
    fn identity(&self, inner: &str) -> Result<(u64, u64), DataError> {
        let path = self.path.join(inner);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok((metadata.dev(), metadata.ino())),
            Err(source) => Err(DataError::Read { path, source }),
        }
    }

    /// Returns the names of the files in the folder itself, sorted.
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
            // Skip hidden files, which other systems leave behind, for example `._n01443537_0.JPEG`.
            let lossy = entry.file_name().to_string_lossy().into_owned();
            if !lossy.starts_with('.') && wanted(&entry.path(), &lossy) {
                let name = entry.file_name().into_string();
                names.push(name.map_err(|_| DataError::NoText { folder: folder.clone(), name: lossy })?);
            }
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::data::fixture::{folder_with, write};

    fn images(folder: &Path) -> Result<Vec<String>, String> {
        let found = DataFolder::find(Some(folder), "own", "").unwrap().images("a");
        found.map_err(|fault| fault.to_string().replace(&folder.display().to_string(), "DIR"))
    }

    fn with(names: &[&str]) -> tempfile::TempDir {
        folder_with(&names.iter().map(|name| (*name, Vec::new())).collect::<Vec<_>>())
    }

    #[test]
    fn folders_below_are_searched_whatever_the_case_of_endings() {
        let folder =
            with(&["a/2.PNG", "a/in/0.Jpg", "a/in/deeper/1.jpeg", "a/.hidden/3.png", "a/._4.png", "a/notes.txt"]);
        assert_eq!(images(folder.path()).unwrap(), ["a/2.PNG", "a/in/0.Jpg", "a/in/deeper/1.jpeg"]);
        symlink(folder.path().join("a/in"), folder.path().join("a/link")).unwrap();
        assert_eq!(images(folder.path()).unwrap().len(), 5, "links are followed, as torchvision does");
        symlink(folder.path().join("a"), folder.path().join("a/in/loop")).unwrap();
        let text = images(folder.path()).unwrap_err();
        assert!(text.starts_with("DIR/a/") && text.ends_with("/loop cannot be read"), "{text}");
    }

    #[test]
    fn images_that_would_be_left_out_are_refused() {
        let folder = with(&["a/0.png", "a/in/1.webp", "a/in/2.GIF", "a/in/3.bmp", "a/in/4.tiff", "a/in/5.webp"]);
        assert_eq!(
            images(folder.path()).unwrap_err(),
            "DIR/a/in has 5 images in unsupported formats (1.webp, 2.GIF, 3.bmp, 4.tiff and 1 more): convert them to \
             PNG or JPEG, or move them away"
        );
        let folder = with(&["a/0.png"]);
        write(folder.path(), "a/1.png", b"");
        let name = OsStr::from_bytes(b"caf\xe9.png");
        std::fs::rename(folder.path().join("a/1.png"), folder.path().join("a").join(name)).unwrap();
        assert_eq!(
            images(folder.path()).unwrap_err(),
            "DIR/a contains a name that is not valid UTF-8: caf\u{fffd}.png; rename it"
        );
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = with(&["b/0.png"]);
        let text = images(folder.path()).unwrap_err();
        assert_eq!(text, "no a/ in DIR. There is no folder DIR/own either.");
    }
}
