//! Derives the state of a run from the journals of all its attempts. Pure.
//!
//! Only this module decides whether a run that its supervisor closed as succeeded has all its measurements. It knows
//! journal lines, not files and not SQL.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use sweep_protocol::{
    Arithmetic, AttemptName, Epochs, Event, Form, JournalLine, LineDamage, Measurement, Metric, Outcome, Predictions,
    RunId, RunRow, SeriesKey, Split, Status, SupervisorEvent, Tally,
};

use crate::rows::AttemptRow;

/// The lines of one attempt's two journals.
#[derive(Debug, Default)]
pub(crate) struct AttemptLines {
    pub(crate) attempt: u32,
    pub(crate) journal: Vec<JournalLine<Event>>,
    /// Lost parts of the journal.
    pub(crate) damage: Vec<LineDamage>,
    /// Number of journal lines without a checksum.
    pub(crate) unchecked: u64,
    pub(crate) supervisor: Vec<JournalLine<SupervisorEvent>>,
    /// Tally of the values in the journal; see [`Self::found`].
    pub(crate) found: OnceCell<Tally>,
}

impl AttemptLines {
    /// Returns the tally of the values in the journal. It is computed once, since it costs as much as reading them.
    fn found(&self) -> &Tally {
        self.found.get_or_init(|| Tally::of(measured_by(self)))
    }
}

/// The state of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunState {
    pub(crate) row: RunRow,
    pub(crate) attempts: Vec<AttemptRow>,
    /// Each value with the attempt that has it in its journal. Sorted by metric, split, form and epoch, without
    /// repetitions.
    pub(crate) values: Vec<(Measurement, u32)>,
    /// The latest predictions of each split and form, in their order. They come from the attempts that the values come
    /// from.
    pub(crate) predictions: Vec<Predictions>,
}

/// Identifies one value of a run.
type Key = (Metric, Option<Split>, Option<Form>, Option<u32>);

pub(crate) fn key(measurement: &Measurement) -> Key {
    (measurement.metric, measurement.split, measurement.form, measurement.epoch)
}

impl RunState {
    /// Returns the state of a run with these attempts, in order.
    pub(crate) fn of(run: RunId, attempts: &[AttemptLines]) -> Self {
        let rows: Vec<AttemptRow> = attempts.iter().map(attempt_row).collect();
        let latest = |said: fn(&AttemptRow) -> bool| rows.iter().rev().find(|row| said(row));
        let (status, message) = match (rows.last(), attempts.last()) {
            (Some(row), Some(last)) if row.status == Status::Succeeded => match missing(run, attempts, last) {
                None => (Status::Succeeded, None),
                Some(what) => (Status::Incomplete, Some(format!("measurements are missing or wrong: {what}"))),
            },
            (Some(row), _) => (row.status, row.message.clone()),
            _ => (Status::Queued, None),
        };
        let row = RunRow {
            run,
            status,
            message,
            attempts: u32::try_from(rows.len()).unwrap_or(u32::MAX),
            trainer_version: latest(|row| row.trainer_version.is_some()).and_then(|row| row.trainer_version),
            arithmetic: latest(|row| row.trainer_version.is_some()).and_then(|row| row.arithmetic.clone()),
            processor: latest(|row| row.trainer_version.is_some()).and_then(|row| row.processor.clone()),
            data_fingerprint: latest(|row| row.data_fingerprint.is_some()).and_then(|row| row.data_fingerprint.clone()),
            checkpoint_step: latest(|row| row.checkpoint_step.is_some())
                .and_then(|row| row.checkpoint_step)
                .unwrap_or(0),
        };
        let counted = counted(attempts);
        Self { row, values: values(counted), predictions: predictions(counted), attempts: rows }
    }

    /// Returns the `wanted` values, sorted.
    pub(crate) fn wanted_values(&self, wanted: impl Fn(SeriesKey) -> Epochs) -> Vec<Measurement> {
        let mut values = Vec::with_capacity(self.values.len());
        for all in self.values.chunk_by(|(a, _), (b, _)| a.series() == b.series()) {
            let from = match wanted(all[0].0.series()) {
                Epochs::None => all.len(),
                Epochs::Last => all.len() - 1,
                Epochs::All => 0,
            };
            values.extend(all[from..].iter().map(|(value, _)| *value));
        }
        values
    }
}

fn measured_by(lines: &AttemptLines) -> impl Iterator<Item = &Measurement> {
    let measurements = lines.journal.iter().filter_map(|line| match &line.event {
        Event::Measured { measurements } | Event::Inherited { measurements } => Some(measurements),
        _ => None,
    });
    measurements.flatten()
}

/// The attempts whose values count. If an attempt ended with a tally that matches its journal, this journal has all
/// values, so earlier attempts are ignored. Values of another trainer version, or of another arithmetic, are not mixed
/// with those of the latest attempt.
fn counted(attempts: &[AttemptLines]) -> &[AttemptLines] {
    let is_whole = |lines: &AttemptLines| tally(lines).is_some_and(|tally| tally == lines.found());
    let whole = attempts.iter().rposition(is_whole).unwrap_or(0);
    let latest = attempts.iter().rev().find_map(trainer);
    let older = attempts.iter().rposition(|lines| trainer(lines).is_some_and(|trainer| Some(trainer) != latest));
    let from = whole.max(older.map_or(0, |last| last + 1));
    attempts.get(from..).unwrap_or_default()
}

/// The values of a run. Those of a later attempt replace those of an earlier one.
fn values(attempts: &[AttemptLines]) -> Vec<(Measurement, u32)> {
    let mut values = BTreeMap::new();
    for lines in attempts {
        values.extend(measured_by(lines).map(|measurement| (key(measurement), (*measurement, lines.attempt))));
    }
    values.into_values().collect()
}

/// What a run predicted. Later predictions of a split and form replace earlier ones.
fn predictions(attempts: &[AttemptLines]) -> Vec<Predictions> {
    let said = attempts.iter().flat_map(|lines| &lines.journal).filter_map(|line| match &line.event {
        Event::Predicted { predictions } => Some(((predictions.split(), predictions.form()), predictions)),
        _ => None,
    });
    said.collect::<BTreeMap<_, _>>().into_values().cloned().collect()
}

/// Trainer version and arithmetic of an attempt; `None` if it did not begin.
fn trainer(lines: &AttemptLines) -> Option<(u32, Option<&Arithmetic>)> {
    lines.journal.iter().find_map(|line| match &line.event {
        Event::Started { environment, .. } => Some((environment.trainer_version, environment.arithmetic.as_ref())),
        _ => None,
    })
}

/// The tally in an attempt's final event.
fn tally(lines: &AttemptLines) -> Option<&Tally> {
    match &lines.journal.last()?.event {
        Event::Ended { measured, .. } => measured.as_ref(),
        _ => None,
    }
}

/// Returns what is missing in the journals if the last attempt was closed as succeeded; `None` if they are complete.
fn missing(run: RunId, attempts: &[AttemptLines], last: &AttemptLines) -> Option<String> {
    let own = AttemptName { run, attempt: last.attempt };
    if let Some(other) = last.supervisor.iter().find_map(|line| other_name(&line.event, own)) {
        return Some(format!("the folder belongs to attempt {} of run {}", other.attempt, other.run.short()));
    }
    if closed_with(last).is_some_and(|measured| measured != last.found()) {
        return Some("the journal is not the one that the supervisor followed".to_owned());
    }
    let damage = || last.damage.first().map_or_else(String::new, |damage| format!(" ({damage})"));
    let Some(Event::Ended { outcome: Outcome::Succeeded, measured: expected }) =
        last.journal.last().map(|line| &line.event)
    else {
        return Some(format!("attempt {} did not report its end{}", last.attempt, damage()));
    };
    match expected {
        Some(expected) => {
            let found = last.found();
            let what = if found.count == expected.count {
                "values are there, but not the reported ones"
            } else {
                "values are there"
            };
            (found != expected).then(|| format!("{} of {} {what}{}", found.count, expected.count, damage()))
        }
        None => missing_unchecked(attempts),
    }
}

/// The attempt that a supervisor's line names, if it is not this attempt.
fn other_name(event: &SupervisorEvent, own: AttemptName) -> Option<AttemptName> {
    match event {
        SupervisorEvent::Launched { of, .. } => of.filter(|of| *of != own),
        SupervisorEvent::Submitted { of, .. } => Some(*of).filter(|of| *of != own),
        SupervisorEvent::Closed { .. } => None,
    }
}

/// The tally that the supervisor recorded when it closed the attempt.
fn closed_with(lines: &AttemptLines) -> Option<&Tally> {
    lines.supervisor.iter().rev().find_map(|line| match &line.event {
        SupervisorEvent::Closed { measured, .. } => measured.as_ref(),
        SupervisorEvent::Launched { .. } | SupervisorEvent::Submitted { .. } => None,
    })
}

/// Does the work of [`missing`] for a run in the first format, with neither checksums nor a tally in its journals. Such
/// a run is complete if every epoch has a training loss and the parameters of the trained network are counted.
fn missing_unchecked(attempts: &[AttemptLines]) -> Option<String> {
    let all = || attempts.iter().flat_map(measured_by);
    let trained: BTreeSet<u32> =
        all().filter(|m| m.metric == Metric::Loss && m.split == Some(Split::Train)).filter_map(|m| m.epoch).collect();
    let epochs = attempts.iter().flat_map(|lines| &lines.journal).filter_map(|line| match line.event {
        Event::Started { epochs, .. } => Some(epochs),
        _ => None,
    });
    let Some(epochs) = epochs.max() else {
        return Some("no attempt states its number of epochs".to_owned());
    };
    if let Some(absent) = (1..=epochs).find(|epoch| !trained.contains(epoch)) {
        return Some(format!("epoch {absent} has no training loss"));
    }
    let is_counted = all().any(|m| m.metric == Metric::Params);
    (!is_counted).then(|| "there are no values after the last epoch".to_owned())
}

fn attempt_row(lines: &AttemptLines) -> AttemptRow {
    let mut row = AttemptRow {
        attempt: lines.attempt,
        status: Status::Running,
        unchecked_lines: lines.unchecked,
        ..AttemptRow::default()
    };
    for line in &lines.supervisor {
        match &line.event {
            SupervisorEvent::Launched { pid, slot, .. } => {
                (row.pid, row.slot, row.started_at_ms) = (Some(*pid), Some(*slot), Some(line.at_ms));
            }
            SupervisorEvent::Submitted { job, task, .. } => {
                row.started_at_ms = Some(line.at_ms);
                row.message = Some(format!("Slurm job {job}_{task}"));
            }
            SupervisorEvent::Closed { status, message, .. } => {
                (row.status, row.message, row.ended_at_ms) = (*status, message.clone(), Some(line.at_ms));
            }
        }
    }
    for line in &lines.journal {
        match &line.event {
            Event::Started { environment, resumed_at_step, .. } => {
                row.host = Some(environment.host.clone());
                row.device = Some(environment.device.clone());
                row.threads = u32::try_from(environment.threads).ok();
                row.code = Some(environment.code.clone());
                row.trainer_version = Some(environment.trainer_version);
                row.arithmetic.clone_from(&environment.arithmetic);
                row.processor.clone_from(&environment.processor);
                row.data_fingerprint = Some(environment.data_fingerprint.clone());
                row.resumed_at_step = Some(*resumed_at_step);
            }
            Event::Checkpointed { step, .. } => row.checkpoint_step = Some(*step),
            // Progress and notices are only shown to the user. The supervisor's journal says how the attempt ended.
            Event::Measured { .. }
            | Event::Inherited { .. }
            | Event::Progressed { .. }
            | Event::Noticed { .. }
            | Event::Predicted { .. }
            | Event::Ended { .. } => {}
        }
    }
    row
}
