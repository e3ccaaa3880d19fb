//! The two journals of an attempt. The attempt writes one, and the runner reads it. The runner writes the other, as the
//! supervisor. Every new line is passed on.

use sweep_protocol::{
    AttemptLayout, AttemptName, Event, FailureKind, JournalPart, JournalReader, JournalWriter, Outcome, RunId,
    SupervisorEvent, Tally, error_chain,
};
use tokio::sync::mpsc;

use crate::{RunnerError, Update, UpdateKind};

/// The journals of an attempt that is under way.
pub(crate) struct Record {
    run: RunId,
    attempt: u32,
    /// The reader; after a journal that cannot be read, the reason.
    journal: Result<JournalReader<Event>, String>,
    /// Number of journal lines that were passed on.
    lines: u64,
    /// Tally of the values in these lines.
    measured: Tally,
    outcome: Option<Outcome>,
    supervisor: JournalWriter<SupervisorEvent>,
    supervisor_reader: JournalReader<SupervisorEvent>,
    updates: mpsc::Sender<Update>,
}

impl Record {
    pub(crate) fn open(
        run: RunId,
        attempt: u32,
        folder: &AttemptLayout,
        updates: mpsc::Sender<Update>,
    ) -> Result<Self, RunnerError> {
        Ok(Self {
            run,
            attempt,
            journal: Ok(JournalReader::new(&folder.journal())),
            lines: 0,
            measured: Tally::default(),
            outcome: None,
            supervisor: JournalWriter::open(&folder.supervisor())?,
            supervisor_reader: JournalReader::new(&folder.supervisor()),
            updates,
        })
    }

    /// Passes on the lines that the attempt has written since the last call. A journal that cannot be read is not
    /// followed any further: see [`Self::is_followed`].
    pub(crate) async fn follow(&mut self) -> Result<(), RunnerError> {
        let Ok(reader) = &mut self.journal else { return Ok(()) };
        // Only lines that are safely on the disk: the index must not hold lines that a power cut can remove from the
        // journal.
        match reader.read_durable() {
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
    pub(crate) fn is_followed(&self) -> bool {
        self.journal.is_ok()
    }

    /// The outcome that the attempt reported. If its journal cannot be read, a failure that says so.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match &self.journal {
            Ok(_) => self.outcome.clone(),
            Err(fault) => Some(Outcome::Failed { failure: FailureKind::Io, message: fault.clone() }),
        }
    }

    /// The run and number of the attempt.
    pub(crate) fn name(&self) -> AttemptName {
        AttemptName { run: self.run, attempt: self.attempt }
    }

    /// Number of journal lines that were passed on, and the tally of their values.
    pub(crate) fn passed_on(&self) -> (u64, Tally) {
        (self.lines, self.measured.clone())
    }

    /// Writes an event into the supervisor's journal and passes it on.
    pub(crate) async fn say(&mut self, event: SupervisorEvent) -> Result<(), RunnerError> {
        self.supervisor.append(event)?;
        let lines = self.supervisor_reader.read_new()?.lines;
        self.pass_on(UpdateKind::Supervisor(lines)).await
    }

    async fn pass_on(&self, kind: UpdateKind) -> Result<(), RunnerError> {
        let update = Update { run: self.run, attempt: self.attempt, kind };
        self.updates.send(update).await.map_err(|_| RunnerError::Unheard)
    }
}

/// Adds the values of one event to a tally.
pub(crate) fn add(measured: &mut Tally, event: &Event) {
    if let Event::Measured { measurements } | Event::Inherited { measurements } = event {
        measurements.iter().for_each(|measurement| measured.add(measurement));
    }
}
