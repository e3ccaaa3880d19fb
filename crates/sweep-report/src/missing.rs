//! Why a cell is empty or a row incomplete, in words.
//!
//! Knows where runs stand, not what they measured.

use std::collections::BTreeMap;

use sweep_protocol::Status;

use crate::group::Group;
use crate::measured::Measured;

/// Where the runs of a group stand.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    planned: usize,
    pub(crate) succeeded: usize,
    /// By status, and whether an attempt was begun.
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

impl Standing {
    /// Why there is no value: `not run yet`, `1 failed: diverged, 2 running`.
    pub(crate) fn why_missing(&self) -> String {
        if self.succeeded > 0 {
            return "not measured".to_owned();
        }
        let mut statuses = self.others.keys();
        match (statuses.next(), statuses.next()) {
            (Some(&only), None) => place_in_words(only),
            _ => self.counted(),
        }
    }

    fn counted(&self) -> String {
        let counts = self.others.iter().map(|(&place, n)| format!("{n} {}", place_in_words(place)));
        counts.collect::<Vec<_>>().join(", ")
    }
}

/// Why a row is not complete: `2 of 3 seeds: 1 failed: diverged`; nothing for a complete row, or one without a value,
/// whose cells say it themselves.
pub(crate) fn incomplete(group: &Group<'_>, measured: &Measured<'_>) -> Option<String> {
    let standing = standing(group, measured);
    let partly = standing.succeeded > 0 && standing.succeeded < standing.planned;
    partly.then(|| format!("{} of {} seeds: {}", standing.succeeded, standing.planned, standing.counted()))
}

/// A status, where a run that waits for its next attempt is told from one that was never begun.
fn place_in_words(place: (Status, bool)) -> String {
    match place {
        (Status::Queued, true) => "begun, not finished yet".to_owned(),
        (status, _) => status_in_words(status),
    }
}

/// A status as a reader is told it.
pub(crate) fn status_in_words(status: Status) -> String {
    match status {
        Status::Queued => "not run yet".to_owned(),
        Status::Running => "running".to_owned(),
        Status::Succeeded => "succeeded".to_owned(),
        Status::Incomplete => "incomplete: measurements are missing".to_owned(),
        Status::Failed(kind) => format!("failed: {}", kind.name()),
        Status::TimedOut => "timed out".to_owned(),
        Status::Cancelled => "interrupted".to_owned(),
    }
}
