//! What people write down about a run: a note and tags. They are kept in the run's folder, are shown with the run, and
//! are no part of its identity.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{read_regular_file, write_atomically};

/// The note and the tags of a run: `tags.json` in its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunTags {
    /// Any text of one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Words with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl RunTags {
    /// Reads a file. Without a file, there is no note and no tag.
    ///
    /// # Errors
    /// When the file cannot be read, or does not have this form.
    pub fn read(path: &Path) -> io::Result<Self> {
        match read_regular_file(path) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            bytes => serde_json::from_slice(&bytes?).map_err(io::Error::other),
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        write_atomically(path, &text)
    }

    /// Whether there is neither a note nor a tag.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a filter matches: `key` matches a run with this tag, `key=value` one with this value.
    pub fn matches(&self, filter: &str) -> bool {
        match filter.split_once('=') {
            Some((key, value)) => self.tags.get(key).is_some_and(|found| found == value),
            None => self.tags.contains_key(filter),
        }
    }

    /// Returns the tags and the note as one line.
    pub fn line(&self) -> String {
        let tags = self.tags.iter().map(|(key, value)| match value.as_str() {
            "" => key.clone(),
            value => format!("{key}={value}"),
        });
        tags.chain(self.note.clone()).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_back_and_filtered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tags.json");
        assert!(RunTags::read(&path).unwrap().is_empty());
        let tags = RunTags {
            note: Some("odd curve".to_owned()),
            tags: [("keep".to_owned(), String::new()), ("paper".to_owned(), "fig 2".to_owned())].into(),
        };
        tags.write(&path).unwrap();
        assert_eq!(RunTags::read(&path).unwrap(), tags);
        assert_eq!(tags.line(), "keep; paper=fig 2; odd curve");
        assert!(tags.matches("keep") && tags.matches("paper=fig 2") && !tags.matches("paper=fig 3"));
        std::fs::write(&path, "{").unwrap();
        assert!(RunTags::read(&path).is_err());
    }
}
