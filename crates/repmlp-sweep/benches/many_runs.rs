//! Measures the time of commands on a results folder with very many finished runs.
//!
//! Makes such a folder with plans, configurations and journals, as a sweep writes them. It has 10,000 runs unless
//! `RUNS` is set, each of as many epochs as `EPOCHS` says. It is in a temporary folder unless `FOLDER` is set. Prints
//! the time and the peak memory of each command.
//!
//! Run it with `cargo bench --package repmlp-sweep --bench many_runs`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints and may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sweep_protocol::{
    Environment, Event, Form, JournalReader, JournalWriter, Measurement, Metric, Outcome, ResultsLayout, RunId,
    RunLayout, Split, Status, SupervisorEvent, Tally,
};

/// Number of seeds of the experiment, which is the number of runs in each row.
const SEEDS: usize = 100;

fn main() {
    // `cargo test` also builds benches and asks them for their tests.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let runs: usize = std::env::var("RUNS").map_or(10_000, |text| text.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("FOLDER").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let project = Project { folder };
    let clock = Instant::now();
    let values = project.make(runs);
    println!("{runs} runs with {values} values made in {:.1} s", clock.elapsed().as_secs_f64());
    project.time("rebuild");
    for _ in 0..2 {
        for words in [
            "status",
            "status many",
            "plan experiments/many.toml",
            "experiments/many.toml",
            "report experiments/many.toml",
            "export experiments/many.toml --out all.csv",
            "export experiments/many.toml --format parquet --out all.parquet",
        ] {
            project.time(words);
        }
    }
}

struct Project {
    folder: PathBuf,
}

impl Project {
    /// Writes the experiment, the plan and the run folders. Returns the number of measured values.
    fn make(&self, runs: usize) -> usize {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/experiments/base");
        fs::create_dir_all(self.folder.join("experiments/base")).unwrap();
        let base = fs::read_to_string(fixtures.join("tiny.toml")).unwrap();
        let epochs = std::env::var("EPOCHS").ok().map(|epochs| format!("epochs = {epochs}"));
        let lines = base.lines().map(|line| epochs.as_deref().filter(|_| line.starts_with("epochs")).unwrap_or(line));
        let base = lines.collect::<Vec<_>>().join("\n");
        fs::write(self.folder.join("experiments/base/tiny.toml"), base).unwrap();
        let rates: Vec<String> = (1..=runs.div_ceil(SEEDS)).map(|i| format!("{}", i as f64 * 1e-4)).collect();
        let experiment = format!(
            "question = \"what do many runs cost?\"\nbase = \"base/tiny.toml\"\nseeds = {}\n[[axis]]\nname = \"rate\"\n\
             path = \"training.optimizer.learning_rate\"\nvalues = [{}]\n",
            SEEDS.min(runs),
            rates.join(", ")
        );
        fs::write(self.folder.join("experiments/many.toml"), experiment).unwrap();
        let plan = self.command("plan experiments/many.toml --json").output().unwrap();
        assert!(plan.status.success(), "{}", String::from_utf8_lossy(&plan.stderr));
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        // One real run writes the plan. Its environment is used for all other runs.
        let layout = ResultsLayout::new(self.folder.join("results"));
        let first = self.command("experiments/many.toml --limit 1 --slots 1").output().unwrap();
        assert_eq!(first.status.code(), Some(5), "{}", String::from_utf8_lossy(&first.stderr));
        let runs = plan["runs"].as_array().unwrap();
        let environment = environment(&layout.run(runs[0]["run"].as_str().unwrap().parse().unwrap()));
        runs[1..].iter().map(|run| write_run(&layout, run, &environment)).sum()
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_repmlp-sweep"));
        command.args(words.split_whitespace()).current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn time(&self, words: &str) {
        let clock = Instant::now();
        let mut child = self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut most = 0;
        let status = loop {
            most = peak_kib(child.id()).unwrap_or(0).max(most);
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let seconds = clock.elapsed().as_secs_f64();
        println!("{seconds:7.2} s  {:5} MB  {words}  ({status})", most / 1024);
    }
}

fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

/// Writes the folder of a run that succeeded at its first attempt. Returns the number of its values.
fn write_run(layout: &ResultsLayout, planned: &Value, environment: &Environment) -> usize {
    let (config, seed) = (planned["config"].to_string(), planned["seed"].as_u64().unwrap());
    let run = RunId::of(&config, seed);
    assert_eq!(planned["run"], run.to_string(), "the canonical form");
    let folder = layout.run(run);
    let attempt = folder.attempt(1);
    fs::create_dir_all(attempt.root()).unwrap();
    fs::write(folder.config(), format!("{{\"config\":{config},\"seed\":{seed}}}")).unwrap();
    let mut journal = JournalWriter::open(&attempt.journal()).unwrap();
    let epochs = planned["config"]["training"]["epochs"].as_u64().unwrap() as u32;
    let environment = environment.clone();
    let started = Event::Started { environment, epochs, steps_per_epoch: 8, resumed_at_step: 0 };
    journal.append_without_sync(started).unwrap();
    let mut all = Vec::new();
    let mut say = |measurements: Vec<Measurement>| {
        all.extend_from_slice(&measurements);
        journal.append_without_sync(Event::Measured { measurements }).unwrap();
    };
    (1..=epochs).for_each(|epoch| say(of_epoch(epoch, seed)));
    say(at_the_end(epochs, seed));
    let measured = Some(Tally::of(&all));
    let ended = Event::Ended { outcome: Outcome::Succeeded, measured: measured.clone() };
    journal.append_without_sync(ended).unwrap();
    let journal_lines = Some(u64::from(epochs) + 3);
    let mut supervisor = JournalWriter::open(&attempt.supervisor()).unwrap();
    supervisor.append_without_sync(SupervisorEvent::Launched { pid: 1, slot: 0, process: None, of: None }).unwrap();
    let closed = SupervisorEvent::Closed { status: Status::Succeeded, message: None, journal_lines, measured };
    supervisor.append_without_sync(closed).unwrap();
    all.len()
}

/// Returns the environment of a run's first attempt.
fn environment(run: &RunLayout) -> Environment {
    let lines = JournalReader::<Event>::new(&run.attempt(1).journal()).read_new().unwrap().lines;
    let started = lines.into_iter().find_map(|line| match line.event {
        Event::Started { environment, .. } => Some(environment),
        _ => None,
    });
    started.unwrap()
}

fn of_epoch(epoch: u32, seed: u64) -> Vec<Measurement> {
    let noise = (seed as f64 * 0.37).sin() * 0.01;
    let value =
        |metric, split, value| Measurement { metric, split, form: Some(Form::Training), epoch: Some(epoch), value };
    let x = f64::from(epoch);
    vec![
        value(Metric::Loss, Some(Split::Train), 2.0 / x + noise),
        value(Metric::Accuracy, Some(Split::Train), 0.5 + noise),
        value(Metric::TrainTime, None, 0.25),
        value(Metric::DataWait, None, 0.01),
        value(Metric::LearningRate, None, 0.01 / x),
        value(Metric::Loss, Some(Split::Test), 2.5 / x + noise),
        value(Metric::Accuracy, Some(Split::Test), 0.45 + noise),
    ]
}

fn at_the_end(epoch: u32, seed: u64) -> Vec<Measurement> {
    let noise = (seed as f64 * 0.73).cos() * 0.01;
    let forms = [Form::Training, Form::Deployed].into_iter().flat_map(|form| {
        [
            (Metric::Params, 1e4),
            (Metric::Flops, 1e5),
            (Metric::FlopsAll, 1e5),
            (Metric::Throughput, 1e3 + noise),
            (Metric::ThroughputSpread, 1.0),
        ]
        .map(|(metric, value)| Measurement { metric, split: None, form: Some(form), epoch: None, value })
    });
    let of_test = [
        (Metric::MaxAbsDiff, None, 1e-6),
        (Metric::Top1Agreement, None, 1.0),
        (Metric::Loss, Some(Form::Deployed), 2.0 + noise),
        (Metric::Accuracy, Some(Form::Deployed), 0.45 + noise),
    ]
    .map(|(metric, form, value)| Measurement { metric, split: Some(Split::Test), form, epoch: Some(epoch), value });
    forms.chain(of_test).collect()
}
