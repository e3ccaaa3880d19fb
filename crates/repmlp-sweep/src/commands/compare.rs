//! `compare`: shows two runs, or two rows of runs, side by side: configurations, values, curves, and the images on
//! which they disagree.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::json;
use sweep_protocol::{ExperimentRows, PlannedRunRecord, RunId, RunRow, Status};
use sweep_report::{ComparedImages, ComparedQuantity, Side, SideBySide, SideRun, p_number, side_by_side};
use sweep_store::Reader;

use super::grid::grid;
use super::report::recorded;
use super::show::find_run;
use super::{open_results, print, print_json, say, say_damage};
use crate::cli::CompareArgs;
use crate::exit::{Exit, UsageError};
use crate::project::Project;
use crate::selection::Selection;
use crate::what_changed;

/// Number of lines of a curve.
const CURVE_LINES: usize = 12;

/// A side with its name.
struct Named {
    name: String,
    side: Side,
}

pub(crate) async fn run(arguments: CompareArgs) -> Result<Exit> {
    let project = arguments.spec.as_deref().map_or_else(Project::here, Project::of);
    let layout = project.results(&arguments.recorded.results);
    let mut results = open_results(&layout).await?;
    let sides = match &arguments.spec {
        Some(spec) => {
            let profile = arguments.recorded.profile();
            let rows = recorded(&mut results, &layout, spec, Some(&profile)).await?.rows;
            [row(&rows, &arguments.first)?, row(&rows, &arguments.second)?]
        }
        None => [one(&mut results, &arguments.first)?, one(&mut results, &arguments.second)?],
    };
    say_damage(&mut results);
    let found = side_by_side([&sides[0].side, &sides[1].side], arguments.at_epoch);
    let configs = sides.each_ref().map(|named| {
        // The runs of a side differ in their seeds only.
        named.side.runs.first().and_then(|run| what_changed::config_of(&layout, run.run))
    });
    let differences = configs[0].as_ref().zip(configs[1].as_ref());
    let differences = differences.map(|(first, second)| what_changed::differences(first, second));
    if arguments.json {
        let names = sides.each_ref().map(|named| named.name.clone());
        let config = differences.as_ref().map(|found| {
            found.iter().map(|(key, values)| (key.clone(), json!(values))).collect::<serde_json::Map<_, _>>()
        });
        print_json(&json!({ "sides": names, "configuration": config, "compared": found }))?;
        return Ok(Exit::Done);
    }
    print(&text(&sides, differences.as_deref(), &found))?;
    say_unequal(&sides, &found);
    Ok(Exit::Done)
}

/// Returns a run by the beginning of its id.
fn one(results: &mut Reader, text: &str) -> Result<Named> {
    if text.contains('=') {
        let hint = format!("`{text}` names labels: say with --spec FILE which experiment they are of");
        return Err(UsageError(hint).into());
    }
    let run = find_run(results, text)?;
    let history = results.run(run)?;
    let plans = results.plans();
    let planned = plans.iter().flat_map(|plan| &plan.runs).find(|planned| planned.run == run);
    let name = planned.map(|planned| format!("{} seed {}", planned.coordinates, planned.seed)).unwrap_or_default();
    let seed = planned.map_or(0, |planned| planned.seed);
    let of = |metric| plans.iter().find_map(|plan| plan.metric(metric)).unwrap_or(metric);
    let mut measurements = history.measurements;
    measurements.iter_mut().for_each(|m| m.metric = of(m.metric));
    let side = SideRun { run, seed, status: history.row.status, measurements, predictions: history.predictions };
    Ok(Named { name: name.trim().to_owned(), side: Side { runs: vec![side] } })
}

/// Returns the runs of an experiment that a text selects. They may differ in their seeds only.
fn row(rows: &ExperimentRows, text: &str) -> Result<Named> {
    let selection = Selection::read(&[text.to_owned()])?;
    let selected: Vec<&PlannedRunRecord> = rows.plan.runs.iter().filter(|run| selection.selects_record(run)).collect();
    let Some(first) = selected.first() else {
        return Err(UsageError(format!("no run of `{}` matches `{text}`", rows.plan.experiment)).into());
    };
    if let Some(other) = selected.iter().find(|run| run.coordinates != first.coordinates) {
        return Err(UsageError(format!(
            "`{text}` selects runs of several rows, such as {} and {}: add labels",
            first.coordinates, other.coordinates
        ))
        .into());
    }
    let known: BTreeMap<RunId, &RunRow> = rows.runs.iter().map(|row| (row.run, row)).collect();
    let run = |planned: &&PlannedRunRecord| SideRun {
        run: planned.run,
        seed: planned.seed,
        status: known.get(&planned.run).map_or(Status::Queued, |row| row.status),
        measurements: rows.measurements.iter().filter(|m| m.run == planned.run).map(|m| m.measurement).collect(),
        predictions: rows
            .predictions
            .iter()
            .filter(|found| found.run == planned.run)
            .map(|found| found.predictions.clone())
            .collect(),
    };
    let seeds: Vec<String> = selected.iter().map(|run| run.seed.to_string()).collect();
    let plural = if seeds.len() == 1 { "" } else { "s" };
    let name = format!("{} seed{plural} {}", first.coordinates, seeds.join(", "));
    Ok(Named { name: name.trim().to_owned(), side: Side { runs: selected.iter().map(run).collect() } })
}

fn text(sides: &[Named; 2], differences: Option<&[what_changed::Difference]>, found: &SideBySide) -> String {
    let mut text = format!("first:   {}\nsecond:  {}\n", line_of(&sides[0]), line_of(&sides[1]));
    text += "\n# configuration\n";
    text += &match differences {
        None => "it is not stored here\n".to_owned(),
        Some([]) => "both are the same\n".to_owned(),
        Some(all) => {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "—".to_owned());
            let line = |(key, [a, b]): &what_changed::Difference| vec![key.clone(), value(a), value(b)];
            grid(&["key", "first", "second"], &all.iter().map(line).collect::<Vec<_>>())
        }
    };
    let at = found.at_epoch.map_or_else(|| "last epoch".to_owned(), |epoch| format!("epoch {epoch}"));
    text += &format!("\n# values, {at}\n");
    let line = |found: &ComparedQuantity| {
        let [first, second] = found.n;
        let n = if first == second { first.to_string() } else { format!("{first} and {second}") };
        vec![found.name.clone(), epochs(found), n, found.mean_text(0), found.mean_text(1), found.difference_text()]
    };
    let heading = ["quantity", "epoch", "n", "first", "second", "second − first [95 %]"];
    text += &match found.quantities.is_empty() {
        true => "no values are measured\n".to_owned(),
        false => grid(&heading, &found.quantities.iter().map(line).collect::<Vec<_>>()),
    };
    text += &found.quantities.iter().filter(|found| found.is_accuracy()).map(curve).collect::<String>();
    text += &found.images.iter().map(images).collect::<String>();
    let have_predictions = sides.iter().all(|named| named.side.runs.iter().any(|run| !run.predictions.is_empty()));
    if found.images.is_empty() && have_predictions {
        text += "\nThe sides classified different images, so no image is compared.\n";
    }
    text
}

fn line_of(Named { name, side }: &Named) -> String {
    let ids: Vec<String> = side.runs.iter().map(|run| run.run.short()).collect();
    format!("{name} ({})", ids.join(", "))
}

/// Names the epochs of both sides, if they differ.
fn epochs(found: &ComparedQuantity) -> String {
    let text = |epochs: &BTreeSet<u32>| match (epochs.first(), epochs.last()) {
        (Some(first), Some(last)) if first == last => first.to_string(),
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => "—".to_owned(),
    };
    let [first, second] = found.epochs.each_ref().map(text);
    if first == second { first } else { format!("{first} and {second}") }
}

/// Shows a curve of both sides, if there is one.
fn curve(found: &ComparedQuantity) -> String {
    let epochs: Vec<u32> =
        found.curves.iter().flat_map(BTreeMap::keys).copied().collect::<BTreeSet<_>>().into_iter().collect();
    if epochs.len() < 2 {
        return String::new();
    }
    let every = epochs.len().div_ceil(CURVE_LINES);
    // The last epoch is always shown.
    let shown = epochs.iter().rev().step_by(every).rev();
    let text = |side: usize, epoch: &u32| {
        found.curves[side].get(epoch).map_or_else(|| "—".to_owned(), |value| found.text(*value))
    };
    let lines: Vec<Vec<String>> = shown.map(|epoch| vec![epoch.to_string(), text(0, epoch), text(1, epoch)]).collect();
    format!("\n# {} by epoch\n{}", found.name, grid(&["epoch", "first", "second"], &lines))
}

fn images(found: &ComparedImages) -> String {
    let form = found.form.map(|form| format!(", {} form", form.name())).unwrap_or_default();
    let mut text = format!("\n# {} images{form}\n", found.split.name());
    let line = |(seed, test): (&u64, &sweep_report::McNemar)| {
        let numbers = [test.images, test.only_first, test.only_second].map(|n| n.to_string());
        [seed.to_string()].into_iter().chain(numbers).chain([p_number(test.p)]).collect::<Vec<_>>()
    };
    let heading = ["seed", "images", "only first right", "only second right", "McNemar p"];
    text += &grid(&heading, &found.pairs.iter().map(line).collect::<Vec<_>>());
    if !found.disagreements.is_empty() {
        let classes = |classes: &[u32]| classes.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let line = |image: &sweep_report::Disagreement| {
            let [first, second] = image.predicted.each_ref().map(|found| classes(found));
            vec![image.image.to_string(), image.class.to_string(), first, second]
        };
        text += "\nimages on which pairs of runs disagree, those with most such pairs first\n";
        let heading = ["image", "class", "first says", "second says"];
        text += &grid(&heading, &found.disagreements.iter().map(line).collect::<Vec<_>>());
    }
    text
}

/// Says if runs are not finished, or not equally far.
fn say_unequal(sides: &[Named; 2], found: &SideBySide) {
    for Named { name, side } in sides {
        let open: Vec<String> = side
            .runs
            .iter()
            .filter(|run| run.status != Status::Succeeded)
            .map(|run| format!("seed {} is {}", run.seed, run.status))
            .collect();
        let has_values = side.runs.iter().any(|run| !run.measurements.is_empty());
        if !open.is_empty() && has_values {
            say(&format!("note: {name}: {}; its values are those so far", open.join(", ")));
        }
    }
    let is_unequal = |found: &ComparedQuantity| found.epochs.iter().flatten().collect::<BTreeSet<_>>().len() > 1;
    if found.at_epoch.is_none() && found.quantities.iter().any(is_unequal) {
        say("note: some values are of different epochs: --at-epoch N compares equal ones");
    }
}
