//! `bundle export` and `bundle import`: carry a sweep to another machine, and merge it with what is there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use sweep_bundle::pack;
use sweep_plan::DEFAULT_PROFILE;
use sweep_protocol::{RunId, create_folders, error_chain};
use sweep_runner::SchedulerLock;
use sweep_store::Store;

use super::{open_results, print, say, say_damage};
use crate::bundle::{Asked, Contents, Merge, Staged};
use crate::cli::{BundleExportArgs, BundleImportArgs};
use crate::exit::Exit;
use crate::plan_file;
use crate::predict::count;
use crate::project::{Project, name_or_file};

pub(crate) async fn export(arguments: BundleExportArgs) -> Result<Exit> {
    let (experiment, file) = name_or_file(&arguments.experiment)?;
    let project = file.map_or_else(Project::here, Project::of);
    let layout = project.results(&arguments.results);
    let profile = arguments.profile.clone().unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
    // Nothing may change while the files are read.
    let lock = if layout.root().is_dir() { Some(SchedulerLock::acquire(&layout)?) } else { None };
    let mut results = open_results(&layout).await?;
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("{experiment}-{profile}.tar.gz")));
    let asked = Asked { experiment, profile, with_weights: arguments.weights };
    plan_file::say_if_edited(&layout, (&asked.experiment, &asked.profile));
    let contents = Contents::of(&layout, &mut results, &asked)?;
    say_damage(&mut results);
    results.close().await?;
    let manifest = pack(&out, contents.origin, &contents.files)?;
    drop(lock);
    contents.notes.iter().for_each(|note| say(&format!("note: {note}")));
    let bytes: u64 = manifest.files.values().map(|file| file.size).sum();
    let (files, number) = (count(manifest.files.len() as f64), contents.runs);
    let plural = if number == 1 { "" } else { "s" };
    print(&format!("{number} run{plural} in {files} files ({}B) written to {}\n", count(bytes as f64), out.display()))?;
    Ok(Exit::Done)
}

pub(crate) async fn import(arguments: BundleImportArgs) -> Result<Exit> {
    let project = Project::here();
    let layout = project.results(&arguments.results);
    create_folders(layout.root())?;
    let lock = SchedulerLock::acquire(&layout)?;
    let staged = Staged::unpack(&arguments.bundle, &layout)?;
    let mut results = open_results(&layout).await?;
    let merge = Merge::of(&staged, (project.root(), &layout), &mut results).await?;
    say_damage(&mut results);
    results.close().await?;
    merge.carry_out(&staged, &layout)?;
    let changed: BTreeSet<RunId> = merge.new.iter().chain(&merge.replaced).copied().collect();
    let (mut store, mut damages) = Store::open(lock.layout()).await?;
    damages.extend(store.refresh(&changed.into_iter().collect::<Vec<_>>()).await?);
    store.close().await?;
    damages.iter().for_each(|damage| say(&format!("note: {}", error_chain(damage))));
    merge.notes.iter().for_each(|note| say(&format!("note: {note}")));
    let origin = &staged.manifest.origin;
    let mut line =
        format!("`{}` ({}): {}", origin.experiment, origin.profile, runs(merge.new.len(), ["is", "are"])) + " new";
    if merge.kept > 0 {
        line += &format!(", {} here already", runs(merge.kept, ["was", "were"]));
    }
    if merge.weights() > 0 {
        line += &format!(", {} files of weights were added to them", merge.weights());
    }
    if !merge.replaced.is_empty() {
        let said = runs(merge.replaced.len(), ["replaces", "replace"]);
        line += &format!(", {said} what was unfinished here and is now in {}", layout.replaced().display());
    }
    print(&format!("{line}\n"))?;
    print(&format!("written by {}; runs trained by {}\n", origin.program, origin.code.join(", ")))?;
    Ok(Exit::Done)
}

/// Returns a number of runs with the verb that follows: for one, and for several.
fn runs(number: usize, [one, several]: [&str; 2]) -> String {
    if number == 1 { format!("1 run {one}") } else { format!("{number} runs {several}") }
}
