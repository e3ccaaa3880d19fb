//! `init`: writes a first experiment, its base and its report, fitted to the images of a folder or to the carried ones.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use repmlp_train::data::{DataConfig, DetectedSet, Labels, SourceConfig, detect};
use serde_json::json;
use sweep_protocol::{NAME_RULE, check_name, create_atomically};

use super::schema::text;
use super::{print, say};
use crate::cli::{InitArgs, SchemaOf, SpecArgs};
use crate::costed_plan::CostedPlan;
use crate::exit::{Exit, UsageError};
use crate::project::Project;
use crate::starter::{self, KnownSet};

pub(crate) fn run(arguments: &InitArgs) -> Result<Exit> {
    let labels = if arguments.people { Labels::People } else { Labels::Classes };
    let known = look(arguments.data.as_deref(), labels)?;
    let name = name(arguments, &known)?;
    say(&format!("found {}", known.description()));
    let mut files = starter::files(&name, &known)?;
    for (of, part) in [(SchemaOf::Experiment, "experiment"), (SchemaOf::Base, "base"), (SchemaOf::Report, "report")] {
        files.push((format!("experiments/schema/{part}.schema.json"), text(of)?));
    }
    files.push((".gitignore".to_owned(), IGNORED.to_owned()));
    write(&arguments.folder, &files)?;
    let spec = arguments.folder.join(format!("experiments/{name}.toml"));
    // The files are checked as `run` checks them.
    let costed = CostedPlan::load(&SpecArgs { path: spec.clone(), profile: None })?;
    Project::of(&spec).check_declaration(&costed.record())?;
    print(&next(&spec, arguments.data.as_deref(), costed.plan.runs.len()))?;
    Ok(Exit::Done)
}

/// Runs are large and can be made again; what reports are made from is small and belongs to them.
const IGNORED: &str = "/results/*\n!/results/published/\n";

/// Recognises the set, reads all of it, and counts its images.
fn look(data: Option<&Path>, labels: Labels) -> Result<KnownSet> {
    let set = match data {
        Some(folder) => detect(folder, labels)?,
        None if labels == Labels::People => {
            return Err(UsageError("--people needs --data DIR: the carried images show no people".to_owned()).into());
        }
        None => DetectedSet { source: SourceConfig::FashionMnist5k {}, short_side: 28 },
    };
    let config = json!({ "source": set.source, "image_size": set.short_side.clamp(8, 1024) });
    let config: DataConfig = serde_json::from_value(config).context("a detected source is a configuration")?;
    let read = config.check(data, 0)?;
    Ok(KnownSet::new(set, &read))
}

/// The name that was asked for, else that of the set.
fn name(arguments: &InitArgs, known: &KnownSet) -> Result<String> {
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => known.set.source.name().to_lowercase(),
    };
    check_name(&name).map_err(|fault| UsageError(format!("--name {name}: {fault}: {NAME_RULE}")))?;
    Ok(name)
}

/// Writes the files, or none if a file of this experiment exists. Existing schemas and an existing `.gitignore` stay.
fn write(folder: &Path, files: &[(String, String)]) -> Result<()> {
    let is_shared = |path: &str| path.ends_with(".schema.json") || path == ".gitignore";
    let there: Vec<String> = files
        .iter()
        .map(|(path, _)| (path, folder.join(path)))
        .filter(|(path, full)| !is_shared(path) && fs::symlink_metadata(full).is_ok())
        .map(|(_, full)| full.display().to_string())
        .collect();
    if !there.is_empty() {
        let text = format!("{}: already there; give another --name, or remove it first", there.join(", "));
        return Err(UsageError(text).into());
    }
    for (path, text) in files {
        let full: PathBuf = folder.join(path);
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
        }
        match create_atomically(&full, text.as_bytes()) {
            Err(fault) if fault.kind() == ErrorKind::AlreadyExists && is_shared(path) => {}
            written => {
                written.with_context(|| format!("cannot write {}", full.display()))?;
                say(&format!("wrote {}", full.display()));
            }
        }
    }
    Ok(())
}

/// What to type next.
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

/// A path as a shell reads it back.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+=:@".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
