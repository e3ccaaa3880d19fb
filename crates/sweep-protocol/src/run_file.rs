//! The run file: the text that a run's identity is the digest of. Its name is `run.json`.

use crate::RunId;

/// Configuration and seed of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFile {
    /// The canonical configuration: JSON with sorted keys.
    pub config: String,
    /// The seed.
    pub seed: u64,
}

impl RunFile {
    /// Returns the content of the file: `{"config":…,"seed":…}`. The bytes of the configuration stay as they are, since
    /// they are hashed.
    pub fn text(&self) -> String {
        format!("{{\"config\":{},\"seed\":{}}}", self.config, self.seed)
    }

    /// Parses the content of a file. Returns `None` if it has another form.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let inner = std::str::from_utf8(bytes).ok()?.trim_end().strip_prefix("{\"config\":")?.strip_suffix('}')?;
        let (config, seed) = inner.rsplit_once(",\"seed\":")?;
        Some(Self { config: config.to_owned(), seed: seed.parse().ok()? })
    }

    /// Returns the identity of the run.
    pub fn id(&self) -> RunId {
        RunId::of(&self.config, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_file_gives_back_the_bytes_that_were_hashed() {
        let text = r#"{"config":{"note":",\"seed\":3}"},"seed":7}"#;
        let file = RunFile::parse(text.as_bytes()).unwrap();
        assert_eq!((file.config.as_str(), file.seed), (r#"{"note":",\"seed\":3}"}"#, 7));
        assert_eq!(file.text(), text);
        assert_eq!(file.id().to_string(), blake3::hash(text.as_bytes()).to_hex().to_string());
        for bad in ["", "{}", r#"{"config":{}}"#, r#"{"config":{},"seed":x}"#] {
            assert!(RunFile::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
