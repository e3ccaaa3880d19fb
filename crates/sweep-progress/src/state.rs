//! The state: runs with their latest attempts, slots, and the times of what has ended.

use std::collections::BTreeMap;

use serde::Serialize;
use sweep_protocol::{
    Event, FailureKind, JournalLine, ResultsLayout, RunId, RunRow, Status, SupervisorEvent, printable,
};

use crate::attempt::{Attempt, Begun, Place, ratio};
use crate::curve::Curve;
use crate::news::News;
use crate::pace::{FinishedPaces, Paces};
use crate::view::Counts;

/// What a state is about.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the profile.
    pub profile: String,
    /// The results folder, for the paths of logs.
    pub layout: ResultsLayout,
    /// Number of slots; `None` for an observer. It takes the slots that the scheduler has used so far.
    pub slots: Option<u32>,
    /// Number of times that the scheduler tries a run again after a failure of the machine.
    pub retries: u32,
}

/// Where a run stands before any line is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is left to do.
    Queued,
    /// All its values are measured.
    Succeeded,
    /// It failed, and nothing tries it again.
    Failed {
        /// The status.
        status: Status,
        /// The reason.
        message: Option<String>,
        /// Number of the attempt that failed.
        attempt: u32,
    },
    /// It was stopped early, since it was poor beside others. A call without pruning continues it.
    Pruned,
}

impl Standing {
    /// Returns the standing that a row says. An open attempt counts once its lines are applied.
    pub fn of(row: &RunRow) -> Self {
        match row.status {
            Status::Succeeded => Self::Succeeded,
            Status::Failed(_) | Status::TimedOut => {
                Self::Failed { status: row.status, message: row.message.clone(), attempt: row.attempts }
            }
            Status::Pruned => Self::Pruned,
            Status::Queued | Status::Running | Status::Incomplete | Status::Cancelled => Self::Queued,
        }
    }
}

/// A run, before any line is applied.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// The run.
    pub run: RunId,
    /// Its name for people.
    pub label: String,
    /// Number that runs of the same configuration share. They take equally long.
    pub configuration: usize,
    /// Predicted work of the whole training, in any unit that all runs share. A run without it counts as the mean of
    /// the others.
    pub work: Option<u64>,
    /// Where it stands.
    pub standing: Standing,
    /// Number of steps in its newest checkpoint; 0 without one.
    pub checkpoint_step: u64,
}

/// Whether a scheduler works on the results folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Scheduler {
    /// It is not known.
    #[default]
    Unknown,
    /// Nothing works on it.
    Absent,
    /// This process does.
    Present {
        /// Process id.
        pid: u32,
        /// Time at which it took the folder: milliseconds since 1970, UTC. Its slots are those used since then.
        since_ms: u64,
    },
    /// A process of another machine has signed; whether it lives cannot be seen from here.
    Elsewhere {
        /// Process id.
        pid: u32,
        /// The machine.
        host: String,
    },
}

/// The lines of both journals of one attempt.
#[derive(Clone, Copy, Debug)]
pub struct AttemptJournals<'a> {
    /// Number of the attempt.
    pub attempt: u32,
    /// Lines of the attempt.
    pub journal: &'a [JournalLine<Event>],
    /// Lines of its supervisor.
    pub supervisor: &'a [JournalLine<SupervisorEvent>],
}

/// Where a run stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Queued,
    Running,
    Succeeded,
    Failed { status: Status, message: Option<String>, attempt: u32 },
    Pruned,
}

/// A run with what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) label: String,
    pub(crate) configuration: usize,
    /// Predicted work.
    pub(crate) weight: f64,
    pub(crate) stage: Stage,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) checkpoint_step: u64,
    /// Number of failures of the machine that were seen.
    pub(crate) failures: u32,
}

/// The progress of a sweep.
#[derive(Clone, Debug)]
pub struct Progress {
    pub(crate) setup: Setup,
    pub(crate) runs: Vec<Run>,
    places: BTreeMap<RunId, usize>,
    pub(crate) scheduler: Scheduler,
    /// Places of the slots that were used.
    pub(crate) slot_places: BTreeMap<u32, Place>,
    /// Number of slots that were used since the scheduler began.
    pub(crate) slots_seen: u32,
    /// Times of closed attempts.
    pub(crate) past: Paces,
    pub(crate) finished: FinishedPaces,
    /// Number of steps of the runs that have begun: `None` before any, `Some(None)` if they differ.
    pub(crate) steps: Option<Option<u64>>,
}

impl Progress {
    /// Makes the state of these runs, in the order of the plan.
    pub fn new(setup: Setup, runs: Vec<PlannedRun>) -> Self {
        let known: Vec<f64> =
            runs.iter().filter_map(|run| run.work).filter(|work| *work > 0).map(|w| w as f64).collect();
        let mean = if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
        let run = |planned: PlannedRun| Run {
            id: planned.run,
            label: planned.label,
            configuration: planned.configuration,
            weight: planned.work.filter(|work| *work > 0).map_or(mean, |work| work as f64),
            stage: match planned.standing {
                Standing::Queued => Stage::Queued,
                Standing::Succeeded => Stage::Succeeded,
                Standing::Pruned => Stage::Pruned,
                Standing::Failed { status, message, attempt } => {
                    let message = message.map(|message| printable(&message).into_owned());
                    Stage::Failed { status, message, attempt }
                }
            },
            attempt: None,
            checkpoint_step: planned.checkpoint_step,
            failures: 0,
        };
        let runs: Vec<Run> = runs.into_iter().map(run).collect();
        Self {
            setup,
            places: runs.iter().enumerate().map(|(at, run)| (run.id, at)).collect(),
            runs,
            scheduler: Scheduler::Unknown,
            slot_places: BTreeMap::new(),
            slots_seen: 0,
            past: Paces::default(),
            finished: FinishedPaces::default(),
            steps: None,
        }
    }

    /// Says that a run waits with a checkpoint after this number of steps.
    pub fn keep_checkpoint(&mut self, run: RunId, step: u64) {
        if let Some(&at) = self.places.get(&run) {
            self.runs[at].checkpoint_step = step;
        }
    }

    /// Says whether a scheduler is there.
    pub fn set_scheduler(&mut self, scheduler: Scheduler) {
        if self.scheduler == scheduler {
            return;
        }
        self.scheduler = scheduler;
        self.slots_seen = 0;
        let launches: Vec<(u32, u64)> = self.open_attempts().filter_map(|a| a.slot.zip(a.launched_ms)).collect();
        launches.into_iter().for_each(|(slot, at_ms)| self.use_slot(slot, at_ms));
    }

    /// Whether attempts are in the hands of a cluster, which goes on with them without a scheduler.
    pub(crate) fn is_on_cluster(&self) -> bool {
        let is_open = |attempt: &Attempt| attempt.is_open() && attempt.job.is_some();
        self.runs.iter().filter_map(|run| run.attempt.as_ref()).any(is_open)
    }

    fn open_attempts(&self) -> impl Iterator<Item = &Attempt> {
        let running = self.runs.iter().filter(|run| run.stage == Stage::Running);
        running.filter_map(|run| run.attempt.as_ref()).filter(|attempt| attempt.is_open())
    }

    fn use_slot(&mut self, slot: u32, at_ms: u64) {
        if !matches!(self.scheduler, Scheduler::Present { since_ms, .. } if at_ms < since_ms) {
            // A line that names a slot which cannot be in use says nothing about the machine.
            let most = u32::try_from(self.runs.len()).unwrap_or(u32::MAX);
            self.slots_seen = self.slots_seen.max(slot.saturating_add(1)).min(most);
        }
    }

    /// Applies new lines of an attempt's journal, and returns what they mean for a display. Lines of runs that the
    /// state does not have, and of attempts before the latest one, are ignored.
    pub fn apply_journal(&mut self, run: RunId, attempt: u32, lines: &[JournalLine<Event>]) -> Vec<News> {
        let Some(at) = self.begin_attempt(run, attempt) else { return Vec::new() };
        let known = &mut self.runs[at];
        let Some(latest) = known.attempt.as_mut().filter(|latest| latest.is_open()) else { return Vec::new() };
        let news = lines.iter().filter_map(|line| latest.said(run, line)).collect();
        known.checkpoint_step = latest.checkpoint_step.unwrap_or(known.checkpoint_step);
        // A supervisor's journal may be lost.
        if latest.begun.is_some() {
            known.stage = Stage::Running;
        }
        self.note_place(at);
        news
    }

    /// Applies new lines of an attempt's supervisor, as [`Self::apply_journal`] does.
    pub fn apply_supervisor(&mut self, run: RunId, attempt: u32, lines: &[JournalLine<SupervisorEvent>]) -> Vec<News> {
        let ended = |line: &JournalLine<SupervisorEvent>| match &line.event {
            SupervisorEvent::Closed { status, message, .. } => {
                Some(News::Ended { run, attempt, status: *status, message: message.clone() })
            }
            _ => None,
        };
        let Some(at) = self.begin_attempt(run, attempt) else {
            // A cluster starts a task again before the attempt of its first start is closed. The state is that of the
            // later attempt.
            return lines.iter().filter(|_| self.places.contains_key(&run)).filter_map(ended).collect();
        };
        let mut news = Vec::new();
        for line in lines {
            let known = &mut self.runs[at];
            let Some(latest) = &mut known.attempt else { continue };
            latest.supervised(line);
            match &line.event {
                SupervisorEvent::Launched { slot, .. } => {
                    known.stage = Stage::Running;
                    self.use_slot(*slot, line.at_ms);
                }
                // It waits in the queue of the cluster until it reports that it has begun.
                SupervisorEvent::Submitted { .. } => self.runs[at].stage = Stage::Queued,
                SupervisorEvent::Closed { status, message, .. } => {
                    self.close(at, *status, message.as_deref());
                    news.extend(ended(line));
                }
            }
        }
        news
    }

    /// Takes over the attempt of a run that has ended before this state was made: its times and its curve. The run's
    /// standing stays.
    pub fn recall(&mut self, run: RunId, journals: AttemptJournals<'_>) {
        let Some(&at) = self.places.get(&run) else { return };
        if self.runs[at].attempt.is_some() {
            return;
        }
        let mut attempt = Attempt::new(journals.attempt);
        journals.journal.iter().for_each(|line| drop(attempt.said(run, line)));
        journals.supervisor.iter().for_each(|line| attempt.supervised(line));
        self.past.add(&attempt, self.runs[at].weight);
        self.finished.add(&attempt, &self.runs[at]);
        self.runs[at].attempt = Some(attempt);
        self.note_place(at);
    }

    /// Says that a run was given up, since its folder cannot be used.
    pub fn give_up(&mut self, run: RunId, attempt: u32, why: &str) {
        let Some(&at) = self.places.get(&run) else { return };
        let (status, message) = (Status::Failed(FailureKind::Io), Some(why.to_owned()));
        self.runs[at].stage = Stage::Failed { status, message, attempt };
    }

    /// Forgets an open attempt, because its folder was removed.
    pub fn forget(&mut self, run: RunId, attempt: u32) {
        let Some(&at) = self.places.get(&run) else { return };
        let known = &mut self.runs[at];
        if known.attempt.as_ref().is_some_and(|latest| latest.number == attempt && latest.is_open()) {
            (known.attempt, known.stage, known.checkpoint_step) = (None, Stage::Queued, 0);
        }
    }

    /// Returns the place of a run, with this attempt as its latest one.
    fn begin_attempt(&mut self, run: RunId, attempt: u32) -> Option<usize> {
        let at = *self.places.get(&run)?;
        let known = &mut self.runs[at];
        match known.attempt.as_ref().map(|latest| latest.number) {
            Some(latest) if latest > attempt => None,
            Some(latest) if latest == attempt => Some(at),
            _ => {
                known.attempt = Some(Attempt::new(attempt));
                Some(at)
            }
        }
    }

    /// Remembers where the slot of an attempt is, and how many steps its run has.
    fn note_place(&mut self, at: usize) {
        let Some(attempt) = &self.runs[at].attempt else { return };
        let Some(begun) = &attempt.begun else { return };
        if let Some(slot) = attempt.slot {
            self.slot_places.insert(slot, begun.place.clone());
        }
        let Some(steps) = begun.steps() else { return };
        let is_other = self.steps.is_some_and(|known| known != Some(steps));
        self.steps = Some((!is_other).then_some(steps));
    }

    fn close(&mut self, at: usize, status: Status, message: Option<&str>) {
        let retries = self.setup.retries;
        let run = &mut self.runs[at];
        let Some(attempt) = &run.attempt else { return };
        self.past.add(attempt, run.weight);
        self.finished.add(attempt, run);
        let is_of_the_machine = matches!(status, Status::Failed(kind) if kind.is_of_the_machine());
        if is_of_the_machine {
            run.failures += 1;
        }
        run.stage = match status {
            Status::Succeeded => Stage::Succeeded,
            Status::Failed(_) if is_of_the_machine && run.failures <= retries => Stage::Queued,
            Status::Failed(_) | Status::TimedOut => {
                let message = message.map(|message| printable(message).into_owned());
                Stage::Failed { status, message, attempt: attempt.number }
            }
            Status::Pruned => Stage::Pruned,
            Status::Queued | Status::Running | Status::Incomplete | Status::Cancelled => Stage::Queued,
        };
    }

    pub(crate) fn run(&self, run: RunId) -> Option<&Run> {
        self.places.get(&run).map(|at| &self.runs[*at])
    }

    /// The name of a run for people; empty for a run that the state does not have.
    pub fn label(&self, run: RunId) -> &str {
        self.run(run).map_or("", |run| run.label.as_str())
    }

    /// Whether all values of a run are measured.
    pub fn has_succeeded(&self, run: RunId) -> bool {
        self.run(run).is_some_and(|run| run.stage == Stage::Succeeded)
    }

    /// The status of a run that has failed; `None` for any other run.
    pub fn failure(&self, run: RunId) -> Option<Status> {
        match self.run(run)?.stage {
            Stage::Failed { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Whether the state has a run.
    pub fn has(&self, run: RunId) -> bool {
        self.places.contains_key(&run)
    }

    /// The learning curve of a run's latest attempt, if its lines are known.
    pub fn curve(&self, run: RunId) -> Option<&Curve> {
        self.run(run)?.attempt.as_ref().map(|attempt| &attempt.curve)
    }

    /// Number of done steps of a run's latest attempt, counted from the beginning of the run.
    pub fn step(&self, run: RunId) -> u64 {
        self.run(run).and_then(|run| run.attempt.as_ref()).map_or(0, |attempt| attempt.step)
    }

    /// Number of epochs of a run; 0 if it has not begun, or if a command does not say it.
    pub fn epochs(&self, run: RunId) -> u32 {
        self.begun(run).map_or(0, |begun| begun.epochs)
    }

    /// Number of steps in an epoch of a run; 1 if it counts epochs only.
    pub fn steps_per_epoch(&self, run: RunId) -> u64 {
        self.begun(run).map_or(1, |begun| begun.steps_per_epoch)
    }

    fn begun(&self, run: RunId) -> Option<&Begun> {
        self.run(run)?.attempt.as_ref()?.begun.as_ref()
    }

    /// Number of runs at each stage.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { runs: self.runs.len(), ..Counts::default() };
        for run in &self.runs {
            *match run.stage {
                Stage::Queued => &mut counts.queued,
                Stage::Running => &mut counts.running,
                Stage::Succeeded => &mut counts.succeeded,
                Stage::Failed { .. } => &mut counts.failed,
                Stage::Pruned => &mut counts.pruned,
            } += 1;
        }
        counts
    }

    /// Share of a run's steps that are done. Runs that have ended count as a whole, also those that failed or were
    /// pruned: nothing of them is left to do.
    pub(crate) fn share_of(&self, run: &Run) -> f64 {
        match run.stage {
            Stage::Succeeded | Stage::Failed { .. } | Stage::Pruned => 1.0,
            Stage::Running => self.open_attempt(run).and_then(Attempt::share).unwrap_or_else(|| self.kept_share(run)),
            Stage::Queued => self.kept_share(run),
        }
    }

    fn open_attempt<'a>(&self, run: &'a Run) -> Option<&'a Attempt> {
        run.attempt.as_ref().filter(|attempt| attempt.is_open() && attempt.begun.is_some())
    }

    /// Share of the steps that the checkpoint of a run has. Before the run has begun, its number of steps is taken from
    /// the others, if all of them have the same.
    fn kept_share(&self, run: &Run) -> f64 {
        let own = run.attempt.as_ref().and_then(|attempt| attempt.begun.as_ref()).and_then(Begun::steps);
        own.or(self.steps.flatten()).map_or(0.0, |steps| ratio(run.checkpoint_step, steps))
    }

    /// Share of the predicted work that is done: from 0 to 1.
    pub fn share(&self) -> f64 {
        let whole: f64 = self.runs.iter().map(|run| run.weight).sum();
        let done: f64 = self.runs.iter().map(|run| run.weight * self.share_of(run)).sum();
        if whole > 0.0 { (done / whole).min(1.0) } else { 1.0 }
    }
}
