//! `show`: prints everything known about one run.

use std::io::ErrorKind;

use anyhow::Result;
use serde_json::json;
use sweep_protocol::{
    Measurement, Predictions, ResultsLayout, RunFile, RunId, RunTags, duration, error_chain, read_regular_file,
};
use sweep_store::{AttemptRow, Damage, Reader, RunHistory};

use super::grid::grid;
use super::{open_results, print, print_json, say, say_damage};
use crate::cli::ShowArgs;
use crate::exit::{Exit, UsageError};
use crate::project::Project;

/// Returns the only run with an id that starts with `prefix`.
pub(super) fn find_run(results: &mut Reader, prefix: &str) -> Result<RunId> {
    let found = results.find_runs(prefix);
    match found.as_slice() {
        [run] => Ok(*run),
        [] => {
            Err(UsageError(format!("no run id starts with `{prefix}`; `repmlp-sweep status NAME` lists the ids"))
                .into())
        }
        several => {
            let ids: Vec<_> = several.iter().take(5).map(RunId::short).collect();
            Err(UsageError(format!(
                "{} run ids start with `{prefix}`: {}, …; give more digits",
                several.len(),
                ids.join(", ")
            ))
            .into())
        }
    }
}

pub(crate) async fn run(arguments: ShowArgs) -> Result<Exit> {
    let layout = Project::here().results(&arguments.results);
    let mut results = open_results(&layout).await?;
    let id = find_run(&mut results, &arguments.run)?;
    let mut history = results.run(id)?;
    let plans = results.plans();
    for measurement in &mut history.measurements {
        let declared = plans.iter().find_map(|plan| plan.metric(measurement.metric));
        measurement.metric = declared.unwrap_or(measurement.metric);
    }
    let places = places(&mut results, id)?;
    say_damage(&mut results);
    let config = config(&layout, id);
    if arguments.json {
        let RunHistory { row, attempts, measurements, predictions } = &history;
        let predictions: Vec<_> = predictions
            .iter()
            .map(|p| {
                json!({
                    "split": p.split(), "form": p.form(), "epoch": p.epoch(), "images": p.images(),
                    "classes": p.classes(),
                })
            })
            .collect();
        let attempts: Vec<_> = attempts
            .iter()
            .map(|a| {
                json!({
                    "attempt": a.attempt, "status": a.status.to_string(), "message": a.message, "device": a.device,
                    "host": a.host, "arithmetic": a.arithmetic, "processor": a.processor, "code": a.code,
                })
            })
            .collect();
        print_json(&json!({
            "run": row, "experiments": places, "config": config, "attempts": attempts, "measurements": measurements,
            "predictions": predictions, "tags": RunTags::read(&layout.run(id).tags()).unwrap_or_default(),
        }))?;
    } else {
        print(&text(&history, &places, &config, &layout))?;
    }
    Ok(Exit::Done)
}

/// Returns the run's place in every experiment that contains it.
fn places(results: &mut Reader, id: RunId) -> Result<Vec<String>> {
    let mut places = Vec::new();
    for e in results.experiments()? {
        let planned = results.plan(&e.experiment, &e.profile).map(|plan| plan.runs).unwrap_or_default();
        let own = planned.iter().find(|run| run.run == id);
        places
            .extend(own.map(|run| format!("{} ({}): {} seed {}", e.experiment, e.profile, run.coordinates, run.seed)));
    }
    Ok(places)
}

/// Returns the resolved configuration from the run's folder; null before the first attempt, and if the file is not that
/// of this run.
fn config(layout: &ResultsLayout, id: RunId) -> serde_json::Value {
    let path = layout.run(id).config();
    let damage = match read_regular_file(&path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return serde_json::Value::Null,
        Err(source) => Damage::Unreadable { path, source },
        Ok(bytes) if RunFile::parse(&bytes).is_some_and(|file| file.id() == id) => {
            return serde_json::from_slice(&bytes).unwrap_or_default();
        }
        Ok(_) => Damage::Identity { path, run: id },
    };
    say(&format!("note: {}", error_chain(&damage)));
    serde_json::Value::Null
}

fn text(history: &RunHistory, places: &[String], config: &serde_json::Value, layout: &ResultsLayout) -> String {
    let RunHistory { row, attempts, measurements, predictions } = history;
    let mut text = format!("run {}\n{}\n", row.run, row.status);
    text += &row.message.as_ref().map(|message| format!("why: {message}\n")).unwrap_or_default();
    text += &row.arithmetic.as_ref().map(|arithmetic| format!("computed with: {arithmetic}\n")).unwrap_or_default();
    text += &row.processor.as_ref().map(|processor| format!("processor: {processor}\n")).unwrap_or_default();
    text += &row.data_fingerprint.as_ref().map(|digest| format!("data: {digest}\n")).unwrap_or_default();
    text += &format!("folder: {}\n", layout.run(row.run).root().display());
    match RunTags::read(&layout.run(row.run).tags()) {
        Ok(tags) if !tags.is_empty() => text += &format!("tags and note: {}\n", tags.line()),
        Ok(_) => {}
        Err(fault) => {
            text += &format!("tags and note: {} cannot be read: {fault}\n", layout.run(row.run).tags().display());
        }
    }
    text += &places.iter().map(|place| format!("part of {place}\n")).collect::<String>();
    if let Ok(toml) = toml::to_string(config.get("config").unwrap_or(config)) {
        text += &format!("\n# configuration\n{toml}");
    }
    text += &format!("\n# attempts\n{}", attempt_lines(attempts));
    let unchecked: u64 = attempts.iter().map(|attempt| attempt.unchecked_lines).sum();
    if unchecked > 0 {
        text += &format!("{unchecked} lines of its journals have no checksum: an older version wrote them\n");
    }
    text += &format!("\n# measurements, latest epoch\n{}", measurement_lines(measurements));
    text += &predictions.iter().map(prediction_line).collect::<String>();
    text
}

/// Says that predictions are stored. Their classes would fill pages.
fn prediction_line(predictions: &Predictions) -> String {
    let form = predictions.form().map(|form| format!(", {} form", form.name())).unwrap_or_default();
    format!(
        "predictions are stored: {} {} images of {} classes{form}\n",
        predictions.images(),
        predictions.split().name(),
        predictions.classes()
    )
}

fn attempt_lines(attempts: &[AttemptRow]) -> String {
    let line = |a: &AttemptRow| {
        let time = a.started_at_ms.zip(a.ended_at_ms).map(|(start, end)| end.saturating_sub(start) as f64 / 1000.0);
        vec![
            a.attempt.to_string(),
            a.status.to_string(),
            a.device.clone().unwrap_or_default(),
            a.arithmetic.as_ref().map(|arithmetic| arithmetic.kernels.clone()).unwrap_or_default(),
            a.threads.map(|n| n.to_string()).unwrap_or_default(),
            a.host.clone().unwrap_or_default(),
            a.resumed_at_step.map(|step| step.to_string()).unwrap_or_default(),
            time.map(duration).unwrap_or_default(),
            a.code.clone().unwrap_or_default(),
        ]
    };
    let heading = ["attempt", "status", "device", "kernels", "threads", "host", "from step", "time", "code"];
    grid(&heading, &attempts.iter().map(line).collect::<Vec<_>>())
}

/// Formats a value with all its digits. Small values get an exponent.
fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-4 { format!("{value:e}") } else { value.to_string() }
}

fn measurement_lines(measurements: &[Measurement]) -> String {
    let latest: std::collections::BTreeMap<_, _> =
        measurements.iter().map(|m| ((m.metric, m.split, m.form), m)).collect();
    let line = |m: &Measurement| {
        vec![
            m.metric.to_string(),
            m.split.map_or("-", |split| split.name()).to_owned(),
            m.form.map_or("-", |form| form.name()).to_owned(),
            m.epoch.map_or("-".to_owned(), |epoch| epoch.to_string()),
            number(m.value),
            m.metric.unit().to_owned(),
        ]
    };
    let lines: Vec<_> = latest.into_values().map(line).collect();
    grid(&["metric", "split", "form", "epoch", "value", "unit"], &lines)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn small_values_are_short() {
        assert_eq!(number(0.000_000_044_703_483_581_542_97), "4.470348358154297e-8");
        assert_eq!([0.0, 0.5, 1e7].map(number), ["0", "0.5", "10000000"]);
    }
}
