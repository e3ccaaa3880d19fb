//! What a call plans: an experiment file or a base file alone, its profile, and the adjustments of the call.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sweep_plan::{Adjustments, Experiment, PlanError};

use crate::project::Project;

/// The input of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    source: Source,
    profile: Option<String>,
    adjustments: Adjustments,
}

/// The file of a plan.
#[derive(Clone, Debug)]
enum Source {
    Experiment(PathBuf),
    /// A base file alone: one configuration.
    Base(PathBuf),
}

impl Spec {
    pub(crate) fn experiment(path: PathBuf, profile: Option<String>, adjustments: Adjustments) -> Self {
        Self { source: Source::Experiment(path), profile, adjustments }
    }

    pub(crate) fn base(path: PathBuf, adjustments: Adjustments) -> Self {
        Self { source: Source::Base(path), profile: None, adjustments }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        match &self.source {
            Source::Experiment(path) | Source::Base(path) => path,
        }
    }

    /// Returns the project of the file.
    pub(crate) fn project(&self) -> Project {
        match &self.source {
            Source::Experiment(path) => Project::of(path),
            Source::Base(path) => Project::of_base(path),
        }
    }

    /// Reads the file.
    pub(crate) fn load(&self) -> Result<Experiment, PlanError> {
        match &self.source {
            Source::Experiment(path) => sweep_plan::load_adjusted(path, self.profile.as_deref(), &self.adjustments),
            Source::Base(path) => sweep_plan::load_base(path, &self.adjustments),
        }
    }

    /// Returns the digest of the file and its base files.
    pub(crate) fn digest(&self) -> Result<String, PlanError> {
        sweep_plan::digest(self.path())
    }
}
