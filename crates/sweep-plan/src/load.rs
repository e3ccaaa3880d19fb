//! Reads an experiment file and checks everything that does not need a resolver.

use std::collections::BTreeSet;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sweep_protocol::{NAME_RULE, check_name};

use crate::adjust::Adjustments;
use crate::document::{self, Entry, Item, Node, SourceFile, WHOLE_FILE};
use crate::error::{Faults, PlanError};
use crate::exec::Exec;
use crate::expansion;
use crate::experiment::{CEILING, Experiment};
use crate::grid;
use crate::labels::Labels;
use crate::link::file_behind;
use crate::log::Log;
use crate::overlay::Overlay;
use crate::profile::{self, DEFAULT_PROFILE, Profile};
use crate::selection::{Exclude, Include};
use crate::{base, keys, shape};

/// Reads an experiment file under a profile. `None` and `default` mean the file without a profile.
///
/// # Errors
/// When a phase of reading finds faults. The error holds all faults of that phase. The phases are: syntax, keys and
/// base files; axes; names; expansion.
pub fn load(path: &Path, profile: Option<&str>) -> Result<Experiment, PlanError> {
    load_adjusted(path, profile, &Adjustments::default())
}

/// Like [`load`], with the adjustments of a call.
///
/// # Errors
/// As for [`load`], and when an adjustment is invalid.
pub fn load_adjusted(path: &Path, profile: Option<&str>, adjustments: &Adjustments) -> Result<Experiment, PlanError> {
    let source = SourceFile::read(path).map_err(|source| PlanError::Unreadable { path: path.to_owned(), source })?;
    read(&source, profile, adjustments)
}

/// Makes an experiment of one configuration: a base file with adjustments. Its name is `base` and the stem of the file.
///
/// # Errors
/// As for [`load_adjusted`].
pub fn load_base(path: &Path, adjustments: &Adjustments) -> Result<Experiment, PlanError> {
    let path = file_behind(path);
    if let Err(source) = fs::metadata(&path) {
        return Err(PlanError::Unreadable { path, source });
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = format!("question = \"What does this configuration give?\"\nbase = {}\n", Value::from(name));
    // A name of its own: an experiment may have the name of its base file.
    let name = format!("base {}", path.file_stem().unwrap_or_default().to_string_lossy());
    read(&Arc::new(SourceFile { path: path.with_file_name(format!("{name}.toml")), text }), None, adjustments)
}

fn read(source: &Arc<SourceFile>, profile: Option<&str>, adjustments: &Adjustments) -> Result<Experiment, PlanError> {
    let mut faults = Faults::new(source);
    let root = document::parse(source)?;
    shape::check(&keys::EXPERIMENT, &root, &mut faults);
    check_file_name(&mut faults);
    let ground = base::chain(&root, &mut faults);
    faults.check()?;

    let grids = grid::read(&root, &mut faults);
    faults.check()?;

    let profiles = profile::read(&root, grids, &mut faults);
    let chosen = profile::choose(&profiles, profile.unwrap_or(DEFAULT_PROFILE), &mut faults);
    let mut experiment = assemble(&root, ground, Profiles { all: &profiles, chosen }, &mut faults);
    faults.check()?;

    let set = adjustments.overlays()?;
    Adjustments::check(&set, &experiment.grids)?;
    experiment.ground.extend(set);
    experiment.profile = adjustments.profile(&experiment.profile);
    if let Some(count) = adjustments.seeds {
        experiment.seeds = (0..count.min(CEILING)).collect();
    }

    expansion::check(&experiment, &root, &mut faults);
    faults.check()?;
    Ok(experiment)
}

/// Returns the BLAKE3 digest of an experiment file and its base files, as hexadecimal digits. It changes with every
/// edit.
///
/// # Errors
/// When one of the files cannot be read or is not valid TOML.
pub fn digest(path: &Path) -> Result<String, PlanError> {
    let source = SourceFile::read(path).map_err(|source| PlanError::Unreadable { path: path.to_owned(), source })?;
    let mut faults = Faults::new(&source);
    let root = document::parse(&source)?;
    let ground = base::chain(&root, &mut faults);
    faults.check()?;
    Ok(digest_of(&source, &ground))
}

/// Returns the paths of an experiment file and its base files, the experiment file first.
///
/// # Errors
/// When one of the files cannot be read or is not valid TOML.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, PlanError> {
    let source = SourceFile::read(path).map_err(|source| PlanError::Unreadable { path: path.to_owned(), source })?;
    let mut faults = Faults::new(&source);
    let root = document::parse(&source)?;
    let ground = base::chain(&root, &mut faults);
    faults.check()?;
    let bases = ground.iter().map(|base| base.source.path.clone());
    Ok(iter::once(path.to_owned()).chain(bases).collect())
}

fn digest_of(source: &SourceFile, bases: &[Overlay]) -> String {
    let mut hasher = blake3::Hasher::new();
    let texts = iter::once(&source.text).chain(bases.iter().map(|base| &base.source.text));
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Refuses a file whose stem cannot be the name of its folders for results and renderings.
fn check_file_name(faults: &mut Faults) {
    if let Err(fault) = check_name(&stem(&faults.source.path)) {
        let message = format!("the file name is the name of the experiment, and it {fault}");
        faults.add(&WHOLE_FILE, message, format!("rename the file: {NAME_RULE}"));
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[derive(Clone, Copy)]
struct Profiles<'a> {
    all: &'a [Profile<'a>],
    chosen: &'a Profile<'a>,
}

/// Combines the parts of the file. Names of axes and labels may come from any profile.
fn assemble(root: &Node, mut ground: Vec<Overlay>, profiles: Profiles<'_>, faults: &mut Faults) -> Experiment {
    let Profiles { all, chosen } = profiles;
    let grids: Vec<_> = iter::once(chosen).chain(all).flat_map(|profile| &profile.grids).collect();
    let mut known = Labels::of(grids.iter().copied());
    let mut axes = Labels::of(&chosen.grids);
    let mut includes = Vec::new();
    for table in root.items_of("include") {
        let include = Include::read(table, &grids, &known, faults);
        for (axis, point) in &include.points {
            known.add(axis, &point.label);
            axes.add(axis, &point.label);
        }
        includes.push(include);
    }
    let excludes = root.items_of("exclude").iter().map(|table| Exclude::read(table, &known, faults)).collect();
    for table in iter::once(root).chain(all.iter().filter_map(|profile| profile.table)) {
        known.coordinates(table.entries_of("baseline"), faults);
        seeds(table.get("seeds"), faults);
    }
    let digest = digest_of(&faults.source, &ground);
    ground.extend(Overlay::below(root, &faults.source));
    ground.extend(chosen.table.and_then(|table| Overlay::below(table, &faults.source)));
    let value = |key: &str| chosen.table.and_then(|table| table.get(key)).or_else(|| root.get(key));
    let baseline = value("baseline").map(|entry| &entry.node);
    Experiment {
        name: stem(&faults.source.path),
        profile: chosen.name.to_owned(),
        question: root.text_of("question").unwrap_or_default().to_owned(),
        profiles: all.iter().map(|profile| profile.name.to_owned()).collect(),
        ground,
        grids: chosen.grids.clone(),
        excludes,
        includes,
        axes: axes.into_axes(),
        baseline: known.coordinates(baseline.map_or(&[], Node::entries), faults),
        baseline_span: baseline.map_or(WHOLE_FILE, |node| node.span.clone()),
        seeds: seeds(value("seeds"), faults),
        launcher: root.get("launcher").map_or(Value::Null, |launcher| launcher.node.value()),
        log: root.get("log").map(|log| Log::of(&log.node)).unwrap_or_default(),
        exec: root.get("exec").map(|exec| Exec::of(&exec.node)).unwrap_or_default(),
        digest,
    }
}

/// The largest integer that SQLite can store.
const MOST_SEED: u64 = i64::MAX as u64;

/// Returns the seeds that a key of the right form stands for; seed 0 alone if the key is absent.
fn seeds(key: Option<&Entry>, faults: &mut Faults) -> Vec<u64> {
    let Some(key) = key else { return vec![0] };
    let Item::List(nodes) = &key.node.item else {
        let count = key.node.value().as_u64().unwrap_or(1);
        if count > CEILING {
            faults.add(
                &key.node.span,
                format!("{count} seeds are too many: a plan can hold at most {CEILING} runs"),
                None,
            );
        }
        return (0..count.min(CEILING)).collect();
    };
    let mut seen = BTreeSet::new();
    let mut seeds = Vec::new();
    for node in nodes {
        let seed = node.value().as_u64().unwrap_or_default();
        if seed > MOST_SEED {
            let help = format!("choose a seed of at most {MOST_SEED}: the SQLite index cannot hold larger ones");
            faults.add(&node.span, format!("seed {seed} is too large"), help);
        }
        if !seen.insert(seed) {
            faults.add(&node.span, format!("seed {seed} is named twice"), "name every seed once".to_owned());
        }
        seeds.push(seed);
    }
    seeds
}
