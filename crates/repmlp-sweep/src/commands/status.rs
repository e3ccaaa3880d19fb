//! `status`: shows the state of all experiments, or the state of each run of one experiment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use serde_json::json;
use sweep_protocol::{
    Epochs, ExperimentRows, Form, Measurement, MeasurementRow, Metric, ResultsLayout, RunId, RunRow, RunTags,
    SeriesKey, Split, Status,
};
use sweep_store::{ExperimentCounts, Reader};

use super::grid::grid;
use super::{open_results, print, print_json, say, say_damage, say_left_behind};
use crate::cli::StatusArgs;
use crate::exit::{Exit, UsageError};
use crate::plan_file;
use crate::project::{Project, name_or_file};
use crate::recorded::{self, folders, published_profiles};

pub(crate) async fn run(arguments: StatusArgs) -> Result<Exit> {
    let asked = arguments.experiment.as_deref().map(|asked| name_or_file(Path::new(asked))).transpose()?;
    let file = asked.as_ref().and_then(|(_, file)| *file);
    let project = file.map_or_else(Project::here, Project::of);
    let layout = project.results(&arguments.results);
    let mut results = open_results(&layout).await?;
    let Some((name, _)) = asked else {
        let experiments = results.experiments()?;
        if experiments.is_empty() {
            return Err(nothing_ran(&layout, &mut results));
        }
        experiments.iter().for_each(|e| plan_file::say_if_edited(&layout, (&e.experiment, &e.profile)));
        if arguments.json {
            print_json(&experiments.iter().map(counts_json).collect::<Vec<_>>())?;
        } else {
            print(&overview(&experiments))?;
        }
        if experiments.iter().any(|e| e.counts.contains_key(&Status::Running)) {
            let runs: Vec<RunId> = results.plans().iter().flat_map(|plan| &plan.runs).map(|run| run.run).collect();
            say_left_behind(&layout, results.run_rows(&runs)?.iter())?;
        }
        say_damage(&mut results);
        return Ok(Exit::Done);
    };
    let mut all = Vec::new();
    for profile in profiles(&layout, (&name, arguments.profile.as_deref()))? {
        let wanted = |(metric, ..): SeriesKey| match metric {
            _ if arguments.json => Epochs::All,
            Metric::Accuracy => Epochs::Last,
            _ => Epochs::None,
        };
        let found = recorded::find_values(&mut results, &layout, (&name, &profile), wanted).await?;
        all.extend(found.map(|recorded| recorded.rows));
    }
    if all.is_empty() {
        let experiments = results.experiments()?;
        if experiments.is_empty() {
            return Err(nothing_ran(&layout, &mut results));
        }
        say_damage(&mut results);
        let known: Vec<_> = experiments.iter().map(|e| format!("{} ({})", e.experiment, e.profile)).collect();
        return Err(UsageError(format!(
            "no run of `{name}` was started in this results folder; known experiments: {}",
            known.join(", ")
        ))
        .into());
    }
    say_damage(&mut results);
    all.iter().try_for_each(|rows| plan_file::check(&layout, file, &rows.plan))?;
    say_left_behind(&layout, all.iter().flat_map(|rows| &rows.runs))?;
    if arguments.json {
        print_json(&all)?;
    } else {
        let filter = arguments.tag.as_deref();
        let shown: Vec<String> = all.iter().filter_map(|rows| runs(rows, &tags(&layout, rows), filter)).collect();
        if let (true, Some(tag)) = (shown.is_empty(), filter) {
            say(&format!("no run has the tag `{tag}`"));
        }
        print(&shown.join("\n"))?;
    }
    Ok(Exit::Done)
}

/// Returns the error for an empty result: nothing was run, or the plans cannot be read.
fn nothing_ran(layout: &ResultsLayout, results: &mut Reader) -> anyhow::Error {
    if let Some(damage) = results.take_damage().into_iter().next() {
        return anyhow::Error::new(damage).context(format!("{}: no plan can be read", layout.root().display()));
    }
    UsageError(format!("{}: nothing has been run in this results folder", layout.root().display())).into()
}

/// Returns the requested profiles of an experiment: those that were run here, or else the published ones.
fn profiles(layout: &ResultsLayout, (name, profile): (&str, Option<&str>)) -> Result<Vec<String>> {
    if let Some(profile) = profile {
        return Ok(vec![profile.to_owned()]);
    }
    let started = folders(&layout.plans().join(name))?;
    let started: Vec<&PathBuf> = started.iter().filter(|folder| folder.join("plan.json").exists()).collect();
    if started.is_empty() {
        return published_profiles(layout, name);
    }
    let names = started.iter().filter_map(|folder| folder.file_name());
    Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
}

fn counts_text(e: &ExperimentCounts) -> String {
    e.counts.iter().map(|(status, n)| format!("{n} {status}")).collect::<Vec<_>>().join(", ")
}

fn counts_json(e: &ExperimentCounts) -> serde_json::Value {
    let counts: BTreeMap<String, u32> = e.counts.iter().map(|(status, n)| (status.to_string(), *n)).collect();
    json!({ "experiment": e.experiment, "profile": e.profile, "counts": counts })
}

fn overview(experiments: &[ExperimentCounts]) -> String {
    let row = |e: &ExperimentCounts| {
        vec![e.experiment.clone(), e.profile.clone(), e.counts.values().sum::<u32>().to_string(), counts_text(e)]
    };
    grid(&["experiment", "profile", "runs", "status"], &experiments.iter().map(row).collect::<Vec<_>>())
}

/// Returns the test accuracy of each run and form, after the latest epoch that has one.
fn accuracies(measurements: &[MeasurementRow]) -> BTreeMap<(RunId, Option<Form>), Measurement> {
    let mut latest: BTreeMap<(RunId, Option<Form>), Measurement> = BTreeMap::new();
    for MeasurementRow { run, measurement: m } in measurements {
        if m.metric != Metric::Accuracy || m.split != Some(Split::Test) {
            continue;
        }
        let known = latest.entry((*run, m.form)).or_insert(*m);
        if m.epoch > known.epoch {
            *known = *m;
        }
    }
    latest
}

/// Returns the tags of each run that has some. Files that cannot be read are left out.
fn tags(layout: &ResultsLayout, rows: &ExperimentRows) -> BTreeMap<RunId, RunTags> {
    let read = |run: RunId| RunTags::read(&layout.run(run).tags()).ok().filter(|tags| !tags.is_empty());
    rows.runs.par_iter().filter_map(|row| Some((row.run, read(row.run)?))).collect()
}

/// Shortens a message to one line. The last line of a log says most.
fn reason(message: &str) -> String {
    let mut lines = message.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    lines.next_back().map_or_else(|| first.to_owned(), |last| format!("{first} … {}", last.trim()))
}

/// Returns one line for each run of an experiment, or for those with a tag; `None` if no run has it.
fn runs(rows: &ExperimentRows, tags: &BTreeMap<RunId, RunTags>, filter: Option<&str>) -> Option<String> {
    let known: BTreeMap<RunId, &RunRow> = rows.runs.iter().map(|row| (row.run, row)).collect();
    let accuracies = accuracies(&rows.measurements);
    let line = |planned: &sweep_protocol::PlannedRunRecord| {
        let known = known.get(&planned.run);
        let latest = |form| accuracies.get(&(planned.run, form));
        let accuracy = latest(Some(Form::Deployed)).or_else(|| latest(Some(Form::Training))).or_else(|| latest(None));
        let mut line = vec![
            planned.run.short(),
            planned.coordinates.to_string(),
            planned.seed.to_string(),
            known.map_or("queued".to_owned(), |row| row.status.to_string()),
            known.map_or(0, |row| row.attempts).to_string(),
            accuracy.and_then(|m| m.epoch).map_or("-".to_owned(), |epoch| epoch.to_string()),
            accuracy.map_or("-".to_owned(), |m| format!("{:.2} %", 100.0 * m.value)),
            known.and_then(|row| row.message.as_deref()).map(reason).unwrap_or_default(),
        ];
        if !tags.is_empty() {
            line.push(tags.get(&planned.run).map(RunTags::line).unwrap_or_default());
        }
        line
    };
    let mut heading = vec!["run", "coordinates", "seed", "status", "attempts", "epochs", "test accuracy", "why"];
    if !tags.is_empty() {
        heading.push("tags and note");
    }
    let has_tag = |run: RunId| filter.is_none_or(|filter| tags.get(&run).is_some_and(|tags| tags.matches(filter)));
    let lines: Vec<_> = rows.plan.runs.par_iter().filter(|planned| has_tag(planned.run)).map(line).collect();
    let is_left_out = lines.is_empty() && filter.is_some();
    let text = || format!("{}, profile {}\n\n{}", rows.plan.experiment, rows.plan.profile, grid(&heading, &lines));
    (!is_left_out).then(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failure_is_its_first_and_its_last_line() {
        assert_eq!(reason("stopped on request"), "stopped on request");
        assert_eq!(reason("its log ends with:\nTraceback\n  ValueError: no\n"), "its log ends with: … ValueError: no");
    }
}
