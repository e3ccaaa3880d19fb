//! `bench gpu`: whether a device agrees with the CPU, and the times and the memory of steps on it.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result};
use repmlp_train::bench::device::{Agreement, StepTimes, agreements, step_times};
use repmlp_train::bench::{self, Effort, Suite};
use repmlp_train::{Device, DeviceChoice, DeviceError, gpus};
use serde_json::{Value, json};
use sweep_protocol::median;

use super::bench::{WARMUP, select, start_with, threads};
use super::grid::grid;
use super::{print, say};
use crate::cli::BenchArgs;
use crate::exit::{Exit, UsageError};

/// Name of the file with the measurements.
const RECORD: &str = "gpu.jsonl";

/// Opens a device of the command line.
///
/// # Errors
/// When there is no such device.
pub(super) fn opened(name: &str) -> Result<Device> {
    let opened = name.parse::<DeviceChoice>().and_then(DeviceChoice::open);
    opened.map_err(|fault| match fault {
        DeviceError::Cuda { .. } => anyhow::Error::from(fault),
        DeviceError::Name(_) | DeviceError::NotBuilt => UsageError(fault.to_string()).into(),
    })
}

pub(super) fn run(arguments: &BenchArgs) -> Result<Exit> {
    start_with(threads(arguments))?;
    let suites = [Suite::Train, Suite::Infer];
    let names = suites.iter().flat_map(|suite| bench::names(*suite)).collect();
    let names = select(names, arguments.word.as_deref())?;
    let device = opened(&arguments.device)?;
    let mut record = Record::open(arguments)?;
    record.line(&device_line(arguments))?;
    let agreements = agreements(&device)?;
    for agreement in &agreements {
        record.line(&agreement_line(agreement))?;
    }
    let worst = agreements.iter().filter(|agreement| !agreement.agrees());
    let disagree: Vec<&str> = worst.map(|agreement| agreement.operation).collect();
    let effort = Effort { warmup: WARMUP, repeats: arguments.repeats as usize };
    let mut rows = Vec::new();
    for suite in suites {
        step_times(&device, suite, (&names, effort), |times| {
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
    say(&format!("error: {} disagrees with the CPU: {}", arguments.device, disagree.join(", ")));
    Ok(Exit::Mismatch)
}

/// Where lines of JSON go: standard output, a file, or both.
struct Record {
    file: Option<(fs::File, String)>,
    is_printed: bool,
}

impl Record {
    fn open(arguments: &BenchArgs) -> Result<Self> {
        let Some(folder) = &arguments.out else { return Ok(Self { file: None, is_printed: arguments.json }) };
        let path = folder.join(RECORD);
        let fault = || format!("{} cannot be written", path.display());
        fs::create_dir_all(folder).with_context(fault)?;
        let file = fs::OpenOptions::new().create(true).append(true).open(&path).with_context(fault)?;
        Ok(Self { file: Some((file, fault())), is_printed: arguments.json })
    }

    fn line(&mut self, line: &Value) -> Result<()> {
        if let Some((file, fault)) = &mut self.file {
            writeln!(file, "{line}").with_context(|| fault.clone())?;
        }
        if self.is_printed { print(&format!("{line}\n")) } else { Ok(()) }
    }
}

fn device_line(arguments: &BenchArgs) -> Value {
    let gpu = gpus().ok().and_then(|gpus| gpus.into_iter().find(|gpu| gpu.device.to_string() == arguments.device));
    let model = gpu.as_ref().map(|gpu| gpu.model.clone());
    let capability = gpu.map(|gpu| format!("{}.{}", gpu.capability.0, gpu.capability.1));
    json!({
        "device": arguments.device,
        "model": model,
        "capability": capability,
        "commit": env!("REPMLP_SWEEP_COMMIT"),
        "precision": "f32, without TF32",
    })
}

fn agreement_line(agreement: &Agreement) -> Value {
    let Agreement { operation, difference, bound } = agreement;
    json!({ "operation": operation, "difference": difference, "bound": bound, "agrees": agreement.agrees() })
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
            let verdict = if agreement.agrees() { "agrees" } else { "DISAGREES" };
            vec![agreement.operation.to_owned(), format!("{:.1e}", agreement.difference), verdict.to_owned()]
        })
        .collect();
    let heading = ["case", "batch", "step", "images/s", "GFLOP/s", "memory", "predicted"];
    format!("{}\n\n{}\n", grid(&["operation", "difference to the CPU", ""], &operations), grid(&heading, rows))
}
