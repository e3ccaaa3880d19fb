//! Values that earlier attempts of a command measured.
//!
//! A command that continues from a checkpoint does not measure them again. The first epoch that it reports tells where
//! it continues: values up to this epoch are taken over, later ones are measured again. What it measures again replaces
//! what was taken over, so a command may also start over. No line about a checkpoint is needed for this: a kill between
//! writing a checkpoint and reporting it loses nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sweep_protocol::{AttemptLayout, Event, Form, JournalReader, Measurement, Metric, Split};

/// What a value is of.
pub(super) type Key = (Metric, Option<Split>, Option<Form>, Option<u32>);

pub(super) fn key(measurement: &Measurement) -> Key {
    (measurement.metric, measurement.split, measurement.form, measurement.epoch)
}

/// What earlier attempts left.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Inherited {
    values: BTreeMap<Key, Measurement>,
    /// Number of steps of the newest checkpoint whose file is there; 0 without one.
    pub(super) step: u64,
}

impl Inherited {
    /// Reads the journals of earlier attempts, newest first in `folders`. A journal that cannot be read is skipped.
    pub(super) fn from(folders: &[PathBuf]) -> Self {
        let mut inherited = Self::default();
        folders.iter().rev().for_each(|folder| inherited.add(folder));
        inherited
    }

    fn add(&mut self, folder: &Path) {
        let Ok(part) = JournalReader::<Event>::new(&AttemptLayout::at(folder).journal()).read_new() else { return };
        for line in part.lines {
            match line.event {
                Event::Measured { measurements } | Event::Inherited { measurements } => {
                    self.values.extend(measurements.into_iter().map(|m| (key(&m), m)));
                }
                Event::Checkpointed { step, file } if folder.join(&file).is_file() => self.step = step,
                _ => {}
            }
        }
    }

    /// Takes the values up to an epoch, and those that belong to no epoch. Without an epoch, takes all. Values of the
    /// epoch itself are taken too: a command that continues after its last epoch may still report other values of it.
    pub(super) fn up_to(&mut self, epoch: Option<u32>) -> Vec<Measurement> {
        let is_taken = |m: &Measurement| m.epoch.is_none_or(|own| epoch.is_none_or(|first| own <= first));
        std::mem::take(&mut self.values).into_values().filter(is_taken).collect()
    }
}

#[cfg(test)]
mod tests {
    use sweep_protocol::{JournalWriter, Sink};

    use super::*;

    fn accuracy(epoch: u32, value: f64) -> Measurement {
        Measurement { metric: Metric::Accuracy, split: Some(Split::Test), form: None, epoch: Some(epoch), value }
    }

    #[test]
    fn the_first_epoch_decides_what_is_taken_over() {
        let root = tempfile::tempdir().unwrap();
        let folder = |number: u32| root.path().join(number.to_string());
        let params = Measurement { metric: Metric::Params, split: None, form: None, epoch: None, value: 7.0 };
        for (number, measured) in
            [(1, vec![params, accuracy(1, 0.1), accuracy(2, 0.2), accuracy(3, 0.3)]), (2, vec![accuracy(3, 0.4)])]
        {
            std::fs::create_dir(folder(number)).unwrap();
            let mut journal = JournalWriter::open(&AttemptLayout::at(folder(number)).journal()).unwrap();
            journal.emit(Event::Measured { measurements: measured }).unwrap();
            journal.emit(Event::Checkpointed { step: 3, file: "last".to_owned() }).unwrap();
        }
        let folders = [folder(2), folder(1)];
        let up_to = |epoch| Inherited::from(&folders).up_to(epoch);
        assert_eq!(up_to(Some(4)), [accuracy(1, 0.1), accuracy(2, 0.2), accuracy(3, 0.4), params]);
        assert_eq!(up_to(Some(2)), [accuracy(1, 0.1), accuracy(2, 0.2), params]);
        assert_eq!(up_to(Some(1)), [accuracy(1, 0.1), params], "it starts over, and measures epoch 1 again");
        assert_eq!(up_to(None).len(), 4);
        assert_eq!(Inherited::from(&folders).step, 0, "the files of the checkpoints are gone");
        std::fs::write(folder(1).join("last"), "").unwrap();
        assert_eq!(Inherited::from(&folders).step, 3);
    }
}
