//! Drawings of one made-up sweep in several sizes.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use sweep_progress::{
    AttemptJournals, Curve, Place, PlannedRun, Progress, Running, Scheduler, Setup, SlotView, Standing, Told, View,
    Waiting,
};
use sweep_protocol::{Event, FailureKind, Form, JournalLine, Measurement, Metric, ResultsLayout, RunId, Split, Status};
use sweep_watch::{Choice, Colors, Input, Panel, Scene, Step, draw};

fn run(number: u64) -> RunId {
    RunId::of("{}", number)
}

/// The learning curve of a run with this number of epochs.
fn curve(epochs: u32) -> Curve {
    let measured = |metric: Metric, split: Split, epoch: u32, value: f64| Measurement {
        metric,
        split: Some(split),
        form: Some(Form::Training),
        epoch: Some(epoch),
        value,
    };
    let of_epoch = |epoch: u32| {
        let share = f64::from(epoch) / 12.0;
        let loss = measured(Metric::Loss, Split::Train, epoch, 2.3 * (-2.0 * share).exp());
        let accuracy = measured(Metric::Accuracy, Split::Validation, epoch, 0.9 - 0.8 * (-3.0 * share).exp());
        [loss, accuracy]
    };
    let event = Event::Measured { measurements: (1..=epochs).flat_map(of_epoch).collect() };
    let planned = PlannedRun {
        run: run(0),
        label: String::new(),
        configuration: 0,
        work: None,
        standing: Standing::Queued,
        checkpoint_step: 0,
    };
    let setup = Setup {
        experiment: String::new(),
        profile: String::new(),
        layout: ResultsLayout::new("results"),
        slots: None,
        retries: 0,
    };
    let mut progress = Progress::new(setup, vec![planned]);
    let journal = [JournalLine { seq: 0, at_ms: 0, event }];
    progress.recall(run(0), AttemptJournals { attempt: 1, journal: &journal, supervisor: &[] });
    progress.curve(run(0)).unwrap().clone()
}

/// The parts of a sweep that a view refers to.
struct Sweep {
    place: Place,
    curve: Curve,
    scheduler: Scheduler,
}

impl Sweep {
    fn new() -> Self {
        Self {
            place: Place { device: "cpu".to_owned(), threads: 1 },
            curve: curve(8),
            scheduler: Scheduler::Present { pid: 4242, since_ms: 0 },
        }
    }

    fn running<'a>(&'a self, number: u64, label: &'a str, times_slower: Option<f64>) -> Running<'a> {
        Running {
            run: run(number),
            label,
            attempt: 2,
            job: None,
            place: Some(&self.place),
            epoch: 8,
            epochs: Some(12),
            step: 845,
            steps: Some(1260),
            share: 0.67,
            loss: Some(0.6125),
            accuracy: Some(Told { split: Split::Validation, metric: Metric::Accuracy, epoch: 8, value: 0.7917 }),
            seconds: 83.0,
            times_slower,
            curve: &self.curve,
        }
    }

    /// A sweep with all kinds of runs.
    fn view(&self) -> View<'_> {
        let waiting = |number, label, checkpoint_step, is_retry| Waiting {
            run: run(number),
            label,
            checkpoint_step,
            is_retry,
            job: None,
        };
        let finished = |number, label, value: Option<f64>| sweep_progress::Finished {
            run: run(number),
            label,
            status: Status::Succeeded,
            seconds: value.map(|_| 130.0),
            accuracy: value.map(|value| Told { split: Split::Validation, metric: Metric::Accuracy, epoch: 12, value }),
        };
        let failed = |number, label, kind, reason| sweep_progress::Failed {
            run: run(number),
            label,
            status: Status::Failed(kind),
            reason,
            attempt: 1,
            log: "results/runs/3655e1c5de9bf1d8/attempts/1/log.txt".to_owned(),
        };
        View {
            experiment: "gfc_groups",
            profile: "smoke",
            at_ms: 0,
            scheduler: &self.scheduler,
            is_on_cluster: false,
            counts: sweep_progress::Counts { runs: 12, succeeded: 3, failed: 2, running: 2, queued: 5, pruned: 0 },
            share: 0.47,
            seconds_left: Some(745.0),
            slots: vec![
                SlotView { slot: Some(0), running: Some(self.running(1, "groups=2 seed 0", None)) },
                SlotView { slot: Some(1), running: Some(self.running(2, "groups=2 seed 1", Some(2.6))) },
                SlotView { slot: Some(2), running: None },
            ],
            queue: vec![
                waiting(3, "groups=8 seed 0", 0, true),
                waiting(4, "groups=4 seed 0", 120, false),
                waiting(5, "groups=4 seed 1", 0, false),
                waiting(6, "groups=4 seed 2", 0, false),
                waiting(7, "groups=8 a label that is far too long for its column seed 1", 0, false),
            ],
            finished: vec![
                finished(8, "groups=1 seed 0", None),
                finished(9, "groups=1 seed 1", Some(0.8125)),
                finished(10, "groups=1 seed 2", Some(0.8033)),
            ],
            failures: vec![
                failed(11, "groups=2 seed 2", FailureKind::Diverged, Some("the loss is NaN at step 17")),
                failed(12, "groups=8 seed 2", FailureKind::Crash, None),
            ],
        }
    }
}

fn drawn(scene: &Scene<'_>, choice: &Choice, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, scene, choice)).unwrap();
    // Each row is shown in quotes.
    terminal.backend().to_string()
}

fn choice(view: &View<'_>, inputs: &[Input]) -> Choice {
    let mut choice = Choice::default();
    inputs.iter().for_each(|input| assert_eq!(choice.follow(*input, Some(view)), Step::Draw));
    choice
}

#[test]
fn the_screen_in_several_sizes() {
    let sweep = Sweep::new();
    let view = sweep.view();
    let scene = Scene { view: Some(&view), curve: Some(&sweep.curve), note: "", colors: Colors::Off };
    for size in [(80, 24), (120, 40), (50, 18), (40, 10), (20, 5)] {
        insta::assert_snapshot!(format!("{}x{}", size.0, size.1), drawn(&scene, &Choice::default(), size));
    }
}

#[test]
fn a_failure_is_explained_and_a_slow_run_too() {
    let sweep = Sweep::new();
    let view = sweep.view();
    let failures = choice(&view, &[Input::FormerPanel]);
    assert_eq!(failures.panel(), Panel::Failures);
    let scene = Scene { view: Some(&view), curve: None, note: "2 lines are damaged", colors: Colors::Off };
    insta::assert_snapshot!("failure", drawn(&scene, &failures, (80, 24)));
    let slow = choice(&view, &[Input::Rows(1)]);
    insta::assert_snapshot!("slow", drawn(&Scene { note: "", ..scene }, &slow, (80, 24)));
}

#[test]
fn sweeps_that_are_over_or_have_no_scheduler_or_have_not_begun() {
    let sweep = Sweep { scheduler: Scheduler::Absent, ..Sweep::new() };
    let gone = View { seconds_left: None, ..sweep.view() };
    let scene = Scene { view: Some(&gone), curve: None, note: "", colors: Colors::Off };
    insta::assert_snapshot!("no_scheduler", drawn(&scene, &Choice::default(), (70, 16)));
    let counts = sweep_progress::Counts { runs: 12, succeeded: 10, failed: 2, running: 0, queued: 0, pruned: 0 };
    let over = View { counts, share: 1.0, ..gone.clone() };
    let finished = Scene { view: Some(&over), ..scene.clone() };
    insta::assert_snapshot!("finished", drawn(&finished, &Choice::default(), (70, 2)));
    let none = Scene { view: None, note: "results: nothing has been run in this results folder", ..scene };
    insta::assert_snapshot!("not_begun", drawn(&none, &Choice::default(), (40, 5)));
}

#[test]
fn no_size_and_no_selection_panics() {
    let sweep = Sweep::new();
    let full = sweep.view();
    let empty = View {
        slots: Vec::new(),
        queue: Vec::new(),
        finished: Vec::new(),
        failures: Vec::new(),
        share: 0.0,
        ..full.clone()
    };
    let curves = [Curve::default(), curve(1), curve(8)];
    for view in [&full, &empty] {
        for panels in 0..4 {
            let inputs = [vec![Input::NextPanel; panels], vec![Input::Last]].concat();
            let choice = choice(view, &inputs);
            for (width, height) in (1..=130).step_by(7).flat_map(|width| (1..=45).map(move |height| (width, height))) {
                let curve = curves.get(usize::from(height % 4));
                let scene = Scene { view: Some(view), curve, note: "", colors: Colors::On };
                drawn(&scene, &choice, (width, height));
            }
        }
    }
}

#[test]
fn the_selection_stays_inside_a_list_and_the_latest_finished_run_is_first() {
    let sweep = Sweep::new();
    let view = sweep.view();
    let mut choice = choice(&view, &[Input::Rows(-3)]);
    assert_eq!(choice.run(&view), Some(run(1)));
    choice.follow(Input::Rows(99), Some(&view));
    assert_eq!(choice.run(&view), None, "the last slot is idle");
    choice.follow(Input::NextPanel, Some(&view));
    choice.follow(Input::NextPanel, Some(&view));
    assert_eq!((choice.panel(), choice.run(&view)), (Panel::Finished, Some(run(10))));
    choice.follow(Input::Last, Some(&view));
    assert_eq!(choice.run(&view), Some(run(8)));
    let shorter = View { finished: view.finished[..2].to_vec(), ..view.clone() };
    assert_eq!(choice.run(&shorter), Some(run(8)), "the last row that there is");
    assert_eq!(choice.follow(Input::Leave, Some(&view)), Step::Leave);
    assert_eq!(choice.follow(Input::Redraw, None), Step::Redraw);
}
