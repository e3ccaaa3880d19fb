//! A training that is stopped anywhere and continued ends with the same bits.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use repmlp_train::config::RunConfig;
use repmlp_train::{DeviceChoice, Orders, StopFlag, ThroughputTiming, TrainError, train};
use sweep_protocol::{Event, Measurement, MemorySink, Outcome, Sink, SinkError};

/// 96 images make 24 steps of 4 in an epoch; two epochs.
const CONFIG: &str = r#"
[data]
source     = { kind = "fashion-mnist-5k" }
image_size = 32
validation = 0.01
augment    = { crop_padding = 2, flip = true }
train_limit = 96
test_limit  = 32

[model]
kind   = "cifar-net"
widths = [2, 2, 2]
hidden = 8
block  = { kind = "rep-mlp", partition = [8, 8], groups = 1, local_kernels = [1, 3] }

[training]
epochs    = 2
batch     = 4
optimizer = { kind = "sgd", learning_rate = 0.05, momentum = 0.9, nesterov = true, weight_decay = 1e-4 }
schedule  = { kind = "cosine", warmup_epochs = 0.5 }

[measure]
batch   = 4
warmup  = 0
repeats = 1
"#;

/// Raises the flag when the training says that it has done so many steps.
struct StopAt<'a> {
    step: u64,
    flag: &'a StopFlag,
    heard: MemorySink,
}

impl Sink for StopAt<'_> {
    fn emit(&mut self, event: Event) -> Result<(), SinkError> {
        if matches!(event, Event::Progressed { step, .. } if step == self.step) {
            self.flag.store(true, Ordering::Relaxed);
        }
        self.heard.emit(event)
    }
}

fn orders(folder: &Path, resume_from: &[PathBuf]) -> Orders {
    Orders {
        device: DeviceChoice::Cpu,
        threads: 1,
        data: None,
        folder: folder.to_owned(),
        resume_from: resume_from.to_vec(),
        throughput: ThroughputTiming::Now,
        code: String::new(),
        host: String::new(),
    }
}

/// One attempt in a folder of its own, stopped after `stop_at` steps; what it said and how it ended.
fn attempt(config: &str, root: &Path, number: u32, stop_at: u64) -> (Vec<Event>, Result<Outcome, TrainError>) {
    let config: RunConfig = toml::from_str(config).unwrap();
    let folder = |n: u32| root.join(n.to_string());
    std::fs::create_dir_all(folder(number)).unwrap();
    let earlier: Vec<PathBuf> = (1..number).rev().map(folder).collect();
    let flag = StopFlag::new(false);
    let mut sink = StopAt { step: stop_at, flag: &flag, heard: MemorySink::default() };
    let outcome = train(&config, 7, &orders(&folder(number), &earlier), &flag, &mut sink);
    (sink.heard.events, outcome)
}

/// Everything measured that is no timing.
fn measured(events: &[Event]) -> Vec<Measurement> {
    let all = events.iter().filter_map(|event| match event {
        Event::Measured { measurements } => Some(measurements),
        _ => None,
    });
    all.flatten().filter(|m| !m.metric.is_timing()).copied().collect()
}

#[test]
fn stopping_within_epochs_changes_no_bit() {
    let (straight, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (events, outcome) = attempt(CONFIG, straight.path(), 1, u64::MAX);
    assert_eq!(outcome.unwrap(), Outcome::Succeeded);
    let expected = measured(&events);

    // Losses are read every ten steps and at the end of an epoch of 24: both stops lie within one.
    let mut actual = Vec::new();
    for (number, stop_at, expected) in
        [(1, 10, Outcome::Stopped), (2, 40, Outcome::Stopped), (3, u64::MAX, Outcome::Succeeded)]
    {
        let (events, outcome) = attempt(CONFIG, stopped.path(), number, stop_at);
        assert_eq!(outcome.unwrap(), expected);
        assert!(matches!(events.last(), Some(Event::Ended { outcome }) if *outcome == expected));
        actual.extend(measured(&events));
    }
    assert_eq!(actual, expected);
    let weights = |root: &Path, n: u32| std::fs::read(root.join(n.to_string()).join("weights.safetensors")).unwrap();
    assert!(weights(straight.path(), 1) == weights(stopped.path(), 3), "weights differ");
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_as_diverged() {
    let root = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("learning_rate = 0.05", "learning_rate = 1e12");
    let (events, outcome) = attempt(&config, root.path(), 1, u64::MAX);
    assert!(matches!(outcome, Err(TrainError::Diverged { .. })));
    let Some(Event::Ended { outcome: Outcome::Failed { failure, message } }) = events.last() else { panic!("no end") };
    assert_eq!(failure.name(), "diverged");
    assert!(message.contains("epoch 1"), "{message}");
}

#[test]
fn too_few_images_for_a_batch_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("batch     = 4", "batch     = 97");
    let (_, outcome) = attempt(&config, root.path(), 1, u64::MAX);
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains("training.batch: 96 training images do not fill one batch"), "{message}");
}
