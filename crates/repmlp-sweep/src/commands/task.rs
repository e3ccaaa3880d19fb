//! `task`: carries out one attempt as a task of Slurm. The manifest names the attempt's folder, and the attempt reports
//! in its journal.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::stdio::{dup2_stderr, dup2_stdout};
use sweep_protocol::{AttemptLayout, Event, JournalReader, Outcome};
use sweep_slurm::{Manifest, Start, start};
use tokio::signal::unix::{SignalKind, signal};

use super::{say, train};
use crate::exit::{Exit, UsageError};
use crate::program::Program;

/// Longest time that Slurm needs to end a task that queues again.
const PATIENCE: Duration = Duration::from_secs(300);

/// What Slurm asks of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Write a checkpoint and queue again: the time limit is near (`USR1`).
    Pause,
    /// Write a checkpoint and end: the job was cancelled, or Slurm itself puts it back into the queue (`TERM`).
    End,
}

pub(crate) fn run(manifest: &Path, index: usize, requeues: u32, program: &Program) -> Result<Exit> {
    let stop = Arc::new(AtomicBool::new(false));
    let words = listen(Arc::clone(&stop)).context("cannot listen to signals")?;
    let attempts = Manifest::read(manifest)?.attempts;
    let prepared = attempts.get(index).ok_or_else(|| {
        UsageError(format!(
            "{}: it names {} attempts, so there is no index {index}",
            manifest.display(),
            attempts.len()
        ))
    })?;
    let Start::Here(folder) = start(prepared)? else {
        say(&format!("{}: this attempt was given up by its scheduler; nothing is done", prepared.display()));
        return Ok(Exit::Done);
    };
    let attempt = AttemptLayout::at(&folder);
    let log = File::options().create(true).append(true).open(attempt.log());
    let log = log.with_context(|| format!("{} cannot be written", attempt.log().display()))?;
    dup2_stdout(&log).and_then(|()| dup2_stderr(&log)).context("cannot write to the log")?;
    train::carry_out(&folder, &stop, program)?;
    let said: Vec<Word> = words.try_iter().collect();
    match said.first() {
        // A task that was cancelled does not queue again, whatever came before.
        Some(_) if said.contains(&Word::End) => Ok(Exit::Interrupted),
        Some(_) if is_unfinished(&attempt)? => queue_again(&words, requeues),
        _ => Ok(Exit::Done),
    }
}

/// Sets the flag when a signal of Slurm arrives, and passes on what it means.
fn listen(stop: Arc<AtomicBool>) -> Result<Receiver<Word>> {
    let (words, heard) = channel();
    let (ready, is_ready) = channel::<std::io::Result<()>>();
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let ended = runtime.and_then(|runtime| runtime.block_on(pass_on(&stop, &words, &ready)));
        drop(ended.map_err(|fault| ready.send(Err(fault))));
    })?;
    is_ready.recv()??;
    Ok(heard)
}

async fn pass_on(stop: &AtomicBool, words: &Sender<Word>, ready: &Sender<std::io::Result<()>>) -> std::io::Result<()> {
    let mut pause = signal(SignalKind::user_defined1())?;
    let mut end = signal(SignalKind::terminate())?;
    drop(ready.send(Ok(())));
    loop {
        let word = tokio::select! {
            Some(()) = pause.recv() => Word::Pause,
            Some(()) = end.recv() => Word::End,
            else => return Ok(()),
        };
        if words.send(word).is_err() {
            return Ok(());
        }
        stop.store(true, Ordering::Relaxed);
    }
}

/// Whether the attempt stopped before the end of its run, and has done something. Otherwise it would queue for ever.
fn is_unfinished(attempt: &AttemptLayout) -> Result<bool> {
    let lines = JournalReader::<Event>::new(&attempt.journal()).read_new()?.lines;
    let (mut from, mut to, mut is_stopped) = (0, 0, false);
    for line in lines {
        match line.event {
            Event::Started { resumed_at_step, .. } => from = resumed_at_step,
            Event::Checkpointed { step, .. } => to = step,
            Event::Ended { outcome, .. } => is_stopped = outcome == Outcome::Stopped,
            _ => {}
        }
    }
    Ok(is_stopped && to > from)
}

/// Asks Slurm to put this task back into its queue, and waits for the end. A task that ended by itself would count as
/// done.
fn queue_again(words: &Receiver<Word>, requeues: u32) -> Result<Exit> {
    let variable = |name| std::env::var(name).ok();
    let restarts = variable("SLURM_RESTART_COUNT").and_then(|text| text.parse().ok()).unwrap_or(0);
    if restarts >= requeues {
        say(&format!("this task has queued again {restarts} times, which is the limit (launcher.slurm.requeues)"));
        return Ok(Exit::Done);
    }
    let job = variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID"));
    let Some((job, task)) = job else {
        say("this is not a task of Slurm, so it cannot queue again");
        return Ok(Exit::Done);
    };
    let name = format!("{job}_{task}");
    let asked = std::process::Command::new("scontrol").args(["requeue", &name]).status();
    match asked {
        Ok(status) if status.success() => {
            while words.recv_timeout(PATIENCE).is_ok_and(|word| word != Word::End) {}
            Ok(Exit::Interrupted)
        }
        Ok(status) => {
            say(&format!("`scontrol requeue {name}` failed, {status}; the scheduler submits the run again"));
            Ok(Exit::Done)
        }
        Err(fault) => {
            say(&format!("`scontrol` cannot be started: {fault}; the scheduler submits the run again"));
            Ok(Exit::Done)
        }
    }
}
