//! Explains in words why a cell is empty or a row is incomplete.
//!
//! This module knows the status of runs, and which quantities they measured. It does not know values.

use std::collections::{BTreeMap, BTreeSet};

use sweep_protocol::Status;

use crate::declaration::{EpochRule, Quantity};
use crate::group::Group;
use crate::measured::Measured;
use crate::unit::words;

/// Status of the runs of a group.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    planned: usize,
    pub(crate) succeeded: usize,
    /// Number of the other runs, by status and by whether an attempt has begun.
    others: BTreeMap<(Status, bool), usize>,
}

/// Counts the runs of a group by status.
pub(crate) fn standing(group: &Group<'_>, measured: &Measured<'_>) -> Standing {
    let mut others = BTreeMap::new();
    for run in &group.runs {
        let is_begun = measured.row(run.run).is_some_and(|row| row.attempts > 0);
        *others.entry((measured.status(run.run), is_begun)).or_insert(0) += 1;
    }
    let mut succeeded = 0;
    others.retain(|(status, _), n| {
        succeeded += if *status == Status::Succeeded { *n } else { 0 };
        *status != Status::Succeeded
    });
    Standing { planned: group.runs.len(), succeeded, others }
}

/// Explains why a group has no value of a quantity: `not run yet`, `1 failed: diverged, 2 running`.
pub(crate) fn why_missing(group: &Group<'_>, measured: &Measured<'_>, quantity: &Quantity) -> String {
    let standing = standing(group, measured);
    if group.runs.iter().any(|run| measured.result(run.run, quantity).is_some()) {
        return "the mean is not finite".to_owned();
    }
    if standing.succeeded > 0 {
        return not_measured(group, measured, quantity);
    }
    let mut statuses = standing.others.keys();
    match (statuses.next(), statuses.next()) {
        (Some(&only), None) => place_in_words(only),
        _ => standing.counted(),
    }
}

/// Says that runs have succeeded without measuring a quantity. The same metric on another split or in another form is
/// named: then the declaration asks for the wrong one.
fn not_measured(group: &Group<'_>, measured: &Measured<'_>, quantity: &Quantity) -> String {
    let succeeded = group.runs.iter().filter(|run| measured.status(run.run) == Status::Succeeded);
    let others: BTreeSet<String> = succeeded
        .flat_map(|run| measured.quantities(run.run))
        .filter(|series| series.0 == quantity.metric && *series != quantity.series())
        .map(|(metric, split, form)| words(&Quantity { metric, split, form, epoch: EpochRule::Last }))
        .collect();
    match others.is_empty() {
        true => "not measured".to_owned(),
        false => format!("not measured; there is {}", others.into_iter().collect::<Vec<_>>().join("; ")),
    }
}

impl Standing {
    fn counted(&self) -> String {
        let counts = self.others.iter().map(|(&place, n)| format!("{n} {}", place_in_words(place)));
        counts.collect::<Vec<_>>().join(", ")
    }
}

/// Explains why a row is incomplete: `2 of 3 seeds: 1 failed: diverged`. Returns `None` for a complete row, and for a
/// row without any value: its cells say why.
pub(crate) fn incomplete(group: &Group<'_>, measured: &Measured<'_>) -> Option<String> {
    let standing = standing(group, measured);
    let partly = standing.succeeded > 0 && standing.succeeded < standing.planned;
    partly.then(|| format!("{} of {} seeds: {}", standing.succeeded, standing.planned, standing.counted()))
}

/// Describes a status. A queued run that has begun is distinguished from one that never began.
fn place_in_words(place: (Status, bool)) -> String {
    match place {
        (Status::Queued, true) => "started, not finished yet".to_owned(),
        (status, _) => status_in_words(status),
    }
}

/// Describes a status in words.
pub(crate) fn status_in_words(status: Status) -> String {
    match status {
        Status::Queued => "not run yet".to_owned(),
        Status::Running => "running".to_owned(),
        Status::Succeeded => "succeeded".to_owned(),
        Status::Incomplete => "incomplete: measurements are missing".to_owned(),
        Status::Failed(kind) => format!("failed: {}", kind.name()),
        Status::TimedOut => "timed out".to_owned(),
        Status::Cancelled => "interrupted".to_owned(),
        Status::Pruned => "pruned".to_owned(),
    }
}
