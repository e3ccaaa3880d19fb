//! The output of the trainer: it emits events into a sink and does not know who reads them.

use crate::{Event, JournalError, JournalWriter, Lease};

/// An event could not be recorded. The attempt must then end, because nobody would know of its work.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The journal cannot be written.
    #[error("an event could not be recorded")]
    Journal(#[from] JournalError),
    /// Another scheduler has closed the attempt.
    #[error("the attempt was closed by another scheduler; it writes nothing more")]
    Revoked,
}

/// Receives events in the order in which they happen.
///
/// `emit` returns only when the event is safe; for a journal this means on disk. After an error no further events are
/// emitted.
pub trait Sink: Send {
    /// Takes one event.
    ///
    /// # Errors
    /// When the event could not be stored safely.
    fn emit(&mut self, event: Event) -> Result<(), SinkError>;

    /// Checks that the attempt may still write files. Call it before each checkpoint.
    ///
    /// # Errors
    /// When the attempt has lost its right to write.
    fn may_write(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

impl Sink for JournalWriter<Event> {
    fn emit(&mut self, event: Event) -> Result<(), SinkError> {
        Ok(match event {
            // Nothing depends on progress events, and a fast network emits many of them per second.
            Event::Progressed { .. } => self.append_without_sync(event),
            event => self.append(event),
        }?)
    }
}

/// A journal that is written under a lease.
#[derive(Debug)]
pub struct LeasedJournal {
    /// The journal.
    pub journal: JournalWriter<Event>,
    /// The right to write to it.
    pub lease: Lease,
}

impl Sink for LeasedJournal {
    fn emit(&mut self, event: Event) -> Result<(), SinkError> {
        self.may_write()?;
        self.journal.emit(event)
    }

    fn may_write(&self) -> Result<(), SinkError> {
        if self.lease.is_valid() { Ok(()) } else { Err(SinkError::Revoked) }
    }
}

/// Keeps events in memory. For tests, and for training inside another program.
#[derive(Debug, Default)]
pub struct MemorySink {
    /// All events emitted so far.
    pub events: Vec<Event>,
}

impl Sink for MemorySink {
    fn emit(&mut self, event: Event) -> Result<(), SinkError> {
        self.events.push(event);
        Ok(())
    }
}
