//! Pruning in a call of `run`: feeds the pruner with what runs report, and says what it decides.
//!
//! Only validation accuracies count. Runs that were chosen by the test set would make its values too good.

use std::collections::BTreeSet;

use sweep_protocol::{Event, ExperimentRows, Form, Measurement, Metric, RunId, Split, Status, SupervisorEvent};
use sweep_runner::{Pruned, Pruner, PruningRule, Update, UpdateKind};
use tokio::sync::watch;

use crate::cli::{PruneChoice, RunArgs};
use crate::progress::Progress;

/// The pruning of a call; without a rule nothing is pruned.
#[derive(Default)]
pub(crate) struct Pruning {
    active: Option<Active>,
}

struct Active {
    pruner: Pruner,
    rule: PruningRule,
    /// Whether the user knows that nothing can be pruned.
    is_blind_told: bool,
}

impl Pruning {
    /// Starts with what runs have reported so far. Runs that were pruned earlier stay so. Others are judged by the next
    /// value that they report.
    pub(crate) fn of(arguments: &RunArgs, rows: &ExperimentRows) -> Self {
        let Some(choice) = arguments.prune else { return Self::default() };
        let rule = match choice {
            PruneChoice::Median => PruningRule::Median,
            PruneChoice::Asha => PruningRule::Asha,
        };
        let mut pruner = Pruner::new(sweep_runner::Pruning { rule, after: arguments.prune_after });
        for row in &rows.measurements {
            if let Some((epoch, value)) = told(&row.measurement) {
                pruner.recall(row.run, epoch, value);
            }
        }
        for row in &rows.runs {
            match row.status {
                Status::Succeeded => pruner.finish(row.run),
                Status::Pruned => pruner.leave_out(row.run),
                _ => {}
            }
        }
        Self { active: Some(Active { pruner, rule, is_blind_told: false }) }
    }

    /// Whether a run was pruned earlier.
    pub(crate) fn is_pruned(&self, run: RunId) -> bool {
        self.active.as_ref().is_some_and(|active| active.pruner.is_pruned(run))
    }

    /// Says that it is on, and how many runs it leaves out from the beginning.
    pub(crate) fn begin(&self, progress: &Progress) {
        let Some(Active { pruner, rule, .. }) = &self.active else { return };
        let name = match rule {
            PruningRule::Median => "the median rule",
            PruningRule::Asha => "successive halving (ASHA)",
        };
        progress.voice().say(&format!(
            "pruning by {name} on validation accuracy: pruned runs stay unfinished, and a call without --prune \
             continues them"
        ));
        if pruner.count() > 0 {
            let verb = if pruner.count() == 1 { "run is" } else { "runs are" };
            let text = format!("{} {verb} left out: pruned by an earlier call", pruner.count());
            progress.voice().say(&text);
        }
    }

    /// Takes news of a run, and asks the scheduler to stop runs that are pruned by it.
    pub(crate) fn follow(&mut self, update: &Update, progress: &Progress, prune: &watch::Sender<BTreeSet<RunId>>) {
        let Some(Active { pruner, rule, is_blind_told }) = &mut self.active else { return };
        let run = update.run;
        match &update.kind {
            UpdateKind::Events(lines) => {
                for line in lines {
                    let measured = match &line.event {
                        // A command may not say how many epochs it trains.
                        Event::Started { epochs, .. } if *epochs > 0 => {
                            pruner.begin(run, *epochs);
                            continue;
                        }
                        Event::Measured { measurements } => measurements,
                        _ => continue,
                    };
                    for (epoch, value) in measured.iter().filter_map(told) {
                        if let Some(pruned) = pruner.observe(run, epoch, value) {
                            progress.voice().say(&format!("{} is pruned {}", progress.label(run), why(*rule, &pruned)));
                            prune.send_if_modified(|runs| runs.insert(run));
                        }
                    }
                }
            }
            UpdateKind::Unusable(_) | UpdateKind::Removed => {}
            UpdateKind::Supervisor(lines) => {
                let is_success = |event: &SupervisorEvent| {
                    matches!(event, SupervisorEvent::Closed { status: Status::Succeeded, .. })
                };
                if lines.iter().any(|line| is_success(&line.event)) {
                    pruner.finish(run);
                }
                if pruner.is_blind() && !std::mem::replace(is_blind_told, true) {
                    progress.voice().say(
                        "note: nothing can be pruned, since runs report no validation accuracy: set `validation` in \
                         [data] of the base file, or let the command report accuracies of the split `validation`",
                    );
                }
            }
        }
    }

    /// Number of pruned runs.
    pub(crate) fn count(&self) -> usize {
        self.active.as_ref().map_or(0, |active| active.pruner.count())
    }
}

/// The value that counts for pruning, with its epoch.
fn told(measurement: &Measurement) -> Option<(u32, f64)> {
    let is_accuracy = matches!(measurement.metric, Metric::Accuracy | Metric::VerificationAccuracy);
    let counts =
        is_accuracy && measurement.split == Some(Split::Validation) && measurement.form != Some(Form::Deployed);
    measurement.epoch.filter(|_| counts).map(|epoch| (epoch, measurement.value))
}

/// Why a run is pruned, as the end of a sentence.
fn why(rule: PruningRule, pruned: &Pruned) -> String {
    let Pruned { epoch, value, bar, others } = pruned;
    let (value, bar) = (100.0 * value, 100.0 * bar);
    match rule {
        PruningRule::Median => format!(
            "after epoch {epoch}: its best validation accuracy, {value:.3} %, is below the median of {others} finished \
             runs, {bar:.3} %"
        ),
        PruningRule::Asha => format!(
            "after epoch {epoch}: its validation accuracy, {value:.3} %, is below {bar:.3} %, the best quarter of the \
             {} runs that came so far",
            others + 1
        ),
    }
}
