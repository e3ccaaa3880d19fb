//! Everything about a sweep at one time, for drawings and as JSON.

use std::collections::BTreeSet;

use serde::Serialize;
use sweep_protocol::{RunId, Status};

use crate::attempt::{Attempt, Begun, Place, Told};
use crate::curve::Curve;
use crate::pace::seconds_between;
use crate::state::{Progress, Run, Scheduler, Stage};

/// Number of runs at each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All runs.
    pub runs: usize,
    /// All their values are measured.
    pub succeeded: usize,
    /// They failed, and nothing tries them again.
    pub failed: usize,
    /// They have an open attempt.
    pub running: usize,
    /// They wait.
    pub queued: usize,
    /// They were stopped early, since they were poor beside others.
    pub pruned: usize,
}

/// A sweep at one time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View<'a> {
    /// Name of the experiment.
    pub experiment: &'a str,
    /// Name of the profile.
    pub profile: &'a str,
    /// The time: milliseconds since 1970, UTC.
    pub at_ms: u64,
    /// Whether a scheduler works on it.
    pub scheduler: &'a Scheduler,
    /// Whether attempts are in the hands of a cluster, which goes on with them without a scheduler.
    pub is_on_cluster: bool,
    /// Number of runs at each stage.
    pub counts: Counts,
    /// Share of the predicted work that is done: from 0 to 1.
    pub share: f64,
    /// Predicted seconds until all runs are finished; absent before anything is measured.
    pub seconds_left: Option<f64>,
    /// The slots, with their attempts.
    pub slots: Vec<SlotView<'a>>,
    /// The runs that wait, the next one first.
    pub queue: Vec<Waiting<'a>>,
    /// The runs that have succeeded or were pruned, the latest last.
    pub finished: Vec<Finished<'a>>,
    /// The runs that have failed, in the order of the plan.
    pub failures: Vec<Failed<'a>>,
}

/// A slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlotView<'a> {
    /// Its number, counted from 0. Absent if the attempt's supervisor did not say it.
    pub slot: Option<u32>,
    /// The attempt in it.
    pub running: Option<Running<'a>>,
}

/// A running attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Running<'a> {
    /// The run.
    pub run: RunId,
    /// Its name for people.
    pub label: &'a str,
    /// Number of the attempt, counted from 1.
    pub attempt: u32,
    /// The task of a cluster that runs it, in the cluster's words; absent on this machine.
    pub job: Option<&'a str>,
    /// Device and threads; absent while it loads its data.
    pub place: Option<&'a Place>,
    /// Number of completed epochs.
    pub epoch: u64,
    /// Number of epochs; absent while it is not known.
    pub epochs: Option<u32>,
    /// Number of steps since the run began.
    pub step: u64,
    /// Number of steps of the run; absent while it is not known.
    pub steps: Option<u64>,
    /// Share of the run's steps that are done: from 0 to 1.
    pub share: f64,
    /// Loss of the latest step.
    pub loss: Option<f64>,
    /// The latest accuracy: on validation images, or on test images if there is no validation.
    pub accuracy: Option<Told>,
    /// Seconds since its launch; until its latest line if there is no scheduler any more.
    pub seconds: f64,
    /// How many times slower than finished runs on the same device it is, if it is far slower.
    pub times_slower: Option<f64>,
    /// Its learning curve.
    pub curve: &'a Curve,
}

/// A run that waits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waiting<'a> {
    /// The run.
    pub run: RunId,
    /// Its name for people.
    pub label: &'a str,
    /// Number of steps in its newest checkpoint; 0 without one.
    pub checkpoint_step: u64,
    /// Whether it is tried again after a failure of the machine.
    pub is_retry: bool,
    /// The task of a cluster in whose queue it waits, in the cluster's words.
    pub job: Option<&'a str>,
}

/// A run that has succeeded or was pruned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finished<'a> {
    /// The run.
    pub run: RunId,
    /// Its name for people.
    pub label: &'a str,
    /// Whether it has succeeded or was pruned.
    pub status: Status,
    /// Seconds that its last attempt took. Absent for runs that were not followed.
    pub seconds: Option<f64>,
    /// Its latest accuracy. Absent for runs that were not followed.
    pub accuracy: Option<Told>,
}

/// A run that has failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failed<'a> {
    /// The run.
    pub run: RunId,
    /// Its name for people.
    pub label: &'a str,
    /// The status, which names the kind of failure.
    pub status: Status,
    /// The reason.
    pub reason: Option<&'a str>,
    /// Number of the attempt that failed.
    pub attempt: u32,
    /// Path of the log of this attempt.
    pub log: String,
}

impl Progress {
    /// Returns everything at a time.
    pub fn view(&self, now_ms: u64) -> View<'_> {
        let attempt = |run: &Run| run.attempt.as_ref().and_then(|attempt| attempt.closed_ms);
        let mut finished: Vec<&Run> =
            self.runs.iter().filter(|run| matches!(run.stage, Stage::Succeeded | Stage::Pruned)).collect();
        finished.sort_by_key(|run| attempt(run));
        View {
            experiment: &self.setup.experiment,
            profile: &self.setup.profile,
            at_ms: now_ms,
            scheduler: &self.scheduler,
            is_on_cluster: self.is_on_cluster(),
            counts: self.counts(),
            share: self.share(),
            seconds_left: self.seconds_left(now_ms),
            slots: self.slot_views(now_ms),
            queue: self.queue().into_iter().map(waiting).collect(),
            finished: finished.into_iter().map(finished_run).collect(),
            failures: self.runs.iter().filter_map(|run| self.failed(run)).collect(),
        }
    }

    fn slot_views(&self, now_ms: u64) -> Vec<SlotView<'_>> {
        let of = |run: &Run| run.attempt.as_ref().and_then(|attempt| attempt.slot);
        let running = self.runs.iter().filter(|run| run.stage == Stage::Running);
        let mut slots: Vec<SlotView<'_>> =
            running.map(|run| SlotView { slot: of(run), running: self.running(run, now_ms) }).collect();
        let used: BTreeSet<u32> = slots.iter().filter_map(|view| view.slot).collect();
        let idle = (0..self.slot_count()).filter(|slot| !used.contains(slot));
        let idle: Vec<SlotView<'_>> = idle.map(|slot| SlotView { slot: Some(slot), running: None }).collect();
        slots.extend(idle);
        slots.sort_by_key(|slot| (slot.slot.is_none(), slot.slot));
        slots
    }

    fn running<'a>(&'a self, run: &'a Run, now_ms: u64) -> Option<Running<'a>> {
        let attempt = run.attempt.as_ref()?;
        let begun = attempt.begun.as_ref();
        let is_left = self.scheduler == Scheduler::Absent && attempt.job.is_none();
        let until_ms = if is_left { attempt.heard_ms } else { now_ms };
        // A cluster does not say when it starts a task.
        let since_ms = attempt.launched_ms.or(begun.map(|begun| begun.at_ms));
        Some(Running {
            run: run.id,
            label: &run.label,
            attempt: attempt.number,
            job: attempt.job.as_deref(),
            place: begun.map(|begun| &begun.place),
            epoch: attempt.step / begun.map_or(1, |begun| begun.steps_per_epoch),
            epochs: begun.map(|begun| begun.epochs).filter(|epochs| *epochs > 0),
            step: attempt.step,
            steps: begun.and_then(Begun::steps),
            share: self.share_of(run),
            loss: attempt.loss,
            accuracy: attempt.told,
            seconds: since_ms.map_or(0.0, |since_ms| seconds_between(since_ms, until_ms)),
            times_slower: attempt.slow,
            curve: &attempt.curve,
        })
    }

    fn failed<'a>(&'a self, run: &'a Run) -> Option<Failed<'a>> {
        let Stage::Failed { status, message, attempt } = &run.stage else { return None };
        let log = self.setup.layout.run(run.id).attempt(*attempt).log();
        let (status, reason, attempt) = (*status, message.as_deref(), *attempt);
        Some(Failed { run: run.id, label: &run.label, status, reason, attempt, log: log.display().to_string() })
    }
}

fn waiting(run: &Run) -> Waiting<'_> {
    Waiting {
        run: run.id,
        label: &run.label,
        checkpoint_step: run.checkpoint_step,
        is_retry: run.failures > 0,
        job: run.attempt.as_ref().filter(|attempt| attempt.is_open()).and_then(|attempt| attempt.job.as_deref()),
    }
}

fn finished_run(run: &Run) -> Finished<'_> {
    let seconds = |attempt: &Attempt| Some(seconds_between(attempt.launched_ms?, attempt.closed_ms?));
    let attempt = run.attempt.as_ref();
    Finished {
        run: run.id,
        label: &run.label,
        status: if run.stage == Stage::Pruned { Status::Pruned } else { Status::Succeeded },
        seconds: attempt.and_then(seconds),
        accuracy: attempt.and_then(|attempt| attempt.told),
    }
}
