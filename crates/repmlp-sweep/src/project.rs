//! Where an experiment's files lie: results, report declarations and renderings, seen from the experiment file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sweep_protocol::{ExperimentRows, NAME_RULE, PlanRecord, ResultsLayout, check_name};
use sweep_report::{Declaration, PaperNumbers, ReportError};

use crate::cli::{ReportsArgs, ResultsArgs};
use crate::exit::UsageError;

/// The name of the experiment of a file, which need not exist: the stem of the file that a link leads to.
///
/// # Errors
/// When that cannot be a name.
pub(crate) fn experiment_name(spec: &Path) -> Result<String> {
    let name = sweep_plan::file_behind(spec).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let refusal =
        |fault| UsageError(format!("`{}` names no experiment, its name {fault}: {NAME_RULE}", spec.display()));
    check_name(&name).map_err(refusal)?;
    Ok(name)
}

/// The name of an experiment that was asked for by name or by file, and the file.
///
/// # Errors
/// When it cannot be a name.
pub(crate) fn name_or_file(asked: &Path) -> Result<(String, Option<&Path>)> {
    let is_file = asked.extension().is_some_and(|e| e == "toml") || asked.components().count() > 1;
    if is_file {
        return Ok((experiment_name(asked)?, Some(asked)));
    }
    let name = asked.to_string_lossy().into_owned();
    check_name(&name)
        .map_err(|fault| UsageError(format!("`{name}` is no experiment, its name {fault}: {NAME_RULE}")))?;
    Ok((name, None))
}

/// The folder that `experiments`, `results` and `reports` lie in.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// The project of an experiment file: the folder above `experiments`, or the file's own where it lies elsewhere. A link
    /// stands where it leads.
    pub(crate) fn of(spec: &Path) -> Self {
        let spec = sweep_plan::file_behind(spec);
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

    /// The folder that reports are declared in.
    fn reports(&self) -> PathBuf {
        self.folder("reports")
    }

    /// The folder of an experiment's renderings. Names come from records, and files are written and removed there.
    pub(crate) fn renderings(&self, arguments: &ReportsArgs, plan: &PlanRecord) -> Result<PathBuf> {
        for name in [&plan.experiment, &plan.profile] {
            check_name(name).map_err(|fault| UsageError(format!("`{name}` {fault}, so no folder can be called so")))?;
        }
        let reports = arguments.reports.clone().unwrap_or_else(|| self.reports());
        Ok(reports.join(&plan.experiment).join(&plan.profile))
    }

    /// Refuses a plan whose declared report could not be made of it: that is to be known before training.
    pub(crate) fn check_declaration(&self, plan: &PlanRecord) -> Result<(), ReportError> {
        let rows = ExperimentRows { plan: plan.clone(), runs: Vec::new(), measurements: Vec::new() };
        let (declaration, paper) = self.declaration(&rows)?;
        sweep_report::check_declaration(&declaration, plan, &paper)
    }

    /// Refuses a place for renderings in which no folder can be made, before anything is trained for them.
    pub(crate) fn check_place(&self, arguments: &ReportsArgs) -> Result<()> {
        let reports = arguments.reports.clone().unwrap_or_else(|| self.reports());
        let there = reports.ancestors().find(|path| path.exists());
        match there.filter(|path| !path.is_dir()) {
            Some(file) => {
                Err(UsageError(format!("--reports {}: {} is no folder", reports.display(), file.display())).into())
            }
            None => Ok(()),
        }
    }

    /// The declared report of an experiment, or the one made for an experiment that declares none.
    pub(crate) fn declaration(&self, rows: &ExperimentRows) -> Result<(Declaration, PaperNumbers), ReportError> {
        let declared = self.declared(&rows.plan)?;
        Ok(declared.unwrap_or_else(|| (Declaration::default_for(rows), PaperNumbers::default())))
    }

    /// The declared report of an experiment, if it declares one, and the paper's numbers that it names.
    pub(crate) fn declared(&self, plan: &PlanRecord) -> Result<Option<(Declaration, PaperNumbers)>, ReportError> {
        let path = self.reports().join(format!("{}.toml", plan.experiment));
        if !path.exists() {
            return Ok(None);
        }
        let declaration = Declaration::load(&path)?;
        let paper = PaperNumbers::load(&self.reports(), &declaration)?;
        Ok(Some((declaration, paper)))
    }
}
