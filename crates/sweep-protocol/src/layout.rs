//! The folders and files of a results folder. This module only builds paths; it reads and writes nothing.

use std::path::{Path, PathBuf};

use crate::RunId;

/// Paths in a results folder.
#[derive(Clone, Debug)]
pub struct ResultsLayout {
    root: PathBuf,
}

impl ResultsLayout {
    /// Creates the layout of the results folder `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The results folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The SQLite index.
    pub fn database(&self) -> PathBuf {
        self.root.join("metrics.sqlite")
    }

    /// The lock file of the folder's only scheduler; it contains the scheduler's process id. The scheduler also locks
    /// the folder itself.
    pub fn lock(&self) -> PathBuf {
        self.root.join("scheduler.lock")
    }

    /// The plan of an experiment and profile, as it was last started.
    pub fn plan(&self, experiment: &str, profile: &str) -> PathBuf {
        self.plans().join(experiment).join(profile).join("plan.json")
    }

    /// The record of what the report of an experiment and profile was last made from. If nothing has changed, the next
    /// call does not render the report again.
    pub fn rendered(&self, experiment: &str, profile: &str) -> PathBuf {
        self.plans().join(experiment).join(profile).join("rendered.json")
    }

    /// The folder with the measurements of throughput of an experiment and profile. They need no lease: one process
    /// writes them under the lock of the results folder.
    pub fn throughput(&self, experiment: &str, profile: &str) -> ThroughputLayout {
        ThroughputLayout { root: self.plans().join(experiment).join(profile).join("throughput") }
    }

    /// The event files of an experiment and profile, which TensorBoard reads: one folder for each run. They are derived
    /// from the journals, and may be removed.
    pub fn tensorboard(&self, experiment: &str, profile: &str) -> PathBuf {
        self.plans().join(experiment).join(profile).join("tensorboard")
    }

    /// The folder of all plans. Each plan lies at `<experiment>/<profile>/plan.json` in it.
    pub fn plans(&self) -> PathBuf {
        self.root.join("experiments")
    }

    /// The measurements of an experiment and profile as text. They are kept in git, together with the renderings made
    /// from them.
    pub fn published(&self, experiment: &str, profile: &str) -> PathBuf {
        self.root.join("published").join(experiment).join(profile)
    }

    /// The folder of known digests of data files. It is a cache: it may be removed.
    pub fn digests(&self) -> PathBuf {
        self.root.join("digests")
    }

    /// The folder of unfinished runs that an import replaced, each named by its id and a number. It may be removed.
    pub fn replaced(&self) -> PathBuf {
        self.root.join("replaced")
    }

    /// The folder of what was submitted to Slurm: one folder for each submission, named 1, 2, …
    pub fn submissions(&self) -> PathBuf {
        self.root.join("slurm")
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

/// Paths of the measurements of throughput of one experiment and profile.
#[derive(Clone, Debug)]
pub struct ThroughputLayout {
    root: PathBuf,
}

impl ThroughputLayout {
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the records, one file per machine.
    pub fn records(&self) -> PathBuf {
        self.root.join("records")
    }

    /// The orders of the process that measures.
    pub fn orders(&self) -> PathBuf {
        self.root.join("orders.json")
    }

    /// The output of this process.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.txt")
    }
}

/// Paths in the folder of one run.
#[derive(Clone, Debug)]
pub struct RunLayout {
    root: PathBuf,
}

impl RunLayout {
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The resolved configuration and the seed, as JSON. The run's identity is computed from them.
    pub fn config(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// What people wrote down about the run, as JSON.
    pub fn tags(&self) -> PathBuf {
        self.root.join("tags.json")
    }

    /// The folder of all attempts, which are named 1, 2, …
    pub fn attempts(&self) -> PathBuf {
        self.root.join("attempts")
    }

    /// The folder that damaged files of the run are moved to.
    pub fn damaged(&self) -> PathBuf {
        self.root.join("damaged")
    }

    /// The folder of one attempt, counted from 1.
    pub fn attempt(&self, number: u32) -> AttemptLayout {
        AttemptLayout { root: self.attempts().join(number.to_string()) }
    }
}

/// Paths in the folder of one attempt. Only the attempt's process and its supervisor write there.
#[derive(Clone, Debug)]
pub struct AttemptLayout {
    root: PathBuf,
}

impl AttemptLayout {
    /// Creates the layout of an attempt folder given by path (`…/runs/<run>/attempts/<n>`).
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The resources that the attempt may use (device, threads, data folder), as JSON.
    pub fn orders(&self) -> PathBuf {
        self.root.join("orders.json")
    }

    /// The lease. It names the process that may write to the folder.
    pub fn lease(&self) -> PathBuf {
        self.root.join("lease")
    }

    /// Mark of the process that works here, if a cluster started it. A second start finds it and takes another folder.
    pub fn start(&self) -> PathBuf {
        self.root.join("start.json")
    }

    /// The journal that the attempt writes.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }

    /// The journal that the runner writes about the attempt.
    pub fn supervisor(&self) -> PathBuf {
        self.root.join("supervisor.jsonl")
    }

    /// The process's standard output and standard error.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.txt")
    }
}
