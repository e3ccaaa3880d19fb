//! `bench`: measures the times of training steps, forward passes and kernels of this program on this machine.
//!
//! Times are wall-clock times. Except for `orchestration`, the command reads no experiment and writes no file.

use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use repmlp_train::bench::{self, Effort, Suite, Timing};
use serde::Serialize;
use sweep_runner::worker_environment;

use super::grid::grid;
use super::{bench_gpu, orchestration, print};
use crate::cli::{BenchArgs, SuiteChoice};
use crate::exit::{Exit, UsageError};

/// Number of warm-up rounds. The first round allocates memory, and the second finds the caches filled as in later
/// rounds.
pub(super) const WARMUP: usize = 2;

pub(crate) fn run(arguments: &BenchArgs) -> Result<Exit> {
    refuse_flags_of_others(arguments)?;
    let suite = match arguments.suite {
        SuiteChoice::Orchestration => return orchestration::run(arguments),
        SuiteChoice::Gpu => return bench_gpu::run(arguments),
        SuiteChoice::Train => Suite::Train,
        SuiteChoice::Infer => Suite::Infer,
        SuiteChoice::Kernels => Suite::Kernels,
    };
    let threads = threads(arguments);
    start_with(threads)?;
    let selected = select(bench::names(suite), arguments.word.as_deref())?;
    let effort = Effort { warmup: WARMUP, repeats: arguments.repeats as usize };
    let mut rows = Vec::new();
    bench::time(suite, &selected, effort, |timing| {
        // The peak memory is that of the process. With several cases it would be that of the largest one.
        let peak_rss_mb = if selected.len() == 1 { peak_rss_mb(std::process::id()) } else { None };
        let line = Line::of(&timing, threads, peak_rss_mb);
        if arguments.json {
            return print(&format!("{}\n", serde_json::to_string(&line)?));
        }
        progress(&timing);
        rows.push(line.cells());
        anyhow::Ok(())
    })?;
    if !arguments.json {
        let heading = ["case", "way", "batch", "median", "min", "GFLOP/s", "peak memory"];
        let note = "GFLOP/s: two operations per needed multiply-add (none for padding), at the median time.\n\
                    A training step needs three times the multiply-adds of a forward pass, less the gradient of\n\
                    its images.";
        print(&format!("{}\n{threads} threads. {note}\n", grid(&heading, &rows)))?;
    }
    Ok(Exit::Done)
}

/// Refuses flags that would change nothing.
fn refuse_flags_of_others(arguments: &BenchArgs) -> Result<()> {
    let (is_gpu, is_orchestration) =
        (arguments.suite == SuiteChoice::Gpu, arguments.suite == SuiteChoice::Orchestration);
    for (flag, is_set, is_known) in [
        ("--device", arguments.device.is_some(), is_gpu),
        ("--precision", arguments.precision.is_some(), is_gpu),
        ("--out", arguments.out.is_some(), is_gpu || is_orchestration),
        ("--runs", arguments.runs.is_some(), is_orchestration),
    ] {
        if is_set && !is_known {
            return Err(UsageError(format!("{flag} changes nothing in this suite: see `bench --help`")).into());
        }
    }
    Ok(())
}

/// Returns the number of threads to use.
pub(super) fn threads(arguments: &BenchArgs) -> usize {
    match arguments.threads {
        Some(threads) => threads as usize,
        None => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    }
}

/// Restarts this program with the environment variables of an attempt, unless they are already set. Thread pools read
/// them only when a process starts.
pub(super) fn start_with(threads: usize) -> Result<()> {
    let variables = worker_environment(threads);
    if variables.iter().all(|(name, value)| std::env::var(name).is_ok_and(|set| set == *value)) {
        return Ok(());
    }
    let program = std::env::current_exe().context("the path of this program is unknown")?;
    let fault = Command::new(program).args(std::env::args_os().skip(1)).envs(variables).exec();
    Err(fault).context("this program cannot restart itself with its thread settings")
}

/// Selects the case with this name, or else all cases with names that contain the word.
pub(super) fn select(names: Vec<String>, word: Option<&str>) -> Result<Vec<String>> {
    let Some(word) = word else { return Ok(names) };
    let selected: Vec<String> = match names.iter().find(|name| *name == word) {
        Some(name) => vec![name.clone()],
        None => names.iter().filter(|name| name.contains(word)).cloned().collect(),
    };
    if selected.is_empty() {
        let all = names.join("\n  ");
        return Err(UsageError(format!("no case has a name that contains `{word}`; the cases are:\n  {all}")).into());
    }
    Ok(selected)
}

/// Returns the peak memory of a process in 10⁶ bytes. Only Linux reports it.
pub(super) fn peak_rss_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// One result, for other programs; `benches/pytorch.py` writes the same format.
#[derive(Serialize)]
struct Line<'a> {
    case: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<&'static str>,
    threads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<usize>,
    repeats: usize,
    median_s: f64,
    min_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    multiply_adds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gflop_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_rss_mb: Option<f64>,
}

impl<'a> Line<'a> {
    fn of(timing: &'a Timing, threads: usize, peak_rss_mb: Option<f64>) -> Self {
        Self {
            case: &timing.case,
            way: timing.way,
            threads,
            batch: timing.batch,
            repeats: timing.seconds.len(),
            median_s: timing.median_s(),
            min_s: timing.min_s(),
            multiply_adds: timing.multiply_adds,
            gflop_per_s: timing.gflop_per_s(),
            peak_rss_mb,
        }
    }

    fn cells(&self) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            self.case.to_owned(),
            self.way.unwrap_or("-").to_owned(),
            or_dash(self.batch.map(|batch| batch.to_string())),
            format!("{:.2} ms", 1e3 * self.median_s),
            format!("{:.2} ms", 1e3 * self.min_s),
            or_dash(self.gflop_per_s.map(|rate| format!("{rate:.1}"))),
            or_dash(self.peak_rss_mb.map(|peak| format!("{peak:.0} MB"))),
        ]
    }
}

#[expect(clippy::print_stderr, reason = "progress is shown on standard error")]
fn progress(timing: &Timing) {
    eprintln!("timed {}{}", timing.case, timing.way.map(|way| format!(", {way}")).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_selects_only_its_case() {
        let names = || ["net_infer", "wide_net_infer", "block_infer"].map(str::to_owned).to_vec();
        assert_eq!(select(names(), None).unwrap(), names());
        assert_eq!(select(names(), Some("net_infer")).unwrap(), ["net_infer"]);
        assert_eq!(select(names(), Some("net")).unwrap(), ["net_infer", "wide_net_infer"]);
        let fault = select(names(), Some("step")).unwrap_err().to_string();
        assert!(fault.contains("`step`") && fault.ends_with("block_infer"), "{fault}");
    }
}
