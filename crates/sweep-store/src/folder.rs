//! Reads what a results folder says, and goes on where a part of it is damaged.
//!
//! Knows files, not the index. An incomplete last line is no damage: it is what a process leaves that dies in the
//! middle of a word, and it was never said.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sweep_protocol::{Event, JournalLine, PlanRecord, ResultsLayout, RunId, RunLayout, SupervisorEvent};

/// A part of a results folder that could not be used; everything else was.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A file or folder cannot be read.
    #[error("{path}: cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of a journal is not understood.
    #[error("{path}, line {line}: not understood")]
    Line {
        /// Which journal.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A plan is not understood.
    #[error("{path}: not a plan")]
    Plan {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A plan lies in the folder of another: a copy would take the place of the plan that it was copied from.
    #[error("{path}: the plan of {experiment} ({profile}), which is not what its folder is called")]
    Misplaced {
        /// Which file.
        path: PathBuf,
        /// Whose plan it is.
        experiment: String,
        /// Under which profile.
        profile: String,
    },
    /// A run's configuration is not what its identity was made from.
    #[error("{path}: not the configuration that gives run {run} its id")]
    Identity {
        /// Which file.
        path: PathBuf,
        /// Whose folder it lies in.
        run: RunId,
    },
}

/// What a run's identity was made from.
pub(crate) struct RunFile {
    pub(crate) config: String,
    pub(crate) seed: u64,
}

/// What was said of one attempt by itself and by its supervisor.
pub(crate) struct AttemptLines {
    pub(crate) attempt: u32,
    pub(crate) journal: Vec<JournalLine<Event>>,
    pub(crate) supervisor: Vec<JournalLine<SupervisorEvent>>,
}

/// Reads a results folder and collects the damage on the way.
pub(crate) struct FolderReader<'a> {
    pub(crate) layout: &'a ResultsLayout,
    pub(crate) damage: Vec<Damage>,
}

impl FolderReader<'_> {
    /// Every plan, in the order of experiment and profile.
    pub(crate) fn plans(&mut self) -> Vec<PlanRecord> {
        let mut plans = Vec::new();
        for experiment in self.names_in::<String>(&self.layout.plans()) {
            for profile in self.names_in::<String>(&self.layout.plans().join(&experiment)) {
                let path = self.layout.plan(&experiment, &profile);
                let Some(bytes) = self.bytes(&path) else { continue };
                match serde_json::from_slice::<PlanRecord>(&bytes) {
                    Ok(plan) if (&plan.experiment, &plan.profile) != (&experiment, &profile) => {
                        self.damage.push(Damage::Misplaced {
                            path,
                            experiment: plan.experiment,
                            profile: plan.profile,
                        });
                    }
                    Ok(plan) => plans.push(plan),
                    Err(source) => self.damage.push(Damage::Plan { path, source }),
                }
            }
        }
        plans
    }

    /// Every run that has a folder.
    pub(crate) fn runs(&mut self) -> Vec<RunId> {
        self.names_in(&self.layout.runs())
    }

    /// The configuration of a run, if its folder has it.
    pub(crate) fn run_file(&mut self, run: RunId) -> Option<RunFile> {
        let path = self.layout.run(run).config();
        let bytes = self.bytes(&path)?;
        let file = parse_run_file(&bytes).filter(|file| RunId::of(&file.config, file.seed) == run);
        if file.is_none() {
            self.damage.push(Damage::Identity { path, run });
        }
        file
    }

    /// What was said of each attempt of a run, in their order.
    pub(crate) fn attempts(&mut self, run: &RunLayout) -> Vec<AttemptLines> {
        let numbers = self.names_in::<u32>(&run.attempts());
        let lines = numbers.into_iter().map(|attempt| {
            let folder = run.attempt(attempt);
            AttemptLines {
                attempt,
                journal: self.lines(&folder.journal()),
                supervisor: self.lines(&folder.supervisor()),
            }
        });
        lines.collect()
    }

    fn lines<T: DeserializeOwned>(&mut self, path: &Path) -> Vec<JournalLine<T>> {
        let bytes = self.bytes(path).unwrap_or_default();
        let mut lines = Vec::new();
        let complete = bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
        for (number, line) in (1..).zip(complete) {
            match serde_json::from_slice(line) {
                Ok(line) => lines.push(line),
                Err(source) => self.damage.push(Damage::Line { path: path.to_owned(), line: number, source }),
            }
        }
        lines
    }

    /// The content of a file; nothing when it does not exist.
    fn bytes(&mut self, path: &Path) -> Option<Vec<u8>> {
        self.unless_missing(path, fs::read(path))
    }

    /// The entries of a folder whose names are what is asked for, in order; none when it does not exist.
    fn names_in<T: std::str::FromStr + Ord>(&mut self, path: &Path) -> Vec<T> {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = self.unless_missing(path, entries).unwrap_or_default();
        let mut names: Vec<T> =
            entries.iter().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
        names.sort();
        names
    }

    fn unless_missing<T>(&mut self, path: &Path, read: io::Result<T>) -> Option<T> {
        read.map_err(|source| {
            if source.kind() != io::ErrorKind::NotFound {
                self.damage.push(Damage::Unreadable { path: path.to_owned(), source });
            }
        })
        .ok()
    }
}

/// Takes `{"config":…,"seed":…}` apart without touching the configuration's bytes, since they are what was hashed.
fn parse_run_file(bytes: &[u8]) -> Option<RunFile> {
    let inner = std::str::from_utf8(bytes).ok()?.trim_end().strip_prefix("{\"config\":")?.strip_suffix('}')?;
    let (config, seed) = inner.rsplit_once(",\"seed\":")?;
    Some(RunFile { config: config.to_owned(), seed: seed.parse().ok()? })
}

/// The path with something after its last name: `metrics.sqlite` and `-wal` make `metrics.sqlite-wal`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_file_gives_back_the_bytes_that_were_hashed() {
        let file = parse_run_file(br#"{"config":{"note":",\"seed\":3}"},"seed":7}"#).unwrap();
        assert_eq!((file.config.as_str(), file.seed), (r#"{"note":",\"seed\":3}"}"#, 7));
        for bad in ["", "{}", r#"{"config":{}}"#, r#"{"config":{},"seed":x}"#] {
            assert!(parse_run_file(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
