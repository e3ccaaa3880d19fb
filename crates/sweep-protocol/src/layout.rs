//! Where things lie in a results folder. Names only: nothing is read or written here.

use std::path::{Path, PathBuf};

use crate::RunId;

/// A results folder.
#[derive(Clone, Debug)]
pub struct ResultsLayout {
    root: PathBuf,
}

impl ResultsLayout {
    /// The layout below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The SQLite index.
    pub fn database(&self) -> PathBuf {
        self.root.join("metrics.sqlite")
    }

    /// Held by the one scheduler of the folder, together with the folder itself; contains its process id.
    pub fn lock(&self) -> PathBuf {
        self.root.join("scheduler.lock")
    }

    /// The plan of an experiment and profile, as last started.
    pub fn plan(&self, experiment: &str, profile: &str) -> PathBuf {
        self.plans().join(experiment).join(profile).join("plan.json")
    }

    /// What the report of an experiment and profile was last made from, so that the next call need not make it again.
    pub fn rendered(&self, experiment: &str, profile: &str) -> PathBuf {
        self.plans().join(experiment).join(profile).join("rendered.json")
    }

    /// The folder of all plans: `<experiment>/<profile>/plan.json`.
    pub fn plans(&self) -> PathBuf {
        self.root.join("experiments")
    }

    /// Measurements as text, kept in git beside the renderings made from them.
    pub fn published(&self, experiment: &str, profile: &str) -> PathBuf {
        self.root.join("published").join(experiment).join(profile)
    }

    /// The folder of all runs.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The folder of one run.
    pub fn run(&self, run: RunId) -> RunLayout {
        RunLayout { root: self.runs().join(run.to_string()) }
    }
}

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunLayout {
    root: PathBuf,
}

impl RunLayout {
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The resolved configuration and the seed, as JSON: what the run's identity is made from.
    pub fn config(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// The folder of all attempts, named 1, 2, …
    pub fn attempts(&self) -> PathBuf {
        self.root.join("attempts")
    }

    /// Where damaged files of the run are set aside.
    pub fn damaged(&self) -> PathBuf {
        self.root.join("damaged")
    }

    /// The folder of one attempt (counted from 1).
    pub fn attempt(&self, number: u32) -> AttemptLayout {
        AttemptLayout { root: self.attempts().join(number.to_string()) }
    }
}

/// The folder of one attempt; only its own process and its supervisor write there.
#[derive(Clone, Debug)]
pub struct AttemptLayout {
    root: PathBuf,
}

impl AttemptLayout {
    /// The layout of an attempt folder given by path (`…/runs/<run>/attempts/<n>`).
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the attempt may use (device, threads, data folder), as JSON.
    pub fn orders(&self) -> PathBuf {
        self.root.join("orders.json")
    }

    /// Who may write into the folder.
    pub fn lease(&self) -> PathBuf {
        self.root.join("lease")
    }

    /// What the attempt says.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }

    /// What the runner says of the attempt.
    pub fn supervisor(&self) -> PathBuf {
        self.root.join("supervisor.jsonl")
    }

    /// The process's standard output and standard error.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.txt")
    }
}
