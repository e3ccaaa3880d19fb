//! One attempt of a command, from its start to its outcome.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value};
use sweep_protocol::{
    ATTEMPT_DIR_VARIABLE, AttemptLayout, Event, FailureKind, Measurement, Metric, Outcome, Sink, SinkError, Tally,
    log_tail, sync_folder, write_atomically,
};

use super::child::{CommandProcess, Line, Next};
use super::config::PlannedCommand;
use super::inherited::{Inherited, Key, key};
use super::speech::{Complaint, Listener, Statement};
use super::{CONFIG_FILE, UNREAD, VERSION, canonical_parts, code};
use crate::port::{Attempt, TrainerError};

/// Exit code of a command that refuses its configuration. Trying again would not help.
const EXIT_REFUSED: i32 = 2;

/// Carries out an attempt and reports its outcome.
pub(super) fn carry_out(project: &Path, attempt: &Attempt<'_>, sink: &mut dyn Sink) -> Result<(), TrainerError> {
    let unsaid = |fault: SinkError| TrainerError::new(FailureKind::Io, fault);
    let mut record = Record {
        sink,
        attempt,
        tally: Tally::default(),
        begun: false,
        inherited: Inherited::default(),
        step: 0,
        measured: BTreeSet::new(),
        complained: BTreeSet::new(),
    };
    let outcome = match run(project, attempt, &mut record) {
        Ok(outcome) => outcome,
        Err(Fault::Sink(fault)) => return Err(unsaid(fault)),
        Err(Fault::Failed(failure, message)) => Outcome::Failed { failure, message },
    };
    record.begin(0).map_err(unsaid)?;
    if outcome == Outcome::Succeeded {
        record.inherit(None).map_err(unsaid)?;
        if record.tally.count == 0 {
            record
                .notice("the command reported no value; it reports by lines such as {\"accuracy\": 0.9}")
                .map_err(unsaid)?;
        }
    }
    let failed = match &outcome {
        Outcome::Failed { failure, message } => Some(TrainerError::new(*failure, message.clone())),
        _ => None,
    };
    let measured = Some(record.tally.clone());
    record.sink.emit(Event::Ended { outcome, measured }).map_err(unsaid)?;
    failed.map_or(Ok(()), Err)
}

/// Why an attempt cannot go on.
enum Fault {
    Sink(SinkError),
    Failed(FailureKind, String),
}

impl From<SinkError> for Fault {
    fn from(fault: SinkError) -> Self {
        Self::Sink(fault)
    }
}

fn run(project: &Path, attempt: &Attempt<'_>, record: &mut Record<'_>) -> Result<Outcome, Fault> {
    let (command, free) = canonical_parts(&attempt.run.config).map_err(|f| Fault::Failed(f.kind, f.to_string()))?;
    refuse_changed_code(project, &command)?;
    record.inherited = Inherited::from(&attempt.orders.resume_from);
    let files = Files::of(attempt.folder);
    let config = Value::Object(free.clone()).to_string();
    write_atomically(&files.config, config.as_bytes()).map_err(|fault| unwritable(&files.config, &fault))?;
    let mut process = CommandProcess::start(&command.command, project, &environment(attempt, &files)?, files.said)
        .map_err(|fault| {
            let program = &command.command[0];
            // The program may be installed before the next call.
            Fault::Failed(FailureKind::Io, format!("the command `{program}` cannot be started: {fault}"))
        })?;
    let declared =
        attempt.orders.metrics.iter().filter_map(|record| Some((record.name.clone(), record.metric().ok()?)));
    let listener = Listener { declared: declared.collect() };
    let epochs = expected_epochs(&free);
    let (mut is_asked, mut failed) = (false, None);
    let broken = |fault: io::Error| Fault::Failed(FailureKind::Io, format!("the command was lost: {fault}"));
    loop {
        let line = match process.next().map_err(broken)? {
            Next::Line(line) => Some(line),
            Next::Nothing => None,
            Next::Ended(status) => {
                if process.has_lost_lines() {
                    record.begin(epochs)?;
                    record.notice("the file of SWEEP_JOURNAL became shorter, so lines may be lost; append to it")?;
                }
                // Also with exit code 0: a command that saves and ends on SIGTERM has not finished its run.
                return Ok(if is_asked { Outcome::Stopped } else { outcome(status, failed, attempt) });
            }
        };
        let said = match &line {
            Some(Line::Output(line) | Line::Journal(line)) => listener.hear(line),
            Some(Line::Error(_)) | None => None,
        };
        if let (Some(Line::Output(line) | Line::Error(line)), None) = (&line, &said) {
            // The log is this process's standard output. If it cannot be written, the training goes on.
            drop(writeln!(io::stdout(), "{line}"));
        }
        if let Some(said) = said {
            record.begin(said.epochs.unwrap_or(epochs))?;
            failed = said.failed.clone().or(failed);
            record.hear(said)?;
        }
        if attempt.stop.load(Ordering::Relaxed) && !is_asked {
            process.ask_to_stop();
            is_asked = true;
        }
    }
}

fn outcome(status: ExitStatus, failed: Option<(FailureKind, String)>, attempt: &Attempt<'_>) -> Outcome {
    if let Some((failure, message)) = failed {
        return Outcome::Failed { failure, message };
    }
    if status.success() {
        return Outcome::Succeeded;
    }
    let tail = log_tail(&AttemptLayout::at(attempt.folder).log()).unwrap_or_default();
    let failure = match status.code() {
        Some(EXIT_REFUSED) => FailureKind::Config,
        _ if is_out_of_memory(&tail) => FailureKind::Oom,
        _ => FailureKind::Crash,
    };
    let how = match (status.code(), status.signal()) {
        (Some(EXIT_REFUSED), _) => format!("exit code {EXIT_REFUSED}, which means that it refuses its configuration"),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    };
    let mut message = format!("the command ended with {how}");
    if !tail.is_empty() {
        message += "; its log ends with:\n";
        message += &tail;
    }
    Outcome::Failed { failure, message }
}

/// Whether the last line of a log names the memory. An earlier line may be about a fault that the command survived.
fn is_out_of_memory(log: &str) -> bool {
    let last = log.trim_end().lines().next_back().unwrap_or_default().to_ascii_lowercase();
    ["out of memory", "memoryerror", "out_of_memory"].iter().any(|sign| last.contains(sign))
}

fn refuse_changed_code(project: &Path, command: &PlannedCommand) -> Result<(), Fault> {
    let now = code::digests_of(project, command.digests.keys());
    let changed = code::changed(&command.digests, &now);
    if changed.is_empty() {
        return Ok(());
    }
    let message = format!("{} changed after the plan was made; run the experiment again", changed.join(", "));
    Err(Fault::Failed(FailureKind::Data, message))
}

/// Files of the attempt that the command knows.
struct Files {
    config: std::path::PathBuf,
    said: std::path::PathBuf,
}

impl Files {
    fn of(folder: &Path) -> Self {
        Self { config: folder.join(CONFIG_FILE), said: folder.join("said.jsonl") }
    }
}

fn unwritable(path: &Path, fault: &io::Error) -> Fault {
    Fault::Failed(FailureKind::Io, format!("{} cannot be written: {fault}", path.display()))
}

fn environment(attempt: &Attempt<'_>, files: &Files) -> Result<Vec<(&'static str, String)>, Fault> {
    let text = |path: &Path| {
        let not_text = || format!("{}: the path is not UTF-8 text; rename the folder", path.display());
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        absolute.to_str().map(str::to_owned).ok_or_else(|| Fault::Failed(FailureKind::Config, not_text()))
    };
    let orders = attempt.orders;
    let earlier: Vec<String> = orders.resume_from.iter().map(|folder| text(folder)).collect::<Result<_, _>>()?;
    if let Some(folder) = earlier.iter().find(|folder| folder.contains(':')) {
        let message = format!("{folder}: a path with a colon cannot be passed in SWEEP_RESUME_DIRS; rename the folder");
        return Err(Fault::Failed(FailureKind::Config, message));
    }
    Ok(vec![
        ("SWEEP_CONFIG", text(&files.config)?),
        ("SWEEP_SEED", attempt.run.seed.to_string()),
        ("SWEEP_RUN_ID", attempt.run.id().to_string()),
        ("SWEEP_DEVICE", orders.device.clone()),
        ("SWEEP_THREADS", orders.threads.to_string()),
        ("SWEEP_DATA", orders.data.as_deref().map(text).transpose()?.unwrap_or_default()),
        (ATTEMPT_DIR_VARIABLE, text(attempt.folder)?),
        ("SWEEP_RESUME_DIRS", earlier.join(":")),
        ("SWEEP_JOURNAL", text(&files.said)?),
    ])
}

/// Returns the number of epochs that a configuration names, if it has the key `epochs` or `training.epochs`. It is only
/// shown as progress.
fn expected_epochs(free: &Map<String, Value>) -> u32 {
    let key = free.get("epochs").or_else(|| free.get("training")?.get("epochs"));
    key.and_then(Value::as_u64).and_then(|epochs| u32::try_from(epochs).ok()).unwrap_or(0)
}

/// Turns what a command says into events.
struct Record<'a> {
    sink: &'a mut dyn Sink,
    attempt: &'a Attempt<'a>,
    tally: Tally,
    begun: bool,
    inherited: Inherited,
    /// Number of steps, or of epochs if the command names no steps.
    step: u64,
    /// What this attempt measured itself.
    measured: BTreeSet<Key>,
    /// What was complained about already.
    complained: BTreeSet<String>,
}

impl Record<'_> {
    /// Reports that the attempt has begun, once.
    fn begin(&mut self, epochs: u32) -> Result<(), SinkError> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let environment = self.attempt.environment(VERSION, UNREAD);
        self.step = self.inherited.step;
        self.sink.emit(Event::Started { environment, epochs, steps_per_epoch: 1, resumed_at_step: self.step })
    }

    /// Takes over the values up to the first reported epoch; all values if the command reports no epoch. What this
    /// attempt measured itself replaces them.
    fn inherit(&mut self, first: Option<u32>) -> Result<(), SinkError> {
        let mut measurements = self.inherited.up_to(first);
        measurements.retain(|measurement| !self.measured.contains(&key(measurement)));
        if measurements.is_empty() {
            return Ok(());
        }
        self.count(&measurements);
        self.sink.emit(Event::Inherited { measurements })
    }

    fn hear(&mut self, said: Statement) -> Result<(), SinkError> {
        let Statement { epoch, step, measurements, predictions, checkpoint, notice, complaints, .. } = said;
        self.step = step.or(epoch.map(u64::from)).unwrap_or(self.step);
        if !measurements.is_empty() {
            if epoch.is_some() {
                self.inherit(epoch)?;
            }
            self.count(&measurements);
            self.measured.extend(measurements.iter().map(key));
            self.sink.emit(Event::Measured { measurements: measurements.clone() })?;
        }
        let loss = measurements.iter().find(|m| m.metric == Metric::Loss).map(|m| m.value);
        if let Some(loss) = loss {
            self.sink.emit(Event::Progressed { epoch: epoch.unwrap_or(0), step: self.step, loss })?;
        }
        if let Some(predictions) = predictions {
            self.sink.emit(Event::Predicted { predictions })?;
        }
        for Complaint { about, text } in complaints {
            if self.complained.insert(about) {
                self.notice(&text)?;
            }
        }
        if let Some(text) = notice {
            self.notice(&text)?;
        }
        if let Some(file) = checkpoint {
            let event = match keep(self.attempt.folder, &file) {
                Ok(()) => Event::Checkpointed { step: self.step, file },
                Err(fault) => Event::Noticed { text: format!("the checkpoint `{file}` does not count: {fault}") },
            };
            self.sink.emit(event)?;
        }
        Ok(())
    }

    fn notice(&mut self, text: &str) -> Result<(), SinkError> {
        self.sink.emit(Event::Noticed { text: text.to_owned() })
    }

    fn count(&mut self, measurements: &[Measurement]) {
        measurements.iter().for_each(|measurement| self.tally.add(measurement));
    }
}

/// Makes sure that a checkpoint survives a power cut before anything depends on it.
fn keep(folder: &Path, file: &str) -> io::Result<()> {
    let path = folder.join(file);
    // Opening a pipe would wait for its other end, and a link may lead out of the folder.
    if !std::fs::symlink_metadata(&path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(&path)?.sync_all()?;
    sync_folder(path.parent().unwrap_or(folder))
}
