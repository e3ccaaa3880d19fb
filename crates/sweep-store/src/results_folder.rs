//! Reads a results folder, and goes on where a part of it is damaged.
//!
//! This module knows files, not the index. An incomplete last line of a journal is not damage. It is what a process
//! leaves if it dies while it writes a line, and the line does not count.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sweep_protocol::{
    AttemptLayout, JournalReader, LineDamage, PlanRecord, ResultsLayout, RunFile, RunId, RunLayout, SupervisorEvent,
    ThroughputRecord, attempt_numbers, read_regular_file,
};

use crate::StoreError;
use crate::fold::{AttemptLines, RunState};
use crate::stamps;

/// A part of a results folder that cannot be used. Reading goes on with the other parts.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A file or folder cannot be read.
    #[error("{path}: cannot be read")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Cause of the failure.
        source: io::Error,
    },
    /// Part of a journal is lost.
    #[error("{0}")]
    Line(LineDamage),
    /// A journal has fewer lines than when its attempt was closed.
    #[error("{path}: the last {missing} lines are missing")]
    Cut {
        /// Path of the journal.
        path: PathBuf,
        /// Number of missing lines.
        missing: u64,
    },
    /// A plan is invalid.
    #[error("{path}: not a plan; run its experiment file again to write a new one")]
    Plan {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the failure.
        source: serde_json::Error,
    },
    /// The plan of a sweep disappeared, or was damaged, while it ran.
    #[error("{path}: removed or damaged while the sweep ran; nothing is lost: run the same command again")]
    LostPlan {
        /// Path of the file.
        path: PathBuf,
    },
    /// A measurement of throughput is invalid.
    #[error("{path}: not a measurement of throughput, so it does not count; `run` of its experiment measures again")]
    Throughput {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the failure.
        source: serde_json::Error,
    },
    /// A plan lies in the folder of another plan. It is not used, since it may be a copy that must not replace the
    /// original.
    #[error("{path}: a plan of {named}, but its folder has another name; this file is ignored")]
    Misplaced {
        /// Path of the file.
        path: PathBuf,
        /// Experiment and profile of the plan.
        named: String,
    },
    /// The configuration of a run does not match the run's id.
    #[error("{path}: not the configuration of run {run}: it has a different digest")]
    Identity {
        /// Path of the file.
        path: PathBuf,
        /// The run that the folder belongs to.
        run: RunId,
    },
    /// An attempted run has no attempt any more.
    #[error("{path}: {}; the run counts as not started", if path.symlink_metadata().is_ok() {
        "its attempts are gone"
    } else {
        "the folder was deleted"
    })]
    Deleted {
        /// The run's folder.
        path: PathBuf,
    },
    /// The index is damaged.
    #[error("{path}: damaged ({why}); the journals are read instead")]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads a results folder and collects the damage that it finds.
#[derive(Debug)]
pub(crate) struct FolderReader {
    pub(crate) layout: ResultsLayout,
    pub(crate) damage: Vec<Damage>,
}

impl FolderReader {
    pub(crate) fn new(layout: &ResultsLayout) -> Self {
        Self { layout: layout.clone(), damage: Vec::new() }
    }

    /// Returns every plan, sorted by experiment and profile.
    pub(crate) fn plans(&mut self) -> Vec<PlanRecord> {
        let mut plans = Vec::new();
        for experiment in self.names_in(&self.layout.plans()) {
            for profile in self.names_in(&self.layout.plans().join(&experiment)) {
                plans.extend(self.plan(&experiment, &profile));
            }
        }
        plans
    }

    /// Returns the plan of an experiment and profile, if there is one.
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

    /// Returns the newest measurement of throughput that covers all networks of a plan.
    pub(crate) fn throughput(&mut self, plan: &PlanRecord) -> Option<ThroughputRecord> {
        plan.networks().next()?;
        let folder = self.layout.throughput(&plan.experiment, &plan.profile).records();
        let mut newest: Option<ThroughputRecord> = None;
        for path in self.names_in(&folder).iter().filter(|name| name.ends_with(".json")).map(|name| folder.join(name)) {
            let Some(bytes) = self.bytes(&path) else { continue };
            match serde_json::from_slice::<ThroughputRecord>(&bytes) {
                Ok(record) if record.covers(plan.networks()) => {
                    let is_newer = newest.as_ref().is_none_or(|known| known.measured_at_ms < record.measured_at_ms);
                    newest = if is_newer { Some(record) } else { newest };
                }
                Ok(_) => {}
                Err(source) => self.damage.push(Damage::Throughput { path, source }),
            }
        }
        newest
    }

    /// Returns every run that has a folder, sorted.
    pub(crate) fn runs(&mut self) -> Vec<RunId> {
        self.names_in(&self.layout.runs()).iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Returns the configuration of a run, if its folder has it.
    pub(crate) fn run_file(&mut self, run: RunId) -> Option<RunFile> {
        let path = self.layout.run(run).config();
        let bytes = self.bytes(&path)?;
        let file = RunFile::parse(&bytes).filter(|file| file.id() == run);
        if file.is_none() {
            self.damage.push(Damage::Identity { path, run });
        }
        file
    }

    /// Returns the state of a run, read from its folder.
    pub(crate) fn run_state(&mut self, run: RunId) -> Result<RunState, StoreError> {
        let layout = self.layout.run(run);
        let numbers = self.attempt_numbers(&layout);
        let mut attempts = Vec::new();
        for number in numbers {
            let lines = self.attempt(number, &layout.attempt(number))?;
            // A folder without any journal line is not an attempt.
            if !(lines.supervisor.is_empty() && lines.journal.is_empty() && lines.damage.is_empty()) {
                attempts.push(lines);
            }
        }
        Ok(RunState::of(run, &attempts))
    }

    /// Returns the stamp of a run: a text of the sizes and times of its files. While it is the same, the files are
    /// unchanged. Empty for a run without attempts.
    pub(crate) fn stamp(&mut self, run: RunId) -> String {
        self.stamps(&[run]).pop().unwrap_or_default()
    }

    /// Returns the stamp of each run.
    pub(crate) fn stamps(&mut self, runs: &[RunId]) -> Vec<String> {
        let found = stamps::stamps(&self.layout, runs);
        let Some(found) = self.unless_missing(&self.layout.runs(), found) else {
            return vec![String::new(); runs.len()];
        };
        let stamp = |(stamp, run): (io::Result<String>, &RunId)| {
            let path = self.layout.run(*run).attempts();
            self.unless_missing(&path, stamp).unwrap_or_default()
        };
        found.into_iter().zip(runs).map(stamp).collect()
    }

    fn attempt_numbers(&mut self, run: &RunLayout) -> Vec<u32> {
        self.unless_missing(&run.attempts(), attempt_numbers(run)).unwrap_or_default()
    }

    fn attempt(&mut self, attempt: u32, folder: &AttemptLayout) -> Result<AttemptLines, StoreError> {
        let (supervisor, _, _) =
            self.lines::<SupervisorEvent>(JournalReader::new(&folder.supervisor()), &folder.supervisor())?;
        let extent = supervisor.iter().rev().find_map(|line| match line.event {
            SupervisorEvent::Closed { journal_lines, .. } => Some(journal_lines),
            SupervisorEvent::Launched { .. } | SupervisorEvent::Submitted { .. } => None,
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
        let damage = damage.collect();
        Ok(AttemptLines { attempt, journal, damage, unchecked, supervisor, ..AttemptLines::default() })
    }

    /// Returns the intact lines of a journal, the number of lines that it has or should have, and the number without a
    /// checksum.
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

    /// Returns the content of a file; `None` if it does not exist.
    fn bytes(&mut self, path: &Path) -> Option<Vec<u8>> {
        let read = read_regular_file(path);
        self.unless_missing(path, read)
    }

    /// Returns the names in a folder that are valid UTF-8, sorted; empty if the folder does not exist.
    fn names_in(&mut self, path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = self.unless_missing(path, entries).unwrap_or_default();
        let mut names: Vec<String> = entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn unless_missing<T>(&mut self, path: &Path, read: io::Result<T>) -> Option<T> {
        read.map_err(|source| {
            // A file in the place of a folder, or a folder in the place of a file, belongs to the user and is ignored.
            if !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                self.damage.push(Damage::Unreadable { path: path.to_owned(), source });
            }
        })
        .ok()
    }
}
