//! `train`: carries out one attempt, as a separate process. The attempt's folder contains its orders, and the attempt
//! reports in its journal.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use sweep_protocol::{AttemptLayout, JournalWriter, Lease, LeasedJournal, Orders, RunFile, STOP_LINE, Sink, host_name};
use sweep_trainer::{Attempt, Origin};

use crate::exit::{Exit, UsageError};
use crate::program::{Program, Trainers};

pub(crate) fn run(folder: &Path, program: &Program) -> Result<Exit> {
    let stop = Arc::new(AtomicBool::new(false));
    stop_when_told(Arc::clone(&stop)).context("cannot start the thread that reads `stop`")?;
    carry_out(folder, &stop, program)?;
    Ok(Exit::Done)
}

/// Carries out the attempt of a folder, until its end or until `stop` is set.
pub(super) fn carry_out(folder: &Path, stop: &AtomicBool, program: &Program) -> Result<()> {
    let attempt = AttemptLayout::at(folder);
    let run_file = folder.ancestors().nth(2).map(|run| run.join("run.json"));
    let Some(run_file) = run_file else {
        return Err(UsageError(format!("{} is not the folder of an attempt", folder.display())).into());
    };
    let run = RunFile::parse(&read(&run_file)?).with_context(|| format!("{} is invalid", run_file.display()))?;
    let orders: Orders = serde_json::from_slice(&read(&attempt.orders())?)
        .with_context(|| format!("{} is invalid", attempt.orders().display()))?;
    let journal = JournalWriter::open(&attempt.journal())?;
    let mut sink: Box<dyn Sink> = match &orders.lease {
        Some(token) => Box::new(LeasedJournal { journal, lease: Lease::held(&attempt.lease(), token) }),
        None => Box::new(journal),
    };
    if !Trainers::is_command(&run.config) {
        crate::start_threads();
    }
    let attempt = Attempt { run: &run, folder, orders: &orders, origin: &origin(), stop };
    let project = orders.project.clone().unwrap_or_default();
    program.trainers(&project).of(&run.config).train(&attempt, &mut *sink)?;
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Sets the flag when the line `stop` arrives, or when standard input ends. The input ends when the scheduler dies.
pub(super) fn stop_when_told(stop: Arc<AtomicBool>) -> std::io::Result<()> {
    let listen = move || {
        let mut lines = std::io::stdin().lock().lines();
        while let Some(Ok(line)) = lines.next() {
            if line == STOP_LINE {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    };
    std::thread::Builder::new().name("stop".to_owned()).spawn(listen).map(drop)
}

pub(super) fn origin() -> Origin {
    Origin {
        code: format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("REPMLP_SWEEP_COMMIT")),
        host: host_name(),
        processor: processor(),
    }
}

/// Returns the model of this machine's processor, as Linux names it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let model = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(model.trim_start_matches([' ', '\t', ':']).split_whitespace().collect::<Vec<_>>().join(" "))
}
