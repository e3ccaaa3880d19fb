//! What is known of a sweep while it runs. Pure: it reads no file and no clock.

use std::collections::BTreeMap;

use serde::Serialize;
use sweep_protocol::{
    Event, Form, JournalLine, Measurement, Metric, PlanRecord, RunId, RunRow, Split, Status, SupervisorEvent,
};

/// A run whose seconds per step exceed this multiple of the median is slow.
const SLOW: f64 = 2.0;
/// Number of other runs that a median needs.
const FEWEST: usize = 3;

/// A sweep: one experiment under one profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepState {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the profile.
    pub profile: String,
    /// All runs, in plan order.
    pub runs: Vec<RunState>,
    #[serde(skip)]
    places: BTreeMap<RunId, usize>,
}

/// A run, as its latest attempt reports it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunState {
    /// Its identity.
    pub run: RunId,
    /// Its coordinates, and its seed if there are several.
    pub label: String,
    /// Its status.
    pub status: Status,
    /// Number of its latest attempt; 0 before the first one.
    pub attempt: u32,
    /// Why it did not succeed.
    pub message: Option<String>,
    /// Where it runs: `slot 0` or `Slurm 12_3`.
    pub place: Option<String>,
    /// Device of the latest attempt.
    pub device: Option<String>,
    /// Name of the machine of the latest attempt.
    pub host: Option<String>,
    /// Time at which the attempt began to train, in milliseconds since 1970.
    pub begun_at_ms: Option<u64>,
    /// Time of its last step, in milliseconds since 1970.
    pub stepped_at_ms: Option<u64>,
    /// Number of epochs of the run; 0 if not known.
    pub epochs: u32,
    /// Number of steps of the run; 0 if not known.
    pub steps: u64,
    /// Number of steps that are done.
    pub step: u64,
    /// Number of steps that were done when the attempt began.
    pub resumed_at_step: u64,
    /// Loss of the latest step.
    pub loss: Option<f64>,
    /// Values after each epoch.
    pub curve: Vec<CurvePoint>,
}

/// Values after an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Number of epochs that are done.
    pub epoch: u32,
    /// Loss on the training images.
    pub loss: Option<f64>,
    /// Share of images that are classified correctly: on the validation images, else on the test images.
    pub accuracy: Option<f64>,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Number of runs that succeeded.
    pub done: usize,
    /// Number of runs that failed.
    pub failed: usize,
    /// Number of runs with an open attempt.
    pub running: usize,
    /// Number of other runs.
    pub queued: usize,
    /// Share of all steps of the plan that are done, in [0, 1].
    pub share: f64,
    /// Seconds until all runs are finished; `None` until a step was timed.
    pub seconds_left: Option<f64>,
}

impl SweepState {
    /// Returns the state of a plan, with what is known of its runs.
    pub fn new(plan: &PlanRecord, rows: &[RunRow]) -> Self {
        let known: BTreeMap<RunId, &RunRow> = rows.iter().map(|row| (row.run, row)).collect();
        let seeds = plan.runs.iter().map(|run| run.seed).collect::<std::collections::BTreeSet<_>>().len();
        let run = |planned: &sweep_protocol::PlannedRunRecord| {
            let row = known.get(&planned.run);
            let coordinates = planned.coordinates.to_string();
            let name = if coordinates.is_empty() { planned.run.short() } else { coordinates };
            RunState {
                run: planned.run,
                label: if seeds > 1 { format!("{name} seed {}", planned.seed) } else { name },
                status: row.map(|row| row.status).unwrap_or_default(),
                attempt: row.map_or(0, |row| row.attempts),
                message: row.and_then(|row| row.message.clone()),
                place: None,
                device: None,
                host: None,
                begun_at_ms: None,
                stepped_at_ms: None,
                epochs: 0,
                steps: 0,
                step: row.map_or(0, |row| row.checkpoint_step),
                resumed_at_step: 0,
                loss: None,
                curve: Vec::new(),
            }
        };
        let runs: Vec<RunState> = plan.runs.iter().map(run).collect();
        let places = runs.iter().enumerate().map(|(place, run)| (run.run, place)).collect();
        Self { experiment: plan.experiment.clone(), profile: plan.profile.clone(), runs, places }
    }

    /// Returns a run of the plan.
    pub fn run(&self, run: RunId) -> Option<&RunState> {
        self.places.get(&run).map(|place| &self.runs[*place])
    }

    /// Records a line of the supervisor of an attempt. Lines of earlier attempts are ignored.
    pub fn supervised(&mut self, run: RunId, attempt: u32, line: &JournalLine<SupervisorEvent>) {
        let Some(state) = self.latest(run, attempt) else { return };
        match &line.event {
            SupervisorEvent::Launched { slot, .. } => {
                state.status = Status::Running;
                state.place = Some(format!("slot {slot}"));
            }
            SupervisorEvent::Submitted { job, task, .. } => {
                state.status = Status::Running;
                state.place = Some(format!("Slurm {job}_{task}"));
            }
            SupervisorEvent::Closed { status, message, .. } => {
                state.status = *status;
                state.message.clone_from(message);
            }
        }
    }

    /// Records a line of an attempt. Lines of earlier attempts are ignored.
    pub fn reported(&mut self, run: RunId, attempt: u32, line: &JournalLine<Event>) {
        let Some(state) = self.latest(run, attempt) else { return };
        match &line.event {
            Event::Started { environment, epochs, steps_per_epoch, resumed_at_step } => {
                state.device = Some(environment.device.clone());
                state.host = Some(environment.host.clone());
                state.begun_at_ms = Some(line.at_ms);
                state.epochs = *epochs;
                state.steps = u64::from(*epochs) * u64::from(*steps_per_epoch).max(1);
                state.step = *resumed_at_step;
                state.resumed_at_step = *resumed_at_step;
            }
            Event::Progressed { step, loss, .. } => {
                state.stepped(*step, line.at_ms);
                state.loss = Some(*loss);
            }
            Event::Measured { measurements } => {
                measurements.iter().for_each(|measurement| state.measured(measurement));
                let epoch = measurements.iter().filter_map(|m| m.epoch).max().filter(|epoch| *epoch <= state.epochs);
                let steps_per_epoch = state.steps.checked_div(state.epochs.into()).unwrap_or(0);
                if let Some(epoch) = epoch {
                    state.stepped(u64::from(epoch) * steps_per_epoch, line.at_ms);
                }
            }
            Event::Inherited { measurements } => {
                measurements.iter().for_each(|measurement| state.measured(measurement));
            }
            Event::Noticed { .. } | Event::Checkpointed { .. } | Event::Ended { .. } => {}
        }
    }

    /// Returns the run if this is its latest attempt. A later attempt begins with a clean state.
    fn latest(&mut self, run: RunId, attempt: u32) -> Option<&mut RunState> {
        let state = &mut self.runs[*self.places.get(&run)?];
        if attempt < state.attempt {
            return None;
        }
        if attempt > state.attempt {
            let RunState { run, label, step, epochs, steps, .. } = state.clone();
            let status = Status::Running;
            let empty = (None, None, None, None, None, None);
            let (message, place, device, host, begun_at_ms, stepped_at_ms) = empty;
            *state = RunState {
                run,
                label,
                status,
                attempt,
                message,
                place,
                device,
                host,
                begun_at_ms,
                stepped_at_ms,
                epochs,
                steps,
                step,
                resumed_at_step: 0,
                loss: None,
                curve: Vec::new(),
            };
        }
        Some(state)
    }

    /// Says how far the sweep is. The time that is left counts every run that is not finished, also those that wait.
    pub fn estimate(&self) -> Estimate {
        let of = |is: fn(Status) -> bool| self.runs.iter().filter(|run| is(run.status)).count();
        let done = of(|status| status == Status::Succeeded);
        let failed = of(|status| matches!(status, Status::Failed(_) | Status::TimedOut));
        let running = of(|status| status == Status::Running);
        let mut known: Vec<u64> = self.runs.iter().map(|run| run.steps).filter(|steps| *steps > 0).collect();
        known.sort_unstable();
        // Runs that have not begun count as the median of the others.
        let usual = known.get(known.len() / 2).copied().unwrap_or(1);
        let steps = |run: &RunState| if run.steps > 0 { run.steps } else { usual };
        let left = |run: &RunState| match run.status {
            Status::Succeeded | Status::Failed(_) | Status::TimedOut => 0,
            _ => steps(run).saturating_sub(run.step),
        };
        let (whole, rest): (u64, u64) = (self.runs.iter().map(steps).sum(), self.runs.iter().map(left).sum());
        let timed: Vec<(u64, f64)> = self.runs.iter().filter_map(RunState::timed).collect();
        let (timed_steps, seconds) = timed.iter().fold((0, 0.0), |sum, run| (sum.0 + run.0, sum.1 + run.1));
        let seconds_left =
            (timed_steps > 0 && running > 0).then(|| rest as f64 * seconds / timed_steps as f64 / running as f64);
        Estimate {
            done,
            failed,
            running,
            queued: self.runs.len() - done - failed - running,
            share: if whole > 0 { (whole - rest.min(whole)) as f64 / whole as f64 } else { 0.0 },
            seconds_left: if rest == 0 { Some(0.0) } else { seconds_left },
        }
    }

    /// Whether a step of a running run takes more than twice as long as the median of the other runs.
    pub fn is_slow(&self, run: &RunState) -> bool {
        let pace = |run: &RunState| run.timed().map(|(steps, seconds)| seconds / steps as f64);
        let others = self.runs.iter().filter(|other| other.run != run.run && other.device == run.device);
        let mut others: Vec<f64> = others.filter_map(pace).collect();
        others.sort_by(f64::total_cmp);
        let median = others.get(others.len() / 2).copied();
        let is_above = |own: f64| median.is_some_and(|median| own > SLOW * median);
        run.status == Status::Running && others.len() >= FEWEST && pace(run).is_some_and(is_above)
    }
}

impl RunState {
    /// Whether its latest attempt is open.
    pub fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    /// Returns the latest accuracy.
    pub fn accuracy(&self) -> Option<f64> {
        self.curve.iter().rev().find_map(|point| point.accuracy)
    }

    /// Returns the number of epochs that are done.
    pub fn epoch(&self) -> u32 {
        let steps_per_epoch = self.steps.checked_div(self.epochs.into()).unwrap_or(0);
        let done = self.step.checked_div(steps_per_epoch).unwrap_or(0);
        u32::try_from(done).unwrap_or(u32::MAX).min(self.epochs)
    }

    /// Returns the steps of the latest attempt and their seconds, if there are any.
    fn timed(&self) -> Option<(u64, f64)> {
        let steps = self.step.saturating_sub(self.resumed_at_step);
        let ms = self.stepped_at_ms?.saturating_sub(self.begun_at_ms?);
        (steps > 0 && ms > 0).then_some((steps, ms as f64 / 1000.0))
    }

    fn stepped(&mut self, step: u64, at_ms: u64) {
        self.step = self.step.max(step);
        self.stepped_at_ms = Some(at_ms);
    }

    fn measured(&mut self, m: &Measurement) {
        let Some(epoch) = m.epoch.filter(|_| m.form != Some(Form::Deployed)) else { return };
        let place = self.curve.partition_point(|point| point.epoch < epoch);
        if self.curve.get(place).is_none_or(|point| point.epoch != epoch) {
            self.curve.insert(place, CurvePoint { epoch, ..CurvePoint::default() });
        }
        let point = &mut self.curve[place];
        match (m.metric, m.split) {
            (Metric::Loss, Some(Split::Train)) => point.loss = Some(m.value),
            (Metric::Accuracy | Metric::VerificationAccuracy, Some(Split::Validation)) => {
                point.accuracy = Some(m.value);
            }
            (Metric::Accuracy | Metric::VerificationAccuracy, Some(Split::Test)) => {
                point.accuracy = point.accuracy.or(Some(m.value));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, proptest};
    use sweep_protocol::{Coordinates, Environment, FailureKind, Outcome, PlannedRunRecord};

    use super::*;

    pub(crate) fn id(seed: u64) -> RunId {
        RunId::of("{}", seed)
    }

    /// Makes the plan of an experiment with this number of runs, which differ in an axis.
    pub(crate) fn plan(runs: u64) -> PlanRecord {
        let planned = |seed| PlannedRunRecord {
            run: id(seed),
            seed: 0,
            coordinates: Coordinates(vec![("groups".to_owned(), seed.to_string())]),
            networks: BTreeMap::new(),
        };
        PlanRecord {
            experiment: "groups".to_owned(),
            profile: "default".to_owned(),
            question: String::new(),
            axes: Vec::new(),
            baseline: Coordinates::default(),
            runs: (0..runs).map(planned).collect(),
            exclusions: Vec::new(),
            metrics: Vec::new(),
            commands: false,
            scale: None,
            source: None,
        }
    }

    fn line<T>(at_ms: u64, event: T) -> JournalLine<T> {
        JournalLine { seq: 0, at_ms, event }
    }

    fn started(epochs: u32, resumed_at_step: u64) -> Event {
        let environment = Environment {
            trainer_version: 1,
            code: String::new(),
            device: "cpu".to_owned(),
            arithmetic: None,
            processor: None,
            threads: 1,
            host: "here".to_owned(),
            pid: 1,
            data_fingerprint: String::new(),
        };
        Event::Started { environment, epochs, steps_per_epoch: 10, resumed_at_step }
    }

    fn launched(slot: u32) -> SupervisorEvent {
        SupervisorEvent::Launched { pid: 1, slot, process: None, of: None }
    }

    fn closed(status: Status, message: Option<&str>) -> SupervisorEvent {
        let message = message.map(str::to_owned);
        SupervisorEvent::Closed { status, message, journal_lines: None, measured: None }
    }

    fn after_epoch(epoch: u32, accuracy: f64) -> Event {
        let value =
            |metric, split, value| Measurement { metric, split: Some(split), form: None, epoch: Some(epoch), value };
        let measurements =
            vec![value(Metric::Loss, Split::Train, 1.0), value(Metric::Accuracy, Split::Validation, accuracy)];
        Event::Measured { measurements }
    }

    /// A sweep of six runs: one done, one failed, three running with one of them slow, one that waits.
    pub(crate) fn sweep() -> SweepState {
        let mut state = SweepState::new(&plan(6), &[]);
        for (run, ms) in [(0, 100), (1, 100), (2, 110), (3, 120), (4, 400)] {
            let run_id = id(run);
            state.supervised(run_id, 1, &line(0, launched(u32::try_from(run).unwrap())));
            state.reported(run_id, 1, &line(1000, started(4, 0)));
            for epoch in 1..=2_u32 {
                let at_ms = 1000 + ms * 10 * u64::from(epoch);
                state.reported(run_id, 1, &line(at_ms, after_epoch(epoch, 0.2 * f64::from(epoch))));
            }
        }
        for epoch in 3..=4 {
            state.reported(id(0), 1, &line(1000 + 1000 * u64::from(epoch), after_epoch(epoch, 0.7)));
        }
        state.reported(id(0), 1, &line(5000, Event::Ended { outcome: Outcome::Succeeded, measured: None }));
        state.supervised(id(0), 1, &line(5000, closed(Status::Succeeded, None)));
        let why = Some("loss is not a number");
        state.supervised(id(1), 1, &line(5000, closed(Status::Failed(FailureKind::Diverged), why)));
        state
    }

    #[test]
    fn the_time_that_is_left_counts_every_unfinished_run() {
        let state = sweep();
        let Estimate { done, failed, running, queued, share, seconds_left } = state.estimate();
        assert_eq!((done, failed, running, queued), (1, 1, 3, 1));
        // Left are 20 steps of each running run and the 40 of the one that waits, out of 6 times 40.
        assert!((share - (240.0 - 100.0) / 240.0).abs() < 1e-12, "{share}");
        // 120 steps took 4 + 2 + 2.2 + 2.4 + 8 s; three runs work on the 100 that are left.
        let expected = 100.0 * 18.6 / 120.0 / 3.0;
        assert!((seconds_left.unwrap() - expected).abs() < 1e-9, "{seconds_left:?}");
    }

    #[test]
    fn a_run_that_is_much_slower_than_the_others_is_slow() {
        let state = sweep();
        let slow: Vec<&str> =
            state.runs.iter().filter(|run| state.is_slow(run)).map(|run| run.label.as_str()).collect();
        assert_eq!(slow, ["groups=4"]);
    }

    #[test]
    fn steps_before_a_resume_are_done_but_took_no_time() {
        let mut state = SweepState::new(&plan(1), &[]);
        state.supervised(id(0), 2, &line(0, launched(0)));
        state.reported(id(0), 2, &line(1000, started(4, 30)));
        assert_eq!(state.estimate().seconds_left, None);
        state.reported(id(0), 2, &line(2000, Event::Progressed { epoch: 3, step: 35, loss: 0.5 }));
        let Estimate { share, seconds_left, .. } = state.estimate();
        assert!((share - 35.0 / 40.0).abs() < 1e-12);
        assert!((seconds_left.unwrap() - 1.0).abs() < 1e-9, "five steps took a second, and five are left");
    }

    #[test]
    fn lines_of_an_earlier_attempt_change_nothing() {
        let mut state = sweep();
        state.supervised(id(2), 2, &line(9000, launched(7)));
        let before = state.clone();
        state.reported(id(2), 1, &line(9500, Event::Progressed { epoch: 3, step: 39, loss: 0.1 }));
        state.supervised(id(2), 1, &line(9500, closed(Status::Succeeded, None)));
        assert_eq!(state, before);
        assert_eq!(state.run(id(2)).unwrap().place.as_deref(), Some("slot 7"));
    }

    proptest! {
        /// Whatever journals say, shares and times are sensible numbers.
        #[test]
        fn estimates_are_finite(
            steps in vec((0_u64..6, any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>()), 0..40),
        ) {
            let mut state = SweepState::new(&plan(6), &[]);
            for (run, epochs, step, at_ms, attempt) in steps {
                state.supervised(id(run), attempt, &line(at_ms, launched(0)));
                state.reported(id(run), attempt, &line(at_ms, started(epochs, step)));
                state.reported(id(run), attempt, &line(at_ms, Event::Progressed { epoch: 0, step, loss: f64::NAN }));
                let Estimate { share, seconds_left, .. } = state.estimate();
                prop_assert!((0.0..=1.0).contains(&share));
                prop_assert!(seconds_left.is_none_or(|seconds| seconds >= 0.0 && seconds.is_finite()));
            }
        }
    }
}
