//! Reads the folders of runs that changed since the index read them.
//!
//! Many runs are read beside the thread that writes the index, and several at a time: parsing takes longer than
//! writing. This module knows folders, not SQL.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use sweep_protocol::{ResultsLayout, RunFile, RunId};

use crate::fold::RunState;
use crate::index::CachedRun;
use crate::results_folder::FolderReader;
use crate::{Damage, StoreError};

/// The stamp of a run with files that could not be read. It is the stamp of no files, not even of missing ones. So the
/// next call reads the run again.
const UNREAD: &str = "unread";

/// Number of runs that are handed over together. A run may have thousands of values, so it is small.
pub(crate) const TOGETHER: usize = 16;
/// Number of parts that may wait for the index.
const WAITING: usize = 2;

/// What the index knows of a run.
pub(crate) struct Known {
    /// The stamp, if the row is intact.
    stamp: Option<String>,
    was_attempted: bool,
}

impl Known {
    pub(crate) fn of(cached: &CachedRun) -> Self {
        Self { stamp: cached.is_intact.then(|| cached.stamp.clone()), was_attempted: cached.row.attempts > 0 }
    }
}

/// A run as its folder has it.
pub(crate) struct ChangedRun {
    pub(crate) run: RunId,
    /// Its configuration, if the folder has it.
    pub(crate) file: Option<RunFile>,
    pub(crate) state: RunState,
    /// The stamp of the files, or [`UNREAD`].
    pub(crate) stamp: String,
    /// Damage of the configuration.
    pub(crate) file_damage: Vec<Damage>,
    /// Damage of everything else.
    pub(crate) damage: Vec<Damage>,
}

type Part = Vec<Result<ChangedRun, StoreError>>;

/// The changed ones of some runs, in order.
pub(crate) enum ChangedRuns {
    /// A thread reads them.
    Thread(Receiver<Part>, Option<JoinHandle<()>>),
    /// They are read when they are asked for.
    Here(Reading),
}

impl ChangedRuns {
    /// Starts to read runs. `known` is what the index knows of them.
    pub(crate) fn read(layout: &ResultsLayout, runs: &[RunId], known: BTreeMap<RunId, Known>) -> Self {
        let reading = Reading { layout: layout.clone(), runs: runs.to_vec(), next: 0, known };
        if runs.len() <= TOGETHER {
            return Self::Here(reading);
        }
        let (sender, receiver) = sync_channel(WAITING);
        let (orders, ordered) = sync_channel::<Reading>(1);
        let read = move || {
            let Ok(mut reading) = ordered.recv() else { return };
            // The receiver is gone if the index cannot be written. Then nobody wants the rest.
            while let Some(part) = reading.next_part()
                && sender.send(part).is_ok()
            {}
        };
        // If the system gives no thread, this thread reads.
        match thread::Builder::new().name("journals".to_owned()).spawn(read) {
            Err(_) => Self::Here(reading),
            Ok(thread) => match orders.send(reading) {
                Ok(()) => Self::Thread(receiver, Some(thread)),
                Err(unsent) => Self::Here(unsent.0),
            },
        }
    }

    /// Returns the next changed runs; `None` after the last ones. A part may be empty.
    pub(crate) fn next_part(&mut self) -> Option<Part> {
        match self {
            Self::Thread(receiver, thread) => receiver.recv().ok().or_else(|| {
                // The thread has read all runs, or it has panicked.
                thread.take().and_then(|thread| thread.join().err()).map(|panic| resume_unwind(panic))
            }),
            Self::Here(reading) => reading.next_part(),
        }
    }
}

/// Runs that are being read.
pub(crate) struct Reading {
    layout: ResultsLayout,
    runs: Vec<RunId>,
    /// Place of the next run.
    next: usize,
    known: BTreeMap<RunId, Known>,
}

impl Reading {
    fn next_part(&mut self) -> Option<Part> {
        let until = self.runs.len().min(self.next + TOGETHER);
        let part = &self.runs[self.next..until];
        self.next = until;
        (!part.is_empty()).then(|| part.par_iter().filter_map(|&run| self.changed(run).transpose()).collect())
    }

    /// Reads a run; `None` if its files are those that the index has read.
    fn changed(&self, run: RunId) -> Result<Option<ChangedRun>, StoreError> {
        let mut folder = FolderReader::new(&self.layout);
        let stamp = folder.stamp(run);
        let known = self.known.get(&run);
        if known.is_some_and(|known| known.stamp.as_ref() == Some(&stamp)) {
            return Ok(None);
        }
        let file = folder.run_file(run);
        let file_damage = std::mem::take(&mut folder.damage);
        let state = folder.run_state(run)?;
        let is_unread = folder.damage.iter().any(|damage| matches!(damage, Damage::Unreadable { .. }));
        let stamp = if is_unread { UNREAD.to_owned() } else { stamp };
        if state.attempts.is_empty() && known.is_some_and(|known| known.was_attempted) {
            folder.damage.push(Damage::Deleted { path: self.layout.run(run).root().to_owned() });
        }
        Ok(Some(ChangedRun { run, file, state, stamp, file_damage, damage: folder.damage }))
    }
}
