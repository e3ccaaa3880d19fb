//! `init`: writes a first experiment, its base and its report, fitted to the images of a folder or to the built-in
//! ones.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use repmlp_train::data::{DetectError, DetectedSet, Labels, SourceConfig, detect};
use sweep_plan::Adjustments;
use sweep_protocol::{NAME_RULE, check_name, create_atomically};

use super::schema::text;
use super::{print, say};
use crate::cli::{InitArgs, SchemaOf};
use crate::costed_plan::CostedPlan;
use crate::exit::{Exit, UsageError};
use crate::program::Program;
use crate::project::Project;
use crate::spec::Spec;
use crate::starter::{self, FEWEST_TRAIN, KnownSet};

pub(crate) fn run(arguments: &InitArgs, program: &Program) -> Result<Exit> {
    let labels = if arguments.people { Labels::People } else { Labels::Classes };
    if arguments.data.is_none() && detect(&arguments.folder, labels).is_ok() {
        let folder = arguments.folder.display();
        let text = format!("{folder} is a set of images, not a project folder: did you mean `init --data {folder}`?");
        return Err(UsageError(text).into());
    }
    let known = look(arguments.data.as_deref(), labels)?;
    let name = name(arguments, &known)?;
    say(&format!("found {}", known.description()));
    let own = starter::files(&name, &known)?;
    let spec = arguments.folder.join(format!("experiments/{name}.toml"));
    let mut written = Written::default();
    let runs = match written.all(&arguments.folder, &own, program).and_then(|()| check(&spec, program)) {
        Ok(runs) => runs,
        Err(error) => {
            written.undo();
            return Err(error);
        }
    };
    for path in &written.files {
        say(&format!("wrote {}", path.display()));
    }
    print(&next(&spec, arguments.data.as_deref(), runs))?;
    Ok(Exit::Done)
}

/// Recognises the set, reads all of it, and counts its images.
fn look(data: Option<&Path>, labels: Labels) -> Result<KnownSet> {
    let set = match data {
        Some(folder) => detect(folder, labels)?,
        None if labels == Labels::People => {
            return Err(UsageError("--people needs --data DIR: the built-in images show no people".to_owned()).into());
        }
        None => DetectedSet { source: SourceConfig::FashionMnist5k {}, side: 28, absent_classes: Vec::new() },
    };
    let whose = || match data {
        Some(folder) => format!(
            "no experiment was written for {}. If the set cannot be changed as below, write a base file by hand, as \
             the page \"Your own images\" of the documentation shows",
            folder.display()
        ),
        None => "the built-in images".to_owned(),
    };
    let read = set.config().check(data, 0).with_context(whose)?;
    let known = KnownSet::new(set, &read);
    let classes = known.set.source.shape().classes;
    if known.train < FEWEST_TRAIN || classes < 2 {
        return Err(anyhow::Error::new(DetectError::TooSmall { train: known.train, classes }).context(whose()));
    }
    Ok(known)
}

/// The name that was asked for, else that of the set.
fn name(arguments: &InitArgs, known: &KnownSet) -> Result<String> {
    match &arguments.name {
        Some(name) => {
            check_name(name).map_err(|fault| UsageError(format!("--name {name}: {fault}: {NAME_RULE}")))?;
            Ok(name.clone())
        }
        None => {
            let name = known.set.source.name().to_lowercase();
            check_name(&name)
                .map_err(|fault| UsageError(format!("`{name}` cannot name an experiment ({fault}): give --name")))?;
            Ok(name)
        }
    }
}

/// Checks an experiment under both of its profiles, as `run` does. Returns the number of its runs.
fn check(spec: &Path, program: &Program) -> Result<usize> {
    let plan = |profile: Option<&str>| {
        let costed = CostedPlan::load(
            &Spec::experiment(spec.to_owned(), profile.map(str::to_owned), Adjustments::default()),
            program,
        )?;
        Project::of(spec).check_declaration(&costed.record())?;
        Ok::<usize, anyhow::Error>(costed.plan.runs.len())
    };
    plan(Some("smoke"))?;
    plan(None)
}

/// Runs and pages are large and can be made again. The measurements that reports are made from are small and belong to
/// them.
const IGNORED: &str = "/results/*\n!/results/published/\n/reports/*/*/page.html\n";

/// What one call has created, so that a failure leaves nothing behind.
#[derive(Default)]
struct Written {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Written {
    /// Creates all files.
    fn all(&mut self, folder: &Path, own: &[(String, String)], program: &Program) -> Result<()> {
        self.own(folder, own)?;
        self.shared(folder, program)
    }

    /// Creates the files of the experiment. An existing file is an error.
    fn own(&mut self, folder: &Path, files: &[(String, String)]) -> Result<()> {
        let paths = files.iter().map(|(path, _)| folder.join(path));
        let there: Vec<String> =
            paths.filter(|path| path.symlink_metadata().is_ok()).map(|path| path.display().to_string()).collect();
        if !there.is_empty() {
            return Err(exists(&there.join(", ")).into());
        }
        for (path, text) in files {
            let path = folder.join(path);
            if !self.create(&path, text)? {
                return Err(exists(&path.display().to_string()).into());
            }
        }
        Ok(())
    }

    /// Creates the files that all experiments of a project share. Existing ones stay.
    fn shared(&mut self, folder: &Path, program: &Program) -> Result<()> {
        let kinds = [(SchemaOf::Experiment, "experiment"), (SchemaOf::Base, "base"), (SchemaOf::Report, "report")];
        for (of, kind) in kinds {
            self.create(&folder.join(format!("experiments/schema/{kind}.schema.json")), &text(of, program)?)?;
        }
        if !self.create(&folder.join(".gitignore"), IGNORED)? {
            say("note: .gitignore exists already; let it ignore /results/* except /results/published/");
        }
        Ok(())
    }

    /// Creates a file and the folders above it. Returns whether the file is new.
    fn create(&mut self, path: &Path, text: &str) -> Result<bool> {
        let missing: Vec<PathBuf> = path
            .ancestors()
            .skip(1)
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .map(Path::to_owned)
            .collect();
        for folder in missing.into_iter().rev() {
            fs::create_dir(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
            self.folders.push(folder);
        }
        let is_new = create_atomically(path, text.as_bytes());
        let is_new = is_new.with_context(|| format!("cannot write {}", path.display()))?;
        if is_new {
            self.files.push(path.to_owned());
        }
        Ok(is_new)
    }

    /// Removes what was created. Folders that hold something else by now stay.
    fn undo(&self) {
        self.files.iter().for_each(|path| drop(fs::remove_file(path)));
        self.folders.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
    }
}

fn exists(paths: &str) -> UsageError {
    UsageError(format!("{paths}: already there; give another --name, or remove it first"))
}

/// The commands that come next.
fn next(spec: &Path, data: Option<&Path>, runs: usize) -> String {
    let data = data.map(|data| format!(" --data {}", quoted(data))).unwrap_or_default();
    let spec = quoted(spec);
    let lines = [
        (format!("repmlp-sweep plan {spec}"), format!("the {runs} runs, their cost and predicted time")),
        (format!("repmlp-sweep {spec}{data} --profile smoke"), "a first try".to_owned()),
        (format!("repmlp-sweep {spec}{data}"), "all runs, then tables and plots in reports/".to_owned()),
    ];
    let width = lines.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    let line = |(command, meaning): &(String, String)| format!("  {command:<width$}    # {meaning}\n");
    format!("Next:\n{}", lines.iter().map(line).collect::<String>())
}

/// A path as a shell reads it back. A leading `-` would be an option.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+=:@".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
