//! `why`: shows the runs behind a number of a report, with the lines of the journals that gave it.

use anyhow::Result;
use serde::Serialize;
use sweep_protocol::{Metric, ResultsLayout};
use sweep_report::{CellValue, Trace, TracedRun, trace};
use sweep_store::{Origin, Reader};

use super::grid::grid;
use super::report::recorded;
use super::{open_results, print, print_json, say_damage};
use crate::cli::WhyArgs;
use crate::exit::{Exit, UsageError};
use crate::project::Project;
use crate::recorded::Origin as Source;

/// A run behind the number, and where its values were written.
#[derive(Serialize)]
struct Witness<'a> {
    #[serde(flatten)]
    traced: &'a TracedRun,
    /// One for each measurement that counts; empty for published rows, whose journals are not here.
    origins: Vec<Origin>,
}

pub(crate) async fn run(arguments: WhyArgs) -> Result<Exit> {
    let project = Project::of(&arguments.path);
    let layout = project.results(&arguments.recorded.results);
    let mut results = open_results(&layout).await?;
    let profile = arguments.recorded.profile();
    let recorded = recorded(&mut results, &layout, &arguments.path, Some(&profile)).await?;
    let (declaration, paper) = project.declaration(&recorded.rows)?;
    let place = (arguments.table.as_str(), arguments.row.as_str(), arguments.column.as_str());
    let found = trace(&recorded.rows, &declaration, &paper, place).map_err(|fault| UsageError(fault.to_string()))?;
    let is_here = recorded.origin == Source::Runs;
    let witnesses = witnesses(&mut results, &found, recorded.origin)?;
    say_damage(&mut results);
    if arguments.json {
        print_json(&serde_json::json!({ "trace": found, "runs": witnesses }))?;
        return Ok(Exit::Done);
    }
    let mut text = format!("table {}, row {}, column {}\n", found.table, found.row, found.column);
    text += &value_line(&found);
    text += &run_lines(&found, &witnesses);
    if found.quantity.metric == Metric::Throughput && is_here {
        text += &throughput_lines(&found, &layout, (&recorded.rows.plan.experiment, &recorded.rows.plan.profile));
    } else if is_here {
        text += &places(&witnesses, &layout);
    }
    print(&text)?;
    Ok(Exit::Done)
}

fn witnesses<'a>(results: &mut Reader, found: &'a Trace, source: Source) -> Result<Vec<Witness<'a>>> {
    let mut witnesses = Vec::new();
    for traced in &found.runs {
        let mut origins = Vec::new();
        for measurement in traced.measurements.iter().filter(|_| source == Source::Runs) {
            origins.extend(results.origin(traced.run, measurement)?);
        }
        witnesses.push(Witness { traced, origins });
    }
    Ok(witnesses)
}

fn value_line(found: &Trace) -> String {
    let unit = match found.quantity.metric.unit() {
        "fraction" => "",
        unit => unit,
    };
    match &found.cell.value {
        CellValue::Measured(estimate) => {
            let sd = estimate.sd.map(|sd| format!(", standard deviation {sd}")).unwrap_or_default();
            let text = format!("mean over {} of {} runs: {} {unit}", estimate.n, found.runs.len(), estimate.mean);
            format!("{}{sd}\n", text.trim_end())
        }
        CellValue::Missing(why) => format!("no value: {why}\n"),
    }
}

fn run_lines(found: &Trace, witnesses: &[Witness<'_>]) -> String {
    let line = |witness: &Witness<'_>| {
        let TracedRun { run, seed, status, value, measurements, .. } = witness.traced;
        let epoch = match measurements.as_slice() {
            [one] => one.epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
            [first, .., last] => {
                let ends = [first, last].map(|value| value.epoch.map(|epoch| epoch.to_string()).unwrap_or_default());
                ends.join(" to ")
            }
            [] => String::new(),
        };
        let value = value.map(|value| value.to_string()).unwrap_or_default();
        vec![run.short().to_string(), seed.to_string(), status.to_string(), value, epoch]
    };
    let heading = ["run", "seed", "status", found.quantity.metric.name(), "epoch"];
    format!("\n{}", grid(&heading, &witnesses.iter().map(line).collect::<Vec<_>>()))
}

/// Names the configuration of each run, and the line of its journal.
fn places(witnesses: &[Witness<'_>], layout: &ResultsLayout) -> String {
    let mut text = "\n".to_owned();
    for Witness { traced, origins } in witnesses.iter().filter(|witness| witness.traced.value.is_some()) {
        text += &format!("{}: {}\n", traced.run.short(), layout.run(traced.run).config().display());
        for origin in origins {
            text += &format!("  {}:{}\n", origin.journal.display(), origin.line);
        }
    }
    text
}

/// Names the records of throughput and the networks in them.
fn throughput_lines(found: &Trace, layout: &ResultsLayout, (experiment, profile): (&str, &str)) -> String {
    let mut networks: Vec<&str> = found.runs.iter().filter_map(|run| run.network.as_deref()).collect();
    networks.dedup();
    let records = layout.throughput(experiment, profile).records();
    format!("\ntimed as network {} in {}\n", networks.join(", "), records.display())
}
