//! `bench gpu`: whether a device agrees with the CPU, and the times and the memory of steps on it.

use anyhow::Result;
use repmlp_kernels::Factors;
use repmlp_train::bench::device::{Agreement, StepTimes, agreements, step_times};
use repmlp_train::bench::{self, Effort, Suite};
use repmlp_train::gpus;
use serde_json::{Value, json};
use sweep_protocol::median;

use super::bench::{WARMUP, select, start_with, threads};
use super::device::opened;
use super::grid::grid;
use super::json_lines::JsonLines;
use super::{print, say};
use crate::cli::{BenchArgs, StepPrecision};
use crate::exit::Exit;

/// Name of the file with the measurements.
const RECORD: &str = "gpu.jsonl";

pub(super) fn run(arguments: &BenchArgs) -> Result<Exit> {
    start_with(threads(arguments))?;
    let suites = [Suite::Train, Suite::Infer];
    let names = suites.iter().flat_map(|suite| bench::names(*suite)).collect();
    let names = select(names, arguments.word.as_deref())?;
    let (device, name) = opened(arguments.device.as_deref().unwrap_or("cuda:0"))?;
    let factors = match arguments.precision {
        None | Some(StepPrecision::F32) => Factors::Exact,
        Some(StepPrecision::Bf16) => Factors::Bf16,
    };
    let mut record = Record::open(arguments)?;
    record.line(&device_line(&name, factors))?;
    let agreements = agreements(&device)?;
    for agreement in &agreements {
        record.line(&agreement_line(agreement))?;
    }
    let worst = agreements.iter().filter(|agreement| !agreement.agrees());
    let disagree: Vec<&str> = worst.map(|agreement| agreement.operation).collect();
    let effort = Effort { warmup: WARMUP, repeats: arguments.repeats as usize };
    let mut rows = Vec::new();
    for suite in suites {
        step_times((&device, factors), suite, (&names, effort), |times| {
            record.line(&times_line(&times))?;
            rows.push(cells(&times));
            anyhow::Ok(())
        })?;
    }
    if !arguments.json {
        print(&text(&agreements, &rows))?;
    }
    if disagree.is_empty() {
        return Ok(Exit::Done);
    }
    say(&format!("error: {name} disagrees with the CPU: {}", disagree.join(", ")));
    Ok(Exit::Mismatch)
}

/// Where lines of JSON go: standard output, a file, or both.
struct Record {
    file: Option<JsonLines>,
    is_printed: bool,
}

impl Record {
    fn open(arguments: &BenchArgs) -> Result<Self> {
        let file = arguments.out.as_deref().map(|folder| JsonLines::open(folder, RECORD)).transpose()?;
        Ok(Self { file, is_printed: arguments.json })
    }

    fn line(&mut self, line: &Value) -> Result<()> {
        let line = line.to_string();
        if let Some(file) = &mut self.file {
            file.add(&line)?;
        }
        if self.is_printed { print(&format!("{line}\n")) } else { Ok(()) }
    }
}

fn device_line(name: &str, factors: Factors) -> Value {
    let gpu = gpus().ok().and_then(|gpus| gpus.into_iter().find(|gpu| gpu.device.to_string() == name));
    let model = gpu.as_ref().map(|gpu| gpu.model.clone());
    let capability = gpu.map(|gpu| format!("{}.{}", gpu.capability.0, gpu.capability.1));
    json!({
        "device": name,
        "model": model,
        "capability": capability,
        "commit": env!("REPMLP_SWEEP_COMMIT"),
        "precision": if factors == Factors::Bf16 { "bf16" } else { "f32, without TF32" },
    })
}

fn agreement_line(agreement: &Agreement) -> Value {
    let Agreement { operation, difference, bound } = agreement;
    let (difference, error) = (difference.as_ref().ok(), difference.as_ref().err());
    let agrees = agreement.agrees();
    json!({ "operation": operation, "difference": difference, "bound": bound, "agrees": agrees, "error": error })
}

fn times_line(times: &StepTimes) -> Value {
    let StepTimes { case, batch, seconds, phases, multiply_adds, memory } = times;
    let median_s = median(seconds.clone()).unwrap_or_default();
    let phases: serde_json::Map<String, Value> =
        phases.iter().map(|(name, seconds)| ((*name).to_owned(), json!(seconds))).collect();
    json!({
        "case": case,
        "way": "ours",
        "batch": batch,
        "repeats": seconds.len(),
        "median_s": median_s,
        "min_s": seconds.iter().copied().fold(f64::INFINITY, f64::min),
        "images_per_s": *batch as f64 / median_s,
        "gflop_per_s": 2e-9 * multiply_adds / median_s,
        "phases_s": phases,
        "most_bytes": memory.map(|memory| memory.most),
        "predicted_bytes": memory.and_then(|memory| memory.predicted),
        "left_bytes": memory.map(|memory| memory.left),
    })
}

fn cells(times: &StepTimes) -> Vec<String> {
    let median_s = median(times.seconds.clone()).unwrap_or_default();
    let mb = |bytes: Option<f64>| bytes.map_or("-".to_owned(), |bytes| format!("{:.0} MB", bytes / 1e6));
    vec![
        times.case.clone(),
        times.batch.to_string(),
        format!("{:.3} ms", 1e3 * median_s),
        format!("{:.0}", times.batch as f64 / median_s),
        format!("{:.0}", 2e-9 * times.multiply_adds / median_s),
        mb(times.memory.map(|memory| memory.most as f64)),
        mb(times.memory.and_then(|memory| memory.predicted)),
    ]
}

fn text(agreements: &[Agreement], rows: &[Vec<String>]) -> String {
    let operations: Vec<Vec<String>> = agreements
        .iter()
        .map(|agreement| {
            let (difference, verdict) = match &agreement.difference {
                Err(fault) => ("-".to_owned(), format!("FAILED: {fault}")),
                Ok(difference) if agreement.agrees() => (format!("{difference:.1e}"), "agrees".to_owned()),
                Ok(difference) => (format!("{difference:.1e}"), "DISAGREES".to_owned()),
            };
            vec![agreement.operation.to_owned(), difference, verdict]
        })
        .collect();
    let heading = ["case", "batch", "step", "images/s", "GFLOP/s", "memory", "predicted"];
    format!("{}\n{}\n", grid(&["operation", "difference to the CPU", ""], &operations), grid(&heading, rows))
}
