//! `bench orchestration`: measures what sweeps cost besides training. A scratch project has thousands of runs that
//! train nothing. Everything else is as in a real sweep: a process for each run, synced journals, the index, the
//! report.
//!
//! The commands run as separate processes, as a user starts them. Times include the start of the process.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::grid::grid;
use super::json_lines::JsonLines;
use super::{bench, print, say, train};
use crate::cli::BenchArgs;
use crate::exit::{Exit, UsageError};
use crate::idle;

/// Number of runs for which the goals are set.
const RUNS: u32 = 10_000;
/// Number of seeds of each row.
const SEEDS: u32 = 100;
/// Epochs of a run of the many-runs sweep.
const EPOCHS: u32 = 1;
/// Epochs of a run whose journals are read again. So the values cost more than the files.
const LONG_EPOCHS: u32 = 100;
/// Number of runs of the sweep for each run with long journals.
const RUNS_PER_LONG_RUN: u32 = 25;
/// Number of runs of the sweep for each run of a command.
const RUNS_PER_COMMAND: u32 = 10;
/// Interval at which the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Name of the file with the measurements.
const RECORD: &str = "orchestration.jsonl";
/// Folder of the scratch project. It is removed at the end.
const PROJECT: &str = "project";

pub(super) fn run(arguments: &BenchArgs) -> Result<Exit> {
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("orchestration"));
    let project = Project::make(&out.join(PROJECT), arguments.runs.unwrap_or(RUNS))?;
    let mut record = JsonLines::open(&out, RECORD)?;
    let mut rows = Vec::new();
    let repeats = arguments.repeats as usize;
    project.measure(repeats, |figure| {
        let line = serde_json::to_string(&figure)?;
        record.add(&line)?;
        if arguments.json {
            return print(&format!("{line}\n"));
        }
        say(&format!("measured {}", figure.figure));
        rows.push(figure.cells());
        Ok(())
    })?;
    fs::remove_dir_all(&project.folder)?;
    if !arguments.json {
        print(&format!("{}\n", grid(&["figure", "value", "goal", "is"], &rows)))?;
    }
    Ok(Exit::Done)
}

/// What a figure should be.
#[derive(Clone, Copy)]
enum Goal {
    None,
    AtLeast(f64),
    AtMost(f64),
}

/// One result.
#[derive(Serialize)]
struct Figure {
    figure: &'static str,
    /// The median over the repetitions.
    value: f64,
    unit: &'static str,
    min: f64,
    max: f64,
    repeats: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_met: Option<bool>,
    /// Number of runs in the sweep.
    runs: u32,
    cores: usize,
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    processor: Option<String>,
}

impl Figure {
    fn cells(&self) -> Vec<String> {
        let text = |value: f64| if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        let met = self.is_met.map_or("-", |met| if met { "met" } else { "missed" });
        vec![
            self.figure.to_owned(),
            format!("{} {}", text(self.value), self.unit),
            self.goal.map_or("-".to_owned(), |goal| format!("{} {}", text(goal), self.unit)),
            met.to_owned(),
        ]
    }
}

/// A scratch project.
struct Project {
    folder: PathBuf,
    program: PathBuf,
    /// Number of runs of the sweep with many runs.
    runs: u32,
    /// Number of runs with long journals.
    long_runs: u32,
    /// Number of runs that a command of the user's trains.
    command_runs: u32,
}

/// What a command cost.
struct Cost {
    seconds: f64,
    /// Largest memory of its process, in 10⁶ bytes. Only Linux reports it.
    peak_mb: Option<f64>,
}

impl Project {
    fn make(folder: &Path, runs: u32) -> Result<Self> {
        if folder.exists() {
            let message = format!("{}: exists; remove it, or name another folder with --out", folder.display());
            return Err(UsageError(message).into());
        }
        if runs > SEEDS && !runs.is_multiple_of(SEEDS) {
            let message = format!("--runs {runs}: each row has {SEEDS} seeds, so name whole hundreds above {SEEDS}");
            return Err(UsageError(message).into());
        }
        let (seeds, values) = (SEEDS.min(runs), runs.div_ceil(SEEDS));
        let (long_runs, command_runs) = ((runs / RUNS_PER_LONG_RUN).max(1), (runs / RUNS_PER_COMMAND).max(1));
        let folder = std::path::absolute(folder)?;
        let experiments = folder.join("experiments");
        let unwritable = || format!("{} cannot be written", folder.display());
        fs::create_dir_all(experiments.join("base")).with_context(unwritable)?;
        let idle = |epochs: u32| format!("idle = {{ epochs = {epochs} }}");
        for (name, trainer, seeds, values) in [
            ("many", idle(EPOCHS), seeds, values),
            ("long", idle(LONG_EPOCHS), long_runs, 1),
            ("command", "command = [\"true\"]".to_owned(), command_runs, 1),
        ] {
            let widths: Vec<String> = (1..=values).map(|width| width.to_string()).collect();
            let experiment = format!(
                "question = \"What does orchestration cost?\"\nbase = \"base/{name}.toml\"\nseeds = {seeds}\n\
                 [[axis]]\nname = \"width\"\npath = \"width\"\nvalues = [{}]\n",
                widths.join(", ")
            );
            fs::write(experiments.join(format!("{name}.toml")), experiment).with_context(unwritable)?;
            let base = format!("width = 1\n[trainer]\n{trainer}\n");
            fs::write(experiments.join(format!("base/{name}.toml")), base).with_context(unwritable)?;
        }
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        Ok(Self { folder, program, runs: seeds * values, long_runs, command_runs })
    }

    /// Measures every figure.
    fn measure(&self, repeats: usize, mut tell: impl FnMut(Figure) -> Result<()>) -> Result<()> {
        let sweep = self.cost("run experiments/many.toml")?;
        let rate = f64::from(self.runs) / sweep.seconds;
        tell(self.figure("runs that train nothing", "runs/s", Goal::AtLeast(100.0), &[rate]))?;
        if let Some(peak) = sweep.peak_mb {
            tell(self.figure("memory of the scheduler", "MB", Goal::AtMost(300.0), &[peak]))?;
        }
        for (name, words, goal) in [
            ("status", "status", Goal::AtMost(300.0)),
            ("status of one experiment", "status many", Goal::AtMost(300.0)),
            ("plan", "plan experiments/many.toml", Goal::AtMost(300.0)),
            ("second call of a finished sweep", "run experiments/many.toml", Goal::AtMost(500.0)),
        ] {
            let costs = (0..repeats).map(|_| Ok(1e3 * self.cost(words)?.seconds)).collect::<Result<Vec<_>>>()?;
            tell(self.figure(name, "ms", goal, &costs))?;
        }
        let rebuilds = self.times("rebuild", repeats)?;
        tell(self.figure("rebuild of the index", "s", Goal::None, &rebuilds))?;
        let seconds = self.cost("run experiments/command.toml --results command")?.seconds;
        let rate = f64::from(self.command_runs) / seconds;
        tell(self.figure("runs of a command that does nothing", "runs/s", Goal::None, &[rate]))?;
        self.cost("run experiments/long.toml --results long")?;
        let values = f64::from(self.long_runs * LONG_EPOCHS) * idle::VALUES as f64;
        let rates = self.times("rebuild --results long", repeats)?.into_iter().map(|seconds| values / seconds);
        tell(self.figure("values read from journals", "values/s", Goal::AtLeast(2e5), &rates.collect::<Vec<_>>()))
    }

    fn times(&self, words: &str, repeats: usize) -> Result<Vec<f64>> {
        (0..repeats).map(|_| Ok(self.cost(words)?.seconds)).collect()
    }

    fn figure(&self, figure: &'static str, unit: &'static str, goal: Goal, values: &[f64]) -> Figure {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let value = sorted[sorted.len() / 2];
        // With fewer runs a goal is easier.
        let goal = if self.runs < RUNS { Goal::None } else { goal };
        let (goal, is_met) = match goal {
            Goal::None => (None, None),
            Goal::AtLeast(goal) => (Some(goal), Some(value >= goal)),
            Goal::AtMost(goal) => (Some(goal), Some(value <= goal)),
        };
        let origin = train::origin();
        Figure {
            figure,
            value,
            unit,
            min: sorted[0],
            max: sorted[sorted.len() - 1],
            repeats: values.len(),
            goal,
            is_met,
            runs: self.runs,
            cores: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            code: origin.code,
            processor: origin.processor,
        }
    }

    /// Runs this program in the project, to its end.
    fn cost(&self, words: &str) -> Result<Cost> {
        let mut command = Command::new(&self.program);
        command.args(words.split_whitespace()).current_dir(&self.folder);
        for variable in ["REPMLP_SWEEP_RESULTS", "REPMLP_SWEEP_REPORTS", "REPMLP_SWEEP_DATA"] {
            command.env_remove(variable);
        }
        let log = self.folder.join("log.txt");
        let output = fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let clock = Instant::now();
        let mut child = command.spawn().context("this program cannot be started")?;
        let (status, peak_mb) = watched(&mut child)?;
        let seconds = clock.elapsed().as_secs_f64();
        if !status.success() {
            bail!("`{words}` ended with {status}; its output is in {}", log.display());
        }
        ensure!(seconds > 0.0, "the clock stands still");
        Ok(Cost { seconds, peak_mb })
    }
}

/// Waits for a process. Returns how it ended, and the largest memory that it held.
fn watched(child: &mut Child) -> Result<(std::process::ExitStatus, Option<f64>)> {
    let (pid, has_ended) = (child.id(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = None;
            while !has_ended.load(Ordering::Relaxed) {
                // After the process has ended there is no such line.
                peak = bench::peak_rss_mb(pid).or(peak);
                std::thread::sleep(LOOK);
            }
            peak
        });
        let ended = child.wait();
        has_ended.store(true, Ordering::Relaxed);
        let peak = watch.join().ok().flatten();
        Ok((ended?, peak))
    })
}
