//! Where an experiment's files lie: results, report declarations and renderings, seen from the experiment file.

use std::path::{Path, PathBuf};

use sweep_protocol::{PlanRecord, ResultsLayout};
use sweep_report::{Declaration, PaperNumbers, ReportError};

use crate::cli::{ReportsArgs, ResultsArgs};

/// The folder that `experiments`, `results` and `reports` lie in.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// The project of an experiment file: the folder above `experiments`, or the file's own where it lies elsewhere.
    pub(crate) fn of(spec: &Path) -> Self {
        let folder = spec.parent().map_or_else(PathBuf::new, Path::to_owned);
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let named_experiments =
            std::path::absolute(&folder).is_ok_and(|f| f.file_name() == Some("experiments".as_ref()));
        Self { root: if named_experiments { folder.join("..") } else { folder } }.tidied()
    }

    /// The project of the current folder.
    pub(crate) fn here() -> Self {
        Self { root: PathBuf::from(".") }
    }

    /// `experiments/..` written as `.`: paths are shown to people.
    fn tidied(self) -> Self {
        match self.root.to_str() {
            Some("experiments/.." | "./experiments/..") => Self::here(),
            _ => self,
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        if self.root == Path::new(".") { PathBuf::from(name) } else { self.root.join(name) }
    }

    pub(crate) fn results(&self, arguments: &ResultsArgs) -> ResultsLayout {
        ResultsLayout::new(arguments.results.clone().unwrap_or_else(|| self.folder("results")))
    }

    /// The folder of an experiment's renderings.
    pub(crate) fn renderings(&self, arguments: &ReportsArgs, plan: &PlanRecord) -> PathBuf {
        let reports = arguments.reports.clone().unwrap_or_else(|| self.folder("reports"));
        reports.join(&plan.experiment).join(&plan.profile)
    }

    /// The declared report of an experiment, or the one made for an experiment that declares none.
    pub(crate) fn declaration(&self, plan: &PlanRecord) -> Result<(Declaration, PaperNumbers), ReportError> {
        let reports = self.folder("reports");
        let path = reports.join(format!("{}.toml", plan.experiment));
        let declaration = if path.exists() { Declaration::load(&path)? } else { Declaration::default_for(plan) };
        let paper = PaperNumbers::load(&reports, &declaration)?;
        Ok((declaration, paper))
    }
}
