//! The events of an attempt, and all measurements of its run so far.
//!
//! A checkpoint holds all measurements. An attempt that continues from it writes them into its own journal. So the
//! journal of the last attempt has all measurements of the run, and its closing line has their number and digest. This
//! module does not know tensors.

use sweep_protocol::{Event, Measurement, Outcome, Sink, SinkError, Tally};

/// A sink that remembers all measurements.
pub(crate) struct Ledger<'a> {
    sink: &'a mut dyn Sink,
    measured: Vec<Measurement>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(sink: &'a mut dyn Sink) -> Self {
        Self { sink, measured: Vec::new() }
    }

    /// Passes on an event that is not a measurement.
    pub(crate) fn say(&mut self, event: Event) -> Result<(), SinkError> {
        self.sink.emit(event)
    }

    /// Takes over the measurements of earlier attempts.
    pub(crate) fn inherit(&mut self, measurements: Vec<Measurement>) -> Result<(), SinkError> {
        if measurements.is_empty() {
            return Ok(());
        }
        self.measured.extend_from_slice(&measurements);
        self.sink.emit(Event::Inherited { measurements })
    }

    /// Records new measurements. Values that are not finite are left out, and a note is written.
    pub(crate) fn measured(&mut self, measurements: Vec<Measurement>) -> Result<(), SinkError> {
        let (measurements, others): (Vec<_>, Vec<_>) = measurements.into_iter().partition(|m| m.value.is_finite());
        self.measured.extend_from_slice(&measurements);
        self.sink.emit(Event::Measured { measurements })?;
        for Measurement { metric, split, value, .. } in others {
            let of = split.map(|split| format!(" of {} images", split.name())).unwrap_or_default();
            self.sink
                .emit(Event::Noticed { text: format!("{}{of} is {value}: it is not recorded", metric.title()) })?;
        }
        Ok(())
    }

    /// Reports the outcome, with number and digest of all measurements.
    pub(crate) fn end(&mut self, outcome: Outcome) -> Result<(), SinkError> {
        self.sink.emit(Event::Ended { outcome, measured: Some(Tally::of(&self.measured)) })
    }

    /// Returns all measurements so far, in order.
    pub(crate) fn so_far(&self) -> &[Measurement] {
        &self.measured
    }

    /// Fails if this attempt may no longer write files.
    pub(crate) fn may_write(&self) -> Result<(), SinkError> {
        self.sink.may_write()
    }
}

#[cfg(test)]
mod tests {
    use sweep_protocol::{MemorySink, Metric, Split};

    use super::*;

    #[test]
    fn the_end_counts_inherited_and_new_measurements_that_are_finite() {
        let value =
            |value| Measurement { metric: Metric::Loss, split: Some(Split::Test), form: None, epoch: Some(1), value };
        let mut sink = MemorySink::default();
        let mut ledger = Ledger::new(&mut sink);
        ledger.inherit(Vec::new()).unwrap();
        ledger.inherit(vec![value(1.0)]).unwrap();
        ledger.measured(vec![value(f64::NAN), value(2.0)]).unwrap();
        ledger.end(Outcome::Succeeded).unwrap();
        let expected = [
            Event::Inherited { measurements: vec![value(1.0)] },
            Event::Measured { measurements: vec![value(2.0)] },
            Event::Noticed { text: "loss of test images is NaN: it is not recorded".to_owned() },
            Event::Ended { outcome: Outcome::Succeeded, measured: Some(Tally::of(&[value(1.0), value(2.0)])) },
        ];
        assert_eq!(sink.events, expected);
    }
}
