//! Tests of the state as a whole: made-up journals with made-up times.

use sweep_protocol::{
    AttemptName, Environment, Event, FailureKind, Form, JournalLine, Measurement, Metric, ResultsLayout, RunId, Split,
    Status, SupervisorEvent,
};

use crate::{AttemptJournals, News, PlannedRun, Progress, Scheduler, Setup, Standing};

fn run(number: u64) -> RunId {
    RunId::of("{}", number)
}

/// Number of the first run with another configuration.
const OTHER: u64 = 10;

/// A state of runs with these amounts of work.
fn progress(works: &[u64], slots: Option<u32>) -> Progress {
    let planned = (0_u64..).zip(works).map(|(number, work)| PlannedRun {
        run: run(number),
        label: format!("groups={number}"),
        configuration: usize::from(number >= OTHER),
        work: (*work > 0).then_some(*work),
        standing: Standing::Queued,
        checkpoint_step: 0,
    });
    let setup = Setup {
        experiment: "groups".to_owned(),
        profile: "default".to_owned(),
        layout: ResultsLayout::new("results"),
        slots,
        retries: 1,
    };
    Progress::new(setup, planned.collect())
}

fn line<T>(at_s: f64, event: T) -> JournalLine<T> {
    JournalLine { seq: 0, at_ms: (at_s * 1000.0) as u64, event }
}

/// An attempt of a run with ten epochs of ten steps.
#[derive(Clone, Copy)]
struct Actor {
    run: u64,
    attempt: u32,
    slot: u32,
}

impl Actor {
    fn launched(self, at_s: f64) -> JournalLine<SupervisorEvent> {
        line(at_s, SupervisorEvent::Launched { pid: 1, slot: self.slot, process: None, of: None })
    }

    fn started(self, at_s: f64, resumed_at_step: u64) -> JournalLine<Event> {
        let environment = Environment {
            trainer_version: 1,
            code: "0".to_owned(),
            device: "cpu".to_owned(),
            arithmetic: None,
            processor: None,
            threads: 1,
            host: "here".to_owned(),
            pid: 1,
            data_fingerprint: "set".to_owned(),
        };
        line(at_s, Event::Started { environment, epochs: 10, steps_per_epoch: 10, resumed_at_step })
    }

    fn stepped(self, at_s: f64, step: u64) -> JournalLine<Event> {
        line(at_s, Event::Progressed { epoch: 0, step, loss: 1.0 / step as f64 })
    }

    /// Launches at a time. It begins at the same time.
    fn begin(self, progress: &mut Progress, at_s: f64, resumed_at_step: u64) -> Vec<News> {
        progress.apply_supervisor(run(self.run), self.attempt, &[self.launched(at_s)]);
        progress.apply_journal(run(self.run), self.attempt, &[self.started(at_s, resumed_at_step)])
    }

    fn step(self, progress: &mut Progress, at_s: f64, step: u64) -> Vec<News> {
        progress.apply_journal(run(self.run), self.attempt, &[self.stepped(at_s, step)])
    }

    fn close(self, progress: &mut Progress, at_s: f64, status: Status) {
        let message = (status != Status::Succeeded).then(|| "what happened".to_owned());
        let closed = SupervisorEvent::Closed { status, message, journal_lines: None, measured: None };
        progress.apply_supervisor(run(self.run), self.attempt, &[line(at_s, closed)]);
    }

    /// Trains a run from its begin to its end.
    fn complete(self, progress: &mut Progress, from_s: f64, to_s: f64) {
        self.begin(progress, from_s, 0);
        self.step(progress, to_s, 100);
        self.close(progress, to_s, Status::Succeeded);
    }
}

fn first_attempt(run: u64, slot: u32) -> Actor {
    Actor { run, attempt: 1, slot }
}

const CRASH: Status = Status::Failed(FailureKind::Crash);
const DIVERGED: Status = Status::Failed(FailureKind::Diverged);

/// Asserts that two numbers are equal up to rounding.
fn is(left: Option<f64>, right: f64) {
    assert!(left.is_some_and(|left| (left - right).abs() < 0.01), "{left:?} is not {right}");
}

#[test]
fn the_time_left_comes_from_what_was_measured() {
    let mut state = progress(&[100, 100, 200], Some(1));
    let first = first_attempt(0, 0);
    first.begin(&mut state, 10.0, 0);
    assert_eq!(state.seconds_left(11_000), None, "nothing is measured yet");
    first.step(&mut state, 20.0, 50);
    // Half of a run of work 100 took 10 s: 10 s for its other half, 20 s and 40 s for the others.
    is(state.seconds_left(20_000), 70.0);
    is(state.seconds_left(23_000), 67.0);
    assert!((state.share() - 50.0 / 400.0).abs() < 1e-9);
    first.step(&mut state, 30.0, 100);
    first.close(&mut state, 32.0, Status::Succeeded);
    // Its end took 2 s.
    is(state.seconds_left(32_000), 22.0 + 42.0);
}

#[test]
fn loading_is_not_counted_as_work() {
    let mut state = progress(&[100, 100], Some(1));
    let first = first_attempt(0, 0);
    state.apply_supervisor(run(0), 1, &[first.launched(0.0)]);
    state.apply_journal(run(0), 1, &[first.started(5.0, 0), first.stepped(6.0, 10)]);
    // 9 s for the rest of this run; 5 s for loading and 10 s for training of the other.
    is(state.seconds_left(6000), 9.0 + 15.0);
}

#[test]
fn slots_work_beside_each_other() {
    let mut state = progress(&[100, 100, 100, 100], Some(2));
    for slot in 0..2 {
        let actor = first_attempt(u64::from(slot), slot);
        actor.begin(&mut state, 0.0, 0);
        actor.step(&mut state, 10.0, 50);
    }
    is(state.seconds_left(10_000), 10.0 + 20.0);
    let mut alone = progress(&[100, 100], Some(4));
    first_attempt(0, 0).complete(&mut alone, 0.0, 20.0);
    is(alone.seconds_left(20_000), 20.0);
}

#[test]
fn steps_of_a_checkpoint_count_as_done_and_not_as_speed() {
    let mut state = progress(&[100, 100], Some(1));
    let first = first_attempt(0, 0);
    first.begin(&mut state, 0.0, 80);
    assert!((state.share() - 0.4).abs() < 1e-9);
    assert_eq!(state.seconds_left(500), None, "this attempt has made no step");
    first.step(&mut state, 10.0, 90);
    is(state.seconds_left(10_000), 10.0 + 100.0);
}

#[test]
fn a_checkpoint_of_a_waiting_run_counts_if_all_runs_have_the_same_steps() {
    let mut state = progress(&[100, 100], Some(1));
    state.keep_checkpoint(run(1), 50);
    assert!(state.share().abs() < 1e-9, "its number of steps is not known");
    first_attempt(0, 0).begin(&mut state, 0.0, 0);
    assert!((state.share() - 0.25).abs() < 1e-9);
}

#[test]
fn it_never_says_zero_while_a_run_is_unfinished() {
    let mut state = progress(&[100], Some(1));
    let first = first_attempt(0, 0);
    first.begin(&mut state, 0.0, 0);
    first.step(&mut state, 10.0, 100);
    for at_ms in [10_000, 60_000, 1_000_000] {
        is(state.seconds_left(at_ms), 1.0);
    }
    first.close(&mut state, 11.0, Status::Succeeded);
    assert_eq!(state.seconds_left(11_000), None);
    assert!((state.share() - 1.0).abs() < 1e-9);
}

#[test]
fn a_retry_is_left_to_do_and_a_failure_is_not() {
    let mut state = progress(&[100, 100], Some(1));
    let first = first_attempt(0, 0);
    first.begin(&mut state, 0.0, 0);
    first.step(&mut state, 10.0, 50);
    first.close(&mut state, 10.0, CRASH);
    assert_eq!((state.counts().queued, state.counts().failed), (2, 0));
    is(state.seconds_left(10_000), 40.0);
    assert!(state.view(10_000).queue[0].is_retry, "it comes first");
    let second = Actor { attempt: 2, ..first };
    second.begin(&mut state, 10.0, 0);
    assert!(state.share().abs() < 1e-9, "it has no checkpoint");
    second.close(&mut state, 12.0, CRASH);
    assert_eq!((state.counts().queued, state.counts().failed), (1, 1));
    first_attempt(1, 0).begin(&mut state, 12.0, 0);
    first_attempt(1, 0).close(&mut state, 13.0, DIVERGED);
    assert!(state.is_finished() && (state.share() - 1.0).abs() < 1e-9);
    let failures = state.view(13_000).failures;
    assert_eq!((failures[0].attempt, failures[0].reason), (2, Some("what happened")));
    assert!(failures[0].log.ends_with("attempts/2/log.txt"), "{}", failures[0].log);
}

#[test]
fn a_stopped_run_waits_at_its_checkpoint() {
    let mut state = progress(&[100], Some(1));
    let first = first_attempt(0, 0);
    first.begin(&mut state, 0.0, 0);
    let checkpoint = Event::Checkpointed { step: 40, file: "checkpoint".to_owned() };
    state.apply_journal(run(0), 1, &[first.stepped(9.0, 45), line(9.0, checkpoint)]);
    first.close(&mut state, 10.0, Status::Cancelled);
    assert!((state.share() - 0.4).abs() < 1e-9);
    assert_eq!(state.view(0).queue[0].checkpoint_step, 40);
}

#[test]
fn runs_without_predicted_work_count_as_the_mean() {
    let mut state = progress(&[0, 100, 300], Some(1));
    first_attempt(0, 0).complete(&mut state, 0.0, 20.0);
    assert!((state.share() - 200.0 / 600.0).abs() < 1e-9);
    let mut unknown = progress(&[0, 0], Some(1));
    first_attempt(0, 0).complete(&mut unknown, 0.0, 20.0);
    is(unknown.seconds_left(20_000), 20.0);
}

#[test]
fn a_command_without_epochs_is_measured_as_a_whole() {
    let mut state = progress(&[100, 100], Some(1));
    let first = first_attempt(0, 0);
    let mut started = first.started(0.0, 0);
    if let Event::Started { epochs, .. } = &mut started.event {
        *epochs = 0;
    }
    state.apply_supervisor(run(0), 1, &[first.launched(0.0)]);
    state.apply_journal(run(0), 1, &[started, first.stepped(5.0, 7)]);
    assert!(state.share().abs() < 1e-9 && state.seconds_left(5000).is_none());
    first.close(&mut state, 30.0, Status::Succeeded);
    is(state.seconds_left(30_000), 30.0);
}

fn slow(state: &mut Progress, at_s: f64) -> Option<f64> {
    state.find_slow((at_s * 1000.0) as u64).into_iter().find_map(|news| match news {
        News::Slow { times, .. } => Some(times),
        _ => None,
    })
}

#[test]
fn a_slow_attempt_is_told_once_after_two_finished_runs_of_its_configuration() {
    let works = [100, 200, 100, 100, 100];
    let mut state = progress(&works, Some(1));
    first_attempt(0, 0).complete(&mut state, 0.0, 100.0);
    let fourth = first_attempt(3, 0);
    fourth.begin(&mut state, 1000.0, 0);
    fourth.step(&mut state, 1100.0, 20);
    assert_eq!(slow(&mut state, 1100.0), None, "one finished run is too few");
    first_attempt(1, 0).complete(&mut state, 0.0, 200.0);
    first_attempt(2, 0).complete(&mut state, 0.0, 90.0);
    is(slow(&mut state, 1100.0), 5.0);
    assert_eq!(slow(&mut state, 1200.0), None, "it was told");
    is(state.slowness(run(3)), 5.0);
    let quick = first_attempt(4, 0);
    quick.begin(&mut state, 0.0, 0);
    quick.step(&mut state, 19.0, 10);
    assert_eq!(slow(&mut state, 20.0), None, "1.9 times as slow");
    // It hangs: after 200 s it should have ended long ago.
    assert_eq!(slow(&mut state, 199.0), None);
    assert!(slow(&mut state, 201.0).is_some());
}

#[test]
fn short_attempts_are_not_called_slow() {
    let mut state = progress(&[100; 4], Some(1));
    (0..3).for_each(|number| first_attempt(number, 0).complete(&mut state, 0.0, 1.0));
    let fourth = first_attempt(3, 0);
    fourth.begin(&mut state, 0.0, 0);
    fourth.step(&mut state, 9.0, 90);
    assert_eq!(slow(&mut state, 9.5), None);
    assert!(slow(&mut state, 10.5).is_some());
}

#[test]
fn an_observer_counts_the_slots_of_the_present_scheduler() {
    let mut state = progress(&[100; 4], None);
    first_attempt(0, 7).complete(&mut state, 0.0, 10.0);
    first_attempt(1, 0).begin(&mut state, 20.0, 0);
    state.set_scheduler(Scheduler::Present { pid: 1, since_ms: 15_000 });
    is(state.seconds_left(20_000), 10.0 + 20.0);
    assert_eq!(state.view(20_000).slots.len(), 1);
    state.set_scheduler(Scheduler::Absent);
    assert_eq!(state.seconds_left(20_000), None, "nothing goes on without a scheduler");
    let view = state.view(90_000);
    assert!(view.slots[0].running.as_ref().is_some_and(|running| running.seconds.abs() < 1e-9), "{:?}", view.slots);
}

#[test]
fn an_ended_attempt_is_recalled_with_its_curve_and_times() {
    let mut state = progress(&[100, 100], Some(1));
    state.runs[0].stage = crate::state::Stage::Succeeded;
    let first = first_attempt(0, 0);
    let loss = |epoch: u32, value: f64| Measurement {
        metric: Metric::Loss,
        split: Some(Split::Train),
        form: Some(Form::Training),
        epoch: Some(epoch),
        value,
    };
    let inherited = Event::Inherited { measurements: vec![loss(1, 2.0)] };
    let measured = Event::Measured { measurements: vec![loss(10, 1.0)] };
    let journal = [first.started(0.0, 10), line(0.0, inherited), line(90.0, measured)];
    let closed =
        SupervisorEvent::Closed { status: Status::Succeeded, message: None, journal_lines: None, measured: None };
    let supervisor = [first.launched(0.0), line(90.0, closed)];
    state.recall(run(0), AttemptJournals { attempt: 1, journal: &journal, supervisor: &supervisor });
    assert_eq!(state.curve(run(0)).unwrap().losses(), [(1, 2.0), (10, 1.0)]);
    assert_eq!(state.counts().succeeded, 1);
    is(state.seconds_left(90_000), 100.0);
}

#[test]
fn a_removed_attempt_is_forgotten() {
    let mut state = progress(&[100], Some(1));
    first_attempt(0, 0).begin(&mut state, 0.0, 0);
    state.forget(run(0), 2);
    assert_eq!(state.counts().running, 1);
    state.forget(run(0), 1);
    assert_eq!((state.counts().queued, state.counts().running), (1, 0));
}

#[test]
fn lines_of_unknown_runs_and_earlier_attempts_change_nothing() {
    let mut state = progress(&[100], Some(1));
    let second = Actor { attempt: 2, ..first_attempt(0, 0) };
    second.begin(&mut state, 0.0, 0);
    second.step(&mut state, 1.0, 20);
    let before = state.view(1000).share;
    assert!(first_attempt(0, 0).step(&mut state, 2.0, 90).is_empty());
    assert!(first_attempt(9, 0).begin(&mut state, 2.0, 0).is_empty());
    assert!((state.view(1000).share - before).abs() < 1e-9);
}

#[test]
fn the_view_is_json() {
    let mut state = progress(&[100, 100, 100, 100], Some(2));
    first_attempt(0, 0).complete(&mut state, 0.0, 10.0);
    first_attempt(1, 1).begin(&mut state, 0.0, 0);
    first_attempt(1, 1).close(&mut state, 2.0, DIVERGED);
    let third = first_attempt(2, 0);
    third.begin(&mut state, 10.0, 0);
    let accuracy = Measurement {
        metric: Metric::Accuracy,
        split: Some(Split::Validation),
        form: Some(Form::Training),
        epoch: Some(3),
        value: 0.75,
    };
    state.apply_journal(
        run(2),
        1,
        &[third.stepped(14.0, 30), line(14.0, Event::Measured { measurements: vec![accuracy] })],
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&state.view(15_000)).unwrap());
}

#[test]
fn an_attempt_of_a_cluster_waits_until_it_has_begun_and_needs_no_scheduler() {
    let mut state = progress(&[100, 100], None);
    state.set_scheduler(Scheduler::Absent);
    let submit = |state: &mut Progress, number: u64| {
        let of = AttemptName { run: run(number), attempt: 1 };
        let submitted = SupervisorEvent::Submitted { of, job: "7".to_owned(), task: number as u32 };
        state.apply_supervisor(run(number), 1, &[line(1.0, submitted)]);
    };
    submit(&mut state, 0);
    submit(&mut state, 1);
    let view = state.view(2000);
    assert!(view.is_on_cluster && view.slots.is_empty());
    assert_eq!(view.queue.iter().map(|waiting| waiting.job).collect::<Vec<_>>(), [Some("7_0"), Some("7_1")]);
    let first = first_attempt(0, 0);
    state.apply_journal(run(0), 1, &[first.started(10.0, 0), first.stepped(15.0, 50)]);
    let view = state.view(20_000);
    let running = view.slots[0].running.as_ref().unwrap();
    assert_eq!((running.job, view.slots[0].slot, view.counts.running, view.counts.queued), (Some("7_0"), None, 1, 1));
    // No scheduler is there, and the task goes on.
    is(Some(running.seconds), 10.0);
    is(view.seconds_left, 15.0 - 10.0 + 10.0 - 5.0);
}

#[test]
fn the_end_of_an_earlier_attempt_is_told_and_changes_nothing() {
    let mut state = progress(&[100], None);
    let first = first_attempt(0, 0);
    first.begin(&mut state, 1.0, 0);
    let second = Actor { attempt: 2, ..first };
    second.begin(&mut state, 5.0, 30);
    let message = Some("Slurm started it again".to_owned());
    let closed = SupervisorEvent::Closed { status: Status::Cancelled, message, journal_lines: None, measured: None };
    let news = state.apply_supervisor(run(0), 1, &[line(6.0, closed)]);
    assert!(matches!(news[..], [News::Ended { attempt: 1, status: Status::Cancelled, .. }]), "{news:?}");
    assert_eq!((state.counts().running, state.step(run(0))), (1, 30));
}

#[test]
fn a_run_is_compared_with_its_own_configuration_and_only_far_off_with_others() {
    // Runs from number 10 on have another configuration. Here it takes three times as long for its work.
    let mut state = progress(&[100; 14], Some(1));
    (0..3).for_each(|number| first_attempt(number, 0).complete(&mut state, 0.0, 100.0));
    let small = first_attempt(OTHER, 0);
    small.begin(&mut state, 0.0, 0);
    small.step(&mut state, 150.0, 50);
    assert_eq!(slow(&mut state, 151.0), None, "three times as slow as others may be its nature");
    assert!(slow(&mut state, 1001.0).is_some(), "ten times is not");
    (OTHER + 1..OTHER + 3).for_each(|number| first_attempt(number, 0).complete(&mut state, 0.0, 300.0));
    let last = first_attempt(OTHER + 3, 0);
    last.begin(&mut state, 0.0, 0);
    last.step(&mut state, 150.0, 50);
    assert_eq!(slow(&mut state, 590.0), None);
    is(slow(&mut state, 606.0), 2.02);
}

#[test]
fn pruned_runs_are_not_left_to_do() {
    let mut state = progress(&[100; 3], Some(1));
    first_attempt(0, 0).complete(&mut state, 0.0, 10.0);
    let second = first_attempt(1, 0);
    second.begin(&mut state, 10.0, 0);
    second.step(&mut state, 12.0, 20);
    second.close(&mut state, 12.0, Status::Pruned);
    let counts = state.counts();
    assert_eq!((counts.succeeded, counts.pruned, counts.queued), (1, 1, 1));
    // Ten seconds for one run, and nothing for the pruned one.
    is(state.seconds_left(12_000), 10.0);
    let view = state.view(12_000);
    let statuses: Vec<Status> = view.finished.iter().map(|finished| finished.status).collect();
    assert_eq!(statuses, [Status::Succeeded, Status::Pruned]);
    assert!(!state.is_finished());
    first_attempt(2, 0).complete(&mut state, 12.0, 22.0);
    assert!(state.is_finished());
}
