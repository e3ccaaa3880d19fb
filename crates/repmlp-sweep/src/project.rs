//! The folders of an experiment: results, report declarations and renderings. They are found from the experiment file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sweep_protocol::{ExperimentRows, NAME_RULE, PlanRecord, ResultsLayout, check_name};
use sweep_report::claims::{self, CheckedStatement, PaperStatements};
use sweep_report::{Declaration, PaperNumbers, ReportError};

use crate::cli::{ReportsArgs, ResultsArgs};
use crate::exit::UsageError;
use crate::paper;

/// Returns the name of the experiment in a file: the file name without its extension, after following links. The file
/// need not exist.
///
/// # Errors
/// When this is not a valid name.
pub(crate) fn experiment_name(spec: &Path) -> Result<String> {
    let name = sweep_plan::file_behind(spec).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let refusal = |fault| {
        UsageError(format!("`{}` is not a valid experiment file: its name {fault}: {NAME_RULE}", spec.display()))
    };
    check_name(&name).map_err(refusal)?;
    Ok(name)
}

/// Returns the name of an experiment that is given by name or by file, and the file if one is given.
///
/// # Errors
/// When this is not a valid name.
pub(crate) fn name_or_file(asked: &Path) -> Result<(String, Option<&Path>)> {
    let is_file = asked.extension().is_some_and(|e| e == "toml") || asked.components().count() > 1;
    if is_file {
        return Ok((experiment_name(asked)?, Some(asked)));
    }
    let name = asked.to_string_lossy().into_owned();
    check_name(&name)
        .map_err(|fault| UsageError(format!("`{name}` is not a valid experiment name: it {fault}: {NAME_RULE}")))?;
    Ok((name, None))
}

/// A project: the folder that contains `experiments`, `results` and `reports`.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// Returns the project of an experiment file: the folder above `experiments`, or the file's own folder if it is not
    /// called `experiments`. Links to the file are followed first.
    pub(crate) fn of(spec: &Path) -> Self {
        let spec = sweep_plan::file_behind(spec);
        let folder = spec.parent().map_or_else(PathBuf::new, Path::to_owned);
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let named_experiments =
            std::path::absolute(&folder).is_ok_and(|f| f.file_name() == Some("experiments".as_ref()));
        Self { root: if named_experiments { folder.join("..") } else { folder } }.tidied()
    }

    /// Returns the project of a base file: the folder above `experiments`, if the file lies below such a folder.
    pub(crate) fn of_base(base: &Path) -> Self {
        let base = sweep_plan::file_behind(base);
        let above = base.ancestors().find(|path| path.file_name() == Some("experiments".as_ref()));
        above.map_or_else(|| Self::of(&base), |experiments| Self::of(&experiments.join("base.toml")))
    }

    /// Returns the project of the current folder.
    pub(crate) fn here() -> Self {
        Self { root: PathBuf::from(".") }
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes `experiments/..` as `.`, since paths are shown to the user.
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

    /// Returns the folder of report declarations.
    pub(crate) fn reports(&self) -> PathBuf {
        self.folder("reports")
    }

    /// Returns the folder of an experiment's renderings. The names are checked, since they come from records and files
    /// are written and removed there.
    pub(crate) fn renderings(&self, arguments: &ReportsArgs, plan: &PlanRecord) -> Result<PathBuf> {
        for name in [&plan.experiment, &plan.profile] {
            check_name(name)
                .map_err(|fault| UsageError(format!("`{name}` {fault}, so it cannot be the name of a folder")))?;
        }
        let reports = arguments.reports.clone().unwrap_or_else(|| self.reports());
        Ok(reports.join(&plan.experiment).join(&plan.profile))
    }

    /// Refuses a plan that does not fit its declared report, so that the error appears before training.
    pub(crate) fn check_declaration(&self, plan: &PlanRecord) -> Result<(), ReportError> {
        let rows = ExperimentRows::of_plan(plan.clone());
        let (declaration, paper) = self.declaration(&rows)?;
        sweep_report::check_declaration(&declaration, plan, &paper)
    }

    /// Refuses a reports folder that cannot be created, before anything is trained.
    pub(crate) fn check_place(&self, arguments: &ReportsArgs) -> Result<()> {
        let reports = arguments.reports.clone().unwrap_or_else(|| self.reports());
        let there = reports.ancestors().find(|path| path.exists());
        match there.filter(|path| !path.is_dir()) {
            Some(file) => {
                Err(UsageError(format!("--reports {}: {} is not a folder", reports.display(), file.display())).into())
            }
            None => Ok(()),
        }
    }

    /// Returns the declared report of an experiment, or a default report if none is declared.
    pub(crate) fn declaration(&self, rows: &ExperimentRows) -> Result<(Declaration, PaperNumbers), ReportError> {
        let declared = self.declared(&rows.plan)?;
        let (declaration, paper) =
            declared.unwrap_or_else(|| (Declaration::default_for(rows), PaperNumbers::default()));
        Ok((declaration.with_metrics_of(&rows.plan), paper))
    }

    /// Returns the digest of each claim of the declared report.
    pub(crate) fn claim_digests(&self, plan: &PlanRecord) -> Result<BTreeMap<String, String>, ReportError> {
        let declared = self.declared(plan)?;
        let digests = |(declaration, paper): (Declaration, PaperNumbers)| {
            claims::Scope { declaration: &declaration, plan, paper: &paper }.digests()
        };
        Ok(declared.map(digests).unwrap_or_default())
    }

    /// Checks what the paper says in its text against its printed tables.
    pub(crate) fn statements(&self) -> Result<Vec<CheckedStatement>, ReportError> {
        PaperStatements::check(&self.reports(), paper::STATEMENTS, &paper::files())
    }

    /// Returns the declared report of an experiment, if there is one, with the paper's numbers that it names.
    pub(crate) fn declared(&self, plan: &PlanRecord) -> Result<Option<(Declaration, PaperNumbers)>, ReportError> {
        let path = self.reports().join(format!("{}.toml", plan.experiment));
        // A link that leads nowhere is not the absence of a report.
        let there = path.symlink_metadata();
        if there.is_err_and(|fault| fault.kind() == std::io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let declaration = Declaration::load(&path)?;
        let mut paper = PaperNumbers::load(&self.reports(), &declaration, &paper::TABLES)?;
        // Counting takes some milliseconds, and only claims of the paper are judged by counts.
        if declaration.claims.iter().any(|claim| claim.source.is_some()) {
            paper.counts = paper::counts(&paper);
        }
        Ok(Some((declaration.with_metrics_of(plan), paper)))
    }
}
