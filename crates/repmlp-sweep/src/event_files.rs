//! The event files of a sweep, for TensorBoard: they follow the runs while these train.
//!
//! The files are an extra. If they cannot be written, this is said once, and the sweep goes on without them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use sweep_plan::PlannedRun;
use sweep_protocol::{Event, Measurement, MeasurementRow, ResultsLayout, RunId, SeriesKey, now_ms};
use sweep_runner::{Update, UpdateKind};
use sweep_tensorboard::{RunLog, folder_name};

use crate::costed_plan::CostedPlan;

/// The event files of the runs of a plan.
pub(crate) struct EventFiles {
    root: PathBuf,
    folders: BTreeMap<RunId, PathBuf>,
    /// The runs that train now.
    open: BTreeMap<RunId, Live>,
}

/// A run that trains.
struct Live {
    log: RunLog,
    attempt: u32,
    /// What the attempt has reported, with what it inherited, each place once.
    measured: Vec<Measurement>,
    seen: BTreeSet<(SeriesKey, Option<u32>)>,
}

impl EventFiles {
    /// Returns the event files of a plan; `None` if its experiment does not ask for them.
    pub(crate) fn of(costed: &CostedPlan<'_>, layout: &ResultsLayout) -> Option<Self> {
        let plan = &costed.plan;
        if !plan.log.tensorboard {
            return None;
        }
        let root = layout.tensorboard(&plan.experiment, &plan.profile);
        let mut folders: BTreeMap<RunId, PathBuf> = BTreeMap::new();
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        // With the seed, also if there is one: the name stays the same when seeds are added.
        let name = |run: &PlannedRun| folder_name(format!("{} seed {}", run.coordinates, run.seed).trim_start());
        let names: Vec<String> = plan.runs.iter().map(name).collect();
        names.iter().for_each(|name| *taken.entry(name.clone()).or_default() += 1);
        for (run, name) in plan.runs.iter().zip(names) {
            // Different labels may have the same letters.
            let name = if taken[&name] > 1 { format!("{name}-{}", run.id.short()) } else { name };
            folders.insert(run.id, root.join(name));
        }
        Some(Self { root, folders, open: BTreeMap::new() })
    }

    /// Whether no file was written yet.
    pub(crate) fn is_missing(&self) -> bool {
        !self.root.exists()
    }

    /// Adds what runs have measured before. The rows of a run are neighbours.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn complete(&mut self, rows: &[MeasurementRow]) -> io::Result<()> {
        for of_run in rows.chunk_by(|a, b| a.run == b.run) {
            let Some(folder) = self.folders.get(&of_run[0].run) else { continue };
            let measured: Vec<Measurement> = of_run.iter().map(|row| row.measurement).collect();
            RunLog::open(folder)?.complete(&measured, now_ms())?;
        }
        Ok(())
    }

    /// Adds what an attempt has reported.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn follow(&mut self, update: &Update) -> io::Result<()> {
        let UpdateKind::Events(lines) = &update.kind else { return Ok(()) };
        let Some(folder) = self.folders.get(&update.run) else { return Ok(()) };
        if self.open.get(&update.run).is_none_or(|live| live.attempt != update.attempt) {
            let live = Live {
                log: RunLog::open(folder)?,
                attempt: update.attempt,
                measured: Vec::new(),
                seen: BTreeSet::new(),
            };
            self.open.insert(update.run, live);
        }
        let Some(live) = self.open.get_mut(&update.run) else { return Ok(()) };
        for line in lines {
            match &line.event {
                Event::Measured { measurements } | Event::Inherited { measurements } => {
                    // A command may report a value twice. While it trains, the first one is shown.
                    let is_new = |m: &&Measurement| live.seen.insert((m.series(), m.epoch));
                    let new: Vec<Measurement> = measurements.iter().filter(is_new).copied().collect();
                    live.measured.extend_from_slice(&new);
                    live.log.add(&new, &live.measured, line.at_ms)?;
                }
                _ => {}
            }
        }
        if lines.iter().any(|line| matches!(line.event, Event::Ended { .. })) {
            self.open.remove(&update.run);
        }
        Ok(())
    }
}
