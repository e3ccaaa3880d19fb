//! The trainer's border: it pushes events into a sink and knows nothing of who listens.

use crate::{Event, JournalError, JournalWriter};

/// An event could not be handed over; the attempt must end, since nobody would know of its work.
#[derive(Debug, thiserror::Error)]
#[error("an event could not be handed over")]
pub struct SinkError(#[from] JournalError);

/// Takes events in the order in which they happen.
///
/// `emit` returns only when the event is safe (on disk, for a journal). After an error no further event is emitted.
pub trait Sink: Send {
    /// Takes one event.
    fn emit(&mut self, event: Event) -> Result<(), SinkError>;
}

impl Sink for JournalWriter<Event> {
    fn emit(&mut self, event: Event) -> Result<(), SinkError> {
        Ok(self.append(event)?)
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
