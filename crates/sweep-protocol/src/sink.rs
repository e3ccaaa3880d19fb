//! The trainer's border: it pushes events into a sink and knows nothing of who listens.

use crate::{Event, JournalError, JournalWriter, Lease};

/// An event could not be handed over; the attempt must end, since nobody would know of its work.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The journal cannot be written.
    #[error("an event could not be handed over")]
    Journal(#[from] JournalError),
    /// Another scheduler has closed the attempt.
    #[error("the attempt was closed by another scheduler; it writes nothing more")]
    Revoked,
}

/// Takes events in the order in which they happen.
///
/// `emit` returns only when the event is safe (on disk, for a journal). After an error no further event is emitted.
pub trait Sink: Send {
    /// Takes one event.
    ///
    /// # Errors
    /// When the event is not safe.
    fn emit(&mut self, event: Event) -> Result<(), SinkError>;

    /// Whether the attempt may still write files; asked before each checkpoint.
    ///
    /// # Errors
    /// When it may not.
    fn may_write(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

impl Sink for JournalWriter<Event> {
    fn emit(&mut self, event: Event) -> Result<(), SinkError> {
        Ok(match event {
            // Nothing depends on progress, and a quick network makes it many times a second.
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
    /// The right to write it.
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

/// Keeps events in memory: for tests, and for training inside a program.
#[derive(Debug, Default)]
pub struct MemorySink {
    /// Everything emitted so far.
    pub events: Vec<Event>,
}

impl Sink for MemorySink {
    fn emit(&mut self, event: Event) -> Result<(), SinkError> {
        self.events.push(event);
        Ok(())
    }
}
