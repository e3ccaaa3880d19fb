//! Says which experiment file a recorded plan was made from, and whether that file was edited since.
//!
//! The results of an experiment are stored under its name, so two files of the same name would share plan and report.
//! This module knows files, not runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use chrono::DateTime;
use sweep_protocol::{PlanRecord, PlanSource, ResultsLayout, RunId, now_ms, read_regular_file};
use sweep_report::claims::{self, Knowledge};
use sweep_trainer::CommandTrainer;

use crate::commands::say;
use crate::costed_plan::CostedPlan;
use crate::exit::UsageError;
use crate::program::Trainers;
use crate::project::Project;

/// Returns the record of a plan that is about to be written, with its experiment file. Refuses to replace the plan of
/// another file. If the other file no longer exists, its plan is replaced and a line says so.
pub(crate) fn claim(layout: &ResultsLayout, costed: &CostedPlan<'_>) -> Result<PlanRecord> {
    let record = costed.record();
    let former_record = recorded_plan(layout, &record.experiment, &record.profile);
    let former = former_record.as_ref().and_then(|former| former.source.clone());
    let owner = former.as_ref().and_then(|former| other_owner(layout, former, &costed.path));
    if let (Some(former), Some(owner)) = (former, owner) {
        // A copy with the same content has the same plan.
        if owner.exists() && former.digest != costed.digest {
            return Err(foreign(layout, &owner, &costed.path, &record));
        }
        if !owner.exists() {
            let names = format!("`{}` ({})", record.experiment, record.profile);
            let (gone, new) = (owner.display(), costed.path.display());
            say(&format!("the plan of {names} was made from {gone}, which no longer exists: {new} replaces it"));
        }
    }
    let declared = costed.project.claim_digests(&record)?;
    let first = former_record.as_ref().map(|former| &former.claims);
    let known = known_of(layout, &record, former_record.as_ref());
    say_registered(first, &declared, known);
    let claims = claims::register(first, declared, known);
    let record = PlanRecord { source: Some(source(layout, costed)), claims, ..record };
    // If the same file gives the same plan again, the old record is kept.
    Ok(former_record.filter(|former| is_same_plan(former, &record)).unwrap_or(record))
}

/// Says that claims are registered with the plan, or that it is too late for some. Claims that were registered before
/// need no word.
fn say_registered(first: Option<&BTreeMap<String, String>>, declared: &BTreeMap<String, String>, known: Knowledge) {
    let is_new = |(id, digest): &(&String, &String)| first.and_then(|first| first.get(*id)) != Some(*digest);
    let new: Vec<&str> = declared.iter().filter(is_new).map(|(id, _)| id.as_str()).collect();
    if new.is_empty() {
        return;
    }
    let new = new.join(", ");
    say(&match known {
        Knowledge::Nothing => format!("claims registered before the first run: {new}"),
        Knowledge::Own => format!("claims written or changed after the first run, which the report will say: {new}"),
        Knowledge::Foreign => {
            format!("claims of a plan whose runs had begun before it, so they do not count as written first: {new}")
        }
    });
}

/// Returns the recorded plan, if the experiment file gives the same plan now.
pub(crate) fn recorded_as_asked(layout: &ResultsLayout, costed: &CostedPlan<'_>) -> Option<PlanRecord> {
    let asked = PlanRecord { source: Some(source(layout, costed)), ..costed.record() };
    let former = recorded_plan(layout, &asked.experiment, &asked.profile)?;
    // The recorded claims stay as they are once a run has begun.
    let asked = PlanRecord { claims: former.claims.clone(), ..asked };
    is_same_plan(&former, &asked).then_some(former)
}

/// Says whether runs of a plan have begun, in this experiment or another one.
fn known_of(layout: &ResultsLayout, plan: &PlanRecord, former: Option<&PlanRecord>) -> Knowledge {
    let own: BTreeSet<RunId> = former.into_iter().flat_map(|plan| &plan.runs).map(|planned| planned.run).collect();
    let begun = plan.runs.iter().filter(|planned| layout.run(planned.run).root().exists());
    let (ours, foreign): (Vec<_>, Vec<_>) = begun.partition(|planned| own.contains(&planned.run));
    match (ours.is_empty(), foreign.is_empty()) {
        (_, false) => Knowledge::Foreign,
        (false, true) => Knowledge::Own,
        (true, true) => Knowledge::Nothing,
    }
}

/// Returns the source of a plan that is made now.
fn source(layout: &ResultsLayout, costed: &CostedPlan<'_>) -> PlanSource {
    PlanSource {
        file: seen_from(&real(layout.root()), &real(&costed.path)),
        digest: costed.digest.clone(),
        patterns: costed.patterns.clone(),
        code: costed.plan.configurations.iter().flat_map(|config| Trainers::code(config)).collect(),
        written_at_ms: now_ms(),
    }
}

/// Whether two records are equal except for the time of writing.
pub(crate) fn is_same_plan(a: &PlanRecord, b: &PlanRecord) -> bool {
    let timeless = |plan: &PlanRecord| plan.source.clone().map(|source| PlanSource { written_at_ms: 0, ..source });
    timeless(a) == timeless(b) && PlanRecord { source: b.source.clone(), ..a.clone() } == *b
}

/// Checks a recorded plan that is about to be shown. Refuses a plan that was made from another file than `spec`, if
/// `spec` is given. Prints a note if the file was edited since.
pub(crate) fn check(layout: &ResultsLayout, spec: Option<&Path>, plan: &PlanRecord) -> Result<()> {
    let Some(source) = &plan.source else { return Ok(()) };
    let spec = spec.map_or_else(|| path_of(layout, source), sweep_plan::file_behind);
    if !is_unchanged(&spec, source)
        && let Some(owner) = other_owner(layout, source, &spec).filter(|owner| owner.exists())
    {
        return Err(foreign(layout, &owner, &spec, plan));
    }
    say_edits(&spec, &plan.profile, source);
    Ok(())
}

/// Returns the file that a recorded plan was made from. The file may be gone.
pub(crate) fn file_of(layout: &ResultsLayout, plan: &PlanRecord) -> Option<PathBuf> {
    plan.source.as_ref().map(|source| path_of(layout, source))
}

/// Prints a note if the file of a recorded plan, or a file that its commands depend on, was edited since.
pub(crate) fn say_if_edited(layout: &ResultsLayout, (experiment, profile): (&str, &str)) {
    let Some(source) = recorded(layout, experiment, profile) else { return };
    say_edits(&path_of(layout, &source), profile, &source);
}

/// Prints a note if the experiment file of a plan, or a file that its commands depend on, was edited since. An
/// experiment file that is gone is no edit: results may have moved without it.
fn say_edits(spec: &Path, profile: &str, source: &PlanSource) {
    if !spec.exists() {
        return;
    }
    if !is_unchanged(spec, source) {
        say_edited(spec, profile, source, AS_RUN);
    }
    let edited = CommandTrainer::new(Project::of(spec).root()).edited(&source.code, &source.patterns);
    if !edited.is_empty() {
        let were = if edited.len() == 1 { "was" } else { "were" };
        say(&format!(
            "{} {were} edited, added or removed after the runs of {} (profile {profile}) were planned, {}: this output \
             shows the runs of the former code; run the experiment again to train with this one",
            edited.join(", "),
            spec.display(),
            utc(source.written_at_ms)
        ));
    }
}

/// For a plan that is shown before it is run. Prints a note if the recorded plan belongs to another file, or if its
/// file was edited since.
pub(crate) fn say_what_changed(layout: &ResultsLayout, costed: &CostedPlan<'_>) {
    let plan = &costed.plan;
    let Some(source) = recorded(layout, &plan.experiment, &plan.profile) else { return };
    let is_same = source.digest == costed.digest;
    match other_owner(layout, &source, &costed.path) {
        Some(owner) if owner.exists() && !is_same => say(&format!(
            "the results of `{}` ({}) belong to {}: `run` will refuse this file; rename one of the two files, or use \
             another results folder with --results",
            plan.experiment,
            plan.profile,
            owner.display()
        )),
        _ if !is_same => say_edited(&costed.path, &plan.profile, &source, "this output shows what the next `run` does"),
        _ => {}
    }
}

const AS_RUN: &str = "this output shows the plan of that run; run the file again to update it";

fn is_unchanged(file: &Path, source: &PlanSource) -> bool {
    sweep_plan::digest(file).is_ok_and(|digest| digest == source.digest)
}

fn say_edited(file: &Path, profile: &str, source: &PlanSource, what: &str) {
    let (file, time) = (file.display(), utc(source.written_at_ms));
    say(&format!("{file} (profile {profile}) was edited after its last run ({time}): {what}"));
}

fn foreign(layout: &ResultsLayout, owner: &Path, spec: &Path, plan: &PlanRecord) -> anyhow::Error {
    UsageError(format!(
        "the results of `{}` ({}) in {} belong to {}, not to {}: rename one of the two files, or use another results \
         folder with --results",
        plan.experiment,
        plan.profile,
        layout.root().display(),
        owner.display(),
        spec.display()
    ))
    .into()
}

/// Returns the source of the recorded plan; `None` if there is no plan, or if an older version wrote it.
fn recorded(layout: &ResultsLayout, experiment: &str, profile: &str) -> Option<PlanSource> {
    recorded_plan(layout, experiment, profile)?.source
}

/// Returns the recorded plan, if there is a valid one.
fn recorded_plan(layout: &ResultsLayout, experiment: &str, profile: &str) -> Option<PlanRecord> {
    let bytes = read_regular_file(&layout.plan(experiment, profile)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Returns the file that a plan was made from, if it is not `spec`.
fn other_owner(layout: &ResultsLayout, source: &PlanSource, spec: &Path) -> Option<PathBuf> {
    let owner = path_of(layout, source);
    (real(&owner) != real(spec)).then_some(owner)
}

/// Returns the path of a plan's file without `..`, relative to the current folder if it lies below it.
fn path_of(layout: &ResultsLayout, source: &PlanSource) -> PathBuf {
    let path = tidied(&real(layout.root()).join(&source.file));
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).map(Path::to_owned).unwrap_or(path)
}

/// Returns the absolute path; without links if the file exists.
fn real(path: &Path) -> PathBuf {
    let absolute = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.canonicalize().unwrap_or_else(|_| absolute())
}

/// Turns `a/../b` into `b`. Only for paths without links.
fn tidied(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

/// Returns the path of an experiment file as its plan names it.
pub(crate) fn seen_from_results(layout: &ResultsLayout, file: &Path) -> String {
    seen_from(&real(layout.root()), &real(file))
}

/// Returns an absolute path relative to an absolute folder, with slashes.
fn seen_from(folder: &Path, path: &Path) -> String {
    let shared = folder.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| "..".to_owned());
    let down = path.components().skip(shared).map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// Formats a time in milliseconds since 1970, such as `2026-11-28 06:21 UTC`.
fn utc(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| "at an unknown time".to_owned(), |time| time.format("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_seen_from_a_folder_and_found_again() {
        for (folder, path, seen) in [
            ("/p/results", "/p/experiments/x.toml", "../experiments/x.toml"),
            ("/p/results", "/p/results/x.toml", "x.toml"),
            ("/other/r", "/p/x.toml", "../../p/x.toml"),
        ] {
            assert_eq!(seen_from(Path::new(folder), Path::new(path)), seen);
            assert_eq!(tidied(&Path::new(folder).join(seen)), Path::new(path));
        }
    }

    #[test]
    fn times_match_the_calendar() {
        assert_eq!(utc(1_795_847_000_000), "2026-11-28 06:23 UTC");
    }
}
