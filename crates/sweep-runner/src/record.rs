//! The two journals of an attempt: one is followed, one is kept, and all that is new is passed on.

use sweep_protocol::{
    AttemptLayout, AttemptName, Event, FailureKind, JournalPart, JournalReader, JournalWriter, Outcome, RunId,
    SupervisorEvent, Tally, error_chain,
};
use tokio::sync::mpsc;

use crate::{RunnerError, Update, UpdateKind};

/// What is on record of an attempt while it is under way.
pub(crate) struct Record {
    run: RunId,
    attempt: u32,
    /// What cannot be followed says why.
    journal: Result<JournalReader<Event>, String>,
    /// Lines of the journal that were passed on.
    lines: u64,
    /// What they measured.
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

    /// Passes on what the attempt has said since the last call. A journal that cannot be understood is given up: see
    /// [`Self::is_followed`].
    pub(crate) async fn follow(&mut self) -> Result<(), RunnerError> {
        let Ok(reader) = &mut self.journal else { return Ok(()) };
        // Durable first: the index must not know what a power cut takes from the journal.
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

    /// Whether the attempt's journal could be understood so far; there is no use in an attempt that nobody understands.
    pub(crate) fn is_followed(&self) -> bool {
        self.journal.is_ok()
    }

    /// The attempt's last word; for one that could not be understood, that.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match &self.journal {
            Ok(_) => self.outcome.clone(),
            Err(fault) => Some(Outcome::Failed { failure: FailureKind::Io, message: fault.clone() }),
        }
    }

    /// Whose record it is.
    pub(crate) fn name(&self) -> AttemptName {
        AttemptName { run: self.run, attempt: self.attempt }
    }

    /// How many lines of the attempt's journal were passed on, and what they measured.
    pub(crate) fn passed_on(&self) -> (u64, Tally) {
        (self.lines, self.measured.clone())
    }

    /// Puts down what the supervisor says, and passes it on.
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

/// Adds what a line measured.
pub(crate) fn add(measured: &mut Tally, event: &Event) {
    if let Event::Measured { measurements } | Event::Inherited { measurements } = event {
        measurements.iter().for_each(|measurement| measured.add(measurement));
    }
}
