//! `train`: carries out one attempt, as a separate process. The attempt's folder contains its orders, and the attempt
//! reports in its journal.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use repmlp_train::config::RunConfig;
use repmlp_train::{DeviceChoice, Orders, StopFlag, ThroughputTiming, train};
use serde::Deserialize;
use sweep_protocol::{AttemptLayout, JournalWriter, Lease, LeasedJournal, Sink};

use crate::exit::{Exit, UsageError};

/// The orders that the runner and `run` write for an attempt.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OrdersFile {
    device: String,
    threads: usize,
    resume_from: Vec<PathBuf>,
    throughput: Timing,
    /// Token of the lease, the attempt's right to write. Absent if a user starts the attempt by hand.
    lease: Option<String>,
    data: Option<PathBuf>,
    /// Instruction set of the whole sweep. Absent on other devices than a CPU.
    #[serde(default)]
    kernels: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Timing {
    Now,
    Later,
}

/// The content of a run file: what the run's identity is made from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunFile {
    config: RunConfig,
    seed: u64,
}

pub(crate) fn run(folder: &Path) -> Result<Exit> {
    let attempt = AttemptLayout::at(folder);
    let run_file = folder.ancestors().nth(2).map(|run| run.join("run.json"));
    let Some(run_file) = run_file else {
        return Err(UsageError(format!("{} is not the folder of an attempt", folder.display())).into());
    };
    let RunFile { config, seed } = read(&run_file)?;
    let orders: OrdersFile = read(&attempt.orders())?;
    if let Some(kernels) = &orders.kernels {
        repmlp_train::choose_instruction_set(kernels)?;
    }
    let lease = orders.lease;
    let orders = Orders {
        device: orders.device.parse::<DeviceChoice>()?,
        threads: orders.threads,
        data: orders.data,
        folder: folder.to_owned(),
        resume_from: orders.resume_from,
        throughput: match orders.throughput {
            Timing::Now => ThroughputTiming::Now,
            Timing::Later => ThroughputTiming::Later,
        },
        code: format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("REPMLP_SWEEP_COMMIT")),
        host: host_name(),
        processor: processor(),
    };
    let journal = JournalWriter::open(&attempt.journal())?;
    let mut sink: Box<dyn Sink> = match lease {
        Some(token) => Box::new(LeasedJournal { journal, lease: Lease::held(&attempt.lease(), &token) }),
        None => Box::new(journal),
    };
    let stop = Arc::new(StopFlag::new(false));
    stop_when_told(Arc::clone(&stop)).context("cannot start the thread that reads `stop`")?;
    train(&config, seed, &orders, &stop, &mut *sink)?;
    Ok(Exit::Done)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is invalid", path.display()))
}

/// Sets the flag when the line `stop` arrives, or when standard input ends. The input ends when the scheduler dies.
fn stop_when_told(stop: Arc<StopFlag>) -> std::io::Result<()> {
    let listen = move || {
        let mut lines = std::io::stdin().lock().lines();
        while let Some(Ok(line)) = lines.next() {
            if line == "stop" {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    };
    std::thread::Builder::new().name("stop".to_owned()).spawn(listen).map(drop)
}

/// Returns the model of this machine's processor, as Linux names it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let model = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(model.trim_start_matches([' ', '\t', ':']).split_whitespace().collect::<Vec<_>>().join(" "))
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    name.or_else(|| std::env::var("HOSTNAME").ok()).map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}
