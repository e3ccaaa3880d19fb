//! Where a value of a run was written: attempt, file and line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sweep_protocol::{Measurement, RunId, read_regular_file};

use crate::fold::key;
use crate::{Reader, StoreError};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Number of the attempt.
    pub attempt: u32,
    /// The journal.
    pub journal: PathBuf,
    /// Line of the journal, counted from 1.
    pub line: usize,
}

impl Reader {
    /// Finds the line that gave a value of a run; `None` if no line that counts has this value.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub fn origin(&mut self, run: RunId, value: &Measurement) -> Result<Option<Origin>, StoreError> {
        let state = self.state(run)?;
        let is_it = |other: &Measurement| key(other) == key(value) && other.value.to_bits() == value.value.to_bits();
        let Some((_, attempt)) = state.values.iter().find(|(other, _)| is_it(other)) else { return Ok(None) };
        let journal = self.layout().run(run).attempt(*attempt).journal();
        Ok(last_line(&journal, is_it).map(|line| Origin { attempt: *attempt, journal, line }))
    }
}

/// Returns the last line with a measurement that fits, counted from 1. Lines that cannot be read have none.
fn last_line(journal: &Path, fits: impl Fn(&Measurement) -> bool) -> Option<usize> {
    #[derive(Deserialize)]
    struct Line {
        event: Measured,
    }
    #[derive(Deserialize)]
    struct Measured {
        #[serde(default)]
        measurements: Vec<Measurement>,
    }
    let bytes = read_regular_file(journal).ok()?;
    let has_it = |line: &[u8]| {
        let line: Option<Line> = serde_json::from_slice(line).ok();
        line.is_some_and(|line| line.event.measurements.iter().any(&fits))
    };
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    lines.iter().rposition(|line| has_it(line)).map(|at| at + 1)
}
