//! A file that lines of JSON are added to. A line is written at once, and never behind half a line of an earlier call.

use std::fs::{File, OpenOptions, create_dir_all};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// An open file of JSON lines.
pub(super) struct JsonLines {
    file: File,
    path: PathBuf,
}

impl JsonLines {
    /// Opens a file of a folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn open(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let open = || {
            create_dir_all(folder)?;
            let mut file = OpenOptions::new().create(true).append(true).read(true).open(&path)?;
            let mut last = [b'\n'];
            if file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            if last != [b'\n'] {
                file.write_all(b"\n")?;
            }
            Ok::<_, std::io::Error>(file)
        };
        let file = open().with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { file, path })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn add(&mut self, line: &str) -> Result<()> {
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_never_added_to_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/lines.jsonl");
        let text = || std::fs::read_to_string(&path).unwrap();
        JsonLines::open(&folder.path().join("new"), "lines.jsonl").unwrap().add("{}").unwrap();
        std::fs::write(&path, text() + "{\"cut").unwrap();
        JsonLines::open(&folder.path().join("new"), "lines.jsonl").unwrap().add("[]").unwrap();
        assert_eq!(text(), "{}\n{\"cut\n[]\n");
    }
}
