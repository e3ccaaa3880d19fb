//! The two journals of an attempt. The attempt writes one, and the runner reads it. The runner writes the other, as the
//! supervisor: the first line when the attempt is launched, the last one when it is closed. Every new line is passed
//! on.

use std::time::Duration;

use sweep_protocol::{
    AttemptLayout, AttemptName, Event, FailureKind, JournalError, JournalPart, JournalReader, JournalWriter, Outcome,
    ResultsLayout, Status, SupervisorEvent, Tally, error_chain, log_tail,
};
use tokio::sync::mpsc;

use crate::closing::{self, Evidence};
use crate::error::unreadable;
use crate::launcher::Ended;
use crate::{RunnerError, Update, UpdateKind, attempt_folder};

/// Number of times that a journal is read again after an error of the disk, and the pause before each.
const RETRIES: u32 = 5;
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// The journals of an attempt that is under way.
pub struct Record {
    layout: ResultsLayout,
    name: AttemptName,
    folder: AttemptLayout,
    /// The reader; after a journal that cannot be read, the reason.
    journal: Result<JournalReader<Event>, String>,
    /// Number of journal lines that were passed on.
    lines: u64,
    /// Tally of the values in these lines.
    measured: Tally,
    outcome: Option<Outcome>,
    supervisor: JournalReader<SupervisorEvent>,
    updates: mpsc::Sender<Update>,
}

impl Record {
    pub(crate) fn new(layout: &ResultsLayout, name: AttemptName, updates: mpsc::Sender<Update>) -> Self {
        let folder = layout.run(name.run).attempt(name.attempt);
        Self {
            layout: layout.clone(),
            name,
            journal: Ok(JournalReader::new(&folder.journal())),
            lines: 0,
            measured: Tally::default(),
            outcome: None,
            supervisor: JournalReader::new(&folder.supervisor()),
            folder,
            updates,
        }
    }

    /// Passes on the lines that the attempt has written since the last call. A journal that cannot be read is not
    /// followed any further: see [`Self::is_followed`].
    ///
    /// # Errors
    /// When the receiver of updates is gone.
    pub async fn follow(&mut self) -> Result<(), RunnerError> {
        let Ok(reader) = &mut self.journal else { return Ok(()) };
        let mut read = reader.read_durable();
        // A network file system may refuse now and then. Only damage is final.
        for _ in 0..RETRIES {
            if !matches!(read, Err(JournalError::Io { .. })) {
                break;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
            read = reader.read_durable();
        }
        // Only lines that are safely on the disk: the index must not hold lines that a power cut can remove from the
        // journal.
        match read {
            Ok(JournalPart { lines, damage }) => {
                self.lines = reader.next_seq();
                lines.iter().for_each(|line| add(&mut self.measured, &line.event));
                if let Some(Event::Ended { outcome, .. }) = lines.last().map(|line| &line.event) {
                    self.outcome = Some(outcome.clone());
                }
                if let Some(damage) = damage.into_iter().next() {
                    self.journal = Err(damage.to_string());
                }
                if lines.is_empty() { Ok(()) } else { self.pass_on(UpdateKind::Events(lines)).await }
            }
            Err(fault) => {
                self.journal = Err(error_chain(&fault));
                Ok(())
            }
        }
    }

    /// Whether the attempt's journal is readable so far. An attempt with an unreadable journal is of no use.
    pub fn is_followed(&self) -> bool {
        self.journal.is_ok()
    }

    /// The outcome that the attempt reported. If its journal cannot be read, a failure that says so.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.journal {
            Ok(_) => self.outcome.clone(),
            Err(fault) => Some(Outcome::Failed { failure: FailureKind::Io, message: fault.clone() }),
        }
    }

    /// Number of journal lines that the attempt has reported so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether the attempt has reported anything.
    pub fn is_begun(&self) -> bool {
        self.lines > 0
    }

    /// The run and number of the attempt.
    pub fn name(&self) -> AttemptName {
        self.name
    }

    /// The folder of the attempt.
    pub fn folder(&self) -> &AttemptLayout {
        &self.folder
    }

    /// The layout of the results folder.
    pub fn layout(&self) -> &ResultsLayout {
        &self.layout
    }

    /// Writes an event into the supervisor's journal and passes it on.
    ///
    /// # Errors
    /// When the journal cannot be written, or the receiver of updates is gone.
    pub async fn say(&mut self, event: SupervisorEvent) -> Result<(), RunnerError> {
        // The file is not kept open: thousands of attempts may wait in the queue of a cluster.
        JournalWriter::open(&self.folder.supervisor())?.append(event)?;
        let lines = self.supervisor.read_new()?.lines;
        self.pass_on(UpdateKind::Supervisor(lines)).await
    }

    /// Closes the attempt, and removes the checkpoints that no later attempt needs. Returns the status of the run.
    pub(crate) async fn close(&mut self, end: &Ended) -> Result<Status, RunnerError> {
        let status = self.write_closing(end).await?;
        attempt_folder::tidy(&self.layout.run(self.name.run), status)?;
        Ok(status)
    }

    async fn write_closing(&mut self, end: &Ended) -> Result<Status, RunnerError> {
        let log = self.folder.log();
        let log_tail = log_tail(&log).map_err(unreadable(&log))?;
        let closing = closing::of_ended(&Evidence { outcome: self.outcome(), end, log_tail });
        let status = closing.status;
        self.say(closing.into_event(self.lines, self.measured.clone())).await?;
        Ok(status)
    }

    /// Goes on with a later attempt of the same run, which the cluster has started: writes its first line, and closes
    /// this attempt. The run's folder is not tidied: the later attempt works there, perhaps on another machine.
    ///
    /// # Errors
    /// When a file cannot be written or removed, or the receiver of updates is gone.
    pub async fn go_on_with(&mut self, next: SupervisorEvent, attempt: u32, end: &Ended) -> Result<(), RunnerError> {
        let mut later = Self::new(&self.layout, AttemptName { attempt, ..self.name }, self.updates.clone());
        later.say(next).await?;
        self.write_closing(end).await?;
        *self = later;
        Ok(())
    }

    async fn pass_on(&self, kind: UpdateKind) -> Result<(), RunnerError> {
        let update = Update { run: self.name.run, attempt: self.name.attempt, kind };
        self.updates.send(update).await.map_err(|_| RunnerError::Unheard)
    }
}

/// Adds the values of one event to a tally.
pub(crate) fn add(measured: &mut Tally, event: &Event) {
    if let Event::Measured { measurements } | Event::Inherited { measurements } = event {
        measurements.iter().for_each(|measurement| measured.add(measurement));
    }
}
