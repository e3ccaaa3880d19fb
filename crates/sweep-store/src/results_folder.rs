//! Reads what a results folder says, and goes on where a part of it is damaged.
//!
//! Knows files, not the index. An incomplete last line is no damage: it is what a process leaves that dies in the
//! middle of a word, and it was never said.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use serde::de::DeserializeOwned;
use sweep_protocol::{
    AttemptLayout, JournalReader, LineDamage, PlanRecord, ResultsLayout, RunId, RunLayout, SupervisorEvent,
    attempt_numbers, file_stamp, read_regular_file,
};

use crate::StoreError;
use crate::fold::{AttemptLines, RunState};

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
    /// Part of a journal is lost.
    #[error("{0}")]
    Line(LineDamage),
    /// A journal has fewer lines than when its attempt was closed.
    #[error("{path}: {missing} lines are missing at its end")]
    Cut {
        /// Which journal.
        path: PathBuf,
        /// How many.
        missing: u64,
    },
    /// A plan is not understood.
    #[error("{path}: not a plan; `run` its experiment file to write it again")]
    Plan {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A plan lies in the folder of another: a copy would take the place of the plan that it was copied from.
    #[error("{path}: the plan of {named}, which is not what its folder is called; it is not used")]
    Misplaced {
        /// Which file.
        path: PathBuf,
        /// Whose plan it is.
        named: String,
    },
    /// A run's configuration is not what its identity was made from.
    #[error("{path}: not the configuration that gives run {run} its id")]
    Identity {
        /// Which file.
        path: PathBuf,
        /// Whose folder it lies in.
        run: RunId,
    },
    /// A run that was attempted has no folder any more.
    #[error("{path}: the folder was deleted; the run counts as not started")]
    Deleted {
        /// Where it was.
        path: PathBuf,
    },
    /// The index said something else than the journals.
    #[error("{path}: damaged ({why}); what it says is taken from the journals")]
    Index {
        /// The index.
        path: PathBuf,
        /// What was found.
        why: String,
    },
}

/// What a run's identity was made from.
pub(crate) struct RunFile {
    pub(crate) config: String,
    pub(crate) seed: u64,
}

/// Reads a results folder and collects the damage on the way.
#[derive(Debug)]
pub(crate) struct FolderReader {
    pub(crate) layout: ResultsLayout,
    pub(crate) damage: Vec<Damage>,
}

impl FolderReader {
    pub(crate) fn new(layout: &ResultsLayout) -> Self {
        Self { layout: layout.clone(), damage: Vec::new() }
    }

    /// Every plan, in the order of experiment and profile.
    pub(crate) fn plans(&mut self) -> Vec<PlanRecord> {
        let mut plans = Vec::new();
        for experiment in self.names_in(&self.layout.plans()) {
            for profile in self.names_in(&self.layout.plans().join(&experiment)) {
                plans.extend(self.plan(&experiment, &profile));
            }
        }
        plans
    }

    /// The plan of an experiment and profile, if there is one.
    pub(crate) fn plan(&mut self, experiment: &str, profile: &str) -> Option<PlanRecord> {
        let path = self.layout.plan(experiment, profile);
        let bytes = self.bytes(&path)?;
        let read = serde_json::from_slice::<PlanRecord>(&bytes).and_then(|plan| match plan.repetition() {
            Some(repetition) => Err(serde::de::Error::custom(repetition)),
            None => Ok(plan),
        });
        match read {
            Ok(plan) if plan.experiment == experiment && plan.profile == profile => Some(plan),
            Ok(plan) => {
                let named = format!("{} ({})", plan.experiment, plan.profile);
                self.damage.push(Damage::Misplaced { path, named });
                None
            }
            Err(source) => {
                self.damage.push(Damage::Plan { path, source });
                None
            }
        }
    }

    /// Every run that has a folder, in order.
    pub(crate) fn runs(&mut self) -> Vec<RunId> {
        self.names_in(&self.layout.runs()).iter().filter_map(|name| name.parse().ok()).collect()
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

    /// What a run came to, by its folder.
    pub(crate) fn run_state(&mut self, run: RunId) -> Result<RunState, StoreError> {
        let layout = self.layout.run(run);
        let numbers = self.attempt_numbers(&layout);
        let mut attempts = Vec::new();
        for number in numbers {
            let lines = self.attempt(number, &layout.attempt(number))?;
            // An empty folder is not one that this program made an attempt in.
            if !(lines.supervisor.is_empty() && lines.journal.is_empty() && lines.damage.is_empty()) {
                attempts.push(lines);
            }
        }
        Ok(RunState::of(run, &attempts))
    }

    /// What the sizes and times of a run's files come to: while it is the same, so is what they say. Empty for a run without attempts.
    pub(crate) fn stamp(&mut self, run: RunId) -> String {
        self.stamps(&[run]).pop().unwrap_or_default()
    }

    /// The stamp of each run.
    pub(crate) fn stamps(&mut self, runs: &[RunId]) -> Vec<String> {
        let layout = &self.layout;
        let stamps: Vec<_> = runs.par_iter().map(|&run| stamp_of(&layout.run(run))).collect();
        let stamp = |(stamp, run): (io::Result<String>, &RunId)| {
            let path = self.layout.run(*run).attempts();
            self.unless_missing(&path, stamp).unwrap_or_default()
        };
        stamps.into_iter().zip(runs).map(stamp).collect()
    }

    fn attempt_numbers(&mut self, run: &RunLayout) -> Vec<u32> {
        self.unless_missing(&run.attempts(), attempt_numbers(run)).unwrap_or_default()
    }

    fn attempt(&mut self, attempt: u32, folder: &AttemptLayout) -> Result<AttemptLines, StoreError> {
        let (supervisor, _, _) =
            self.lines::<SupervisorEvent>(JournalReader::new(&folder.supervisor()), &folder.supervisor())?;
        let extent = supervisor.iter().rev().find_map(|line| match line.event {
            SupervisorEvent::Closed { journal_lines, .. } => Some(journal_lines),
            SupervisorEvent::Launched { .. } => None,
        });
        let extent = extent.flatten();
        let known = self.damage.len();
        let path = folder.journal();
        let (journal, read, unchecked) = self.lines(JournalReader::new(&path).up_to(extent), &path)?;
        if let Some(missing) = extent.and_then(|extent| extent.checked_sub(read)).filter(|missing| *missing > 0) {
            self.damage.push(Damage::Cut { path, missing });
        }
        let damage = self.damage[known..].iter().map(|damage| match damage {
            Damage::Line(damage) => damage.clone(),
            other => LineDamage { path: folder.journal(), line: 0, what: other.to_string() },
        });
        Ok(AttemptLines { attempt, journal, damage: damage.collect(), unchecked, supervisor })
    }

    /// The intact lines of a journal, how many lines it has or should have, and how many have no checksum.
    fn lines<T: DeserializeOwned>(
        &mut self,
        mut reader: JournalReader<T>,
        path: &Path,
    ) -> Result<(Vec<sweep_protocol::JournalLine<T>>, u64, u64), StoreError> {
        use sweep_protocol::JournalError;
        match reader.read_new() {
            Ok(part) => {
                self.damage.extend(part.damage.into_iter().map(Damage::Line));
                Ok((part.lines, reader.next_seq(), reader.unchecked()))
            }
            Err(source @ JournalError::Newer { .. }) => Err(StoreError::Newer { source }),
            Err(JournalError::Io { source, .. }) => {
                self.damage.push(Damage::Unreadable { path: path.to_owned(), source });
                Ok((Vec::new(), 0, 0))
            }
            Err(source) => Err(StoreError::Newer { source }),
        }
    }

    /// The content of a file; nothing when it does not exist.
    fn bytes(&mut self, path: &Path) -> Option<Vec<u8>> {
        let read = read_regular_file(path);
        self.unless_missing(path, read)
    }

    /// The entries of a folder whose names are text, in order; none when it does not exist.
    fn names_in(&mut self, path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = self.unless_missing(path, entries).unwrap_or_default();
        let mut names: Vec<String> = entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn unless_missing<T>(&mut self, path: &Path, read: io::Result<T>) -> Option<T> {
        read.map_err(|source| {
            // A file where a folder belongs, or the other way round, is somebody else's.
            if !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                self.damage.push(Damage::Unreadable { path: path.to_owned(), source });
            }
        })
        .ok()
    }
}

fn stamp_of(run: &RunLayout) -> io::Result<String> {
    let numbers = attempt_numbers(run)?;
    let stamp_or_dash = |path: &Path| file_stamp(path).unwrap_or_else(|| "-".to_owned());
    let mut stamp = if numbers.is_empty() { String::new() } else { stamp_or_dash(&run.config()) };
    for number in numbers {
        let attempt = run.attempt(number);
        let [journal, supervisor] = [attempt.journal(), attempt.supervisor()].map(|path| stamp_or_dash(&path));
        // Writing to a text cannot fail.
        let _: std::fmt::Result = write!(stamp, ";{number}:{journal}:{supervisor}");
    }
    Ok(stamp)
}

/// Takes `{"config":…,"seed":…}` apart without touching the configuration's bytes, since they are what was hashed.
fn parse_run_file(bytes: &[u8]) -> Option<RunFile> {
    let inner = std::str::from_utf8(bytes).ok()?.trim_end().strip_prefix("{\"config\":")?.strip_suffix('}')?;
    let (config, seed) = inner.rsplit_once(",\"seed\":")?;
    Some(RunFile { config: config.to_owned(), seed: seed.parse().ok()? })
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
