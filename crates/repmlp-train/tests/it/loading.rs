//! Trainings on image folders. The number of threads does not change the result, and a file that cannot be decoded is
//! an error.

use std::path::Path;

use repmlp_train::data::DataError;
use repmlp_train::{StopFlag, TrainError, train};
use sweep_protocol::{Event, FailureKind, MemorySink, Metric, Outcome, Sink, SinkError, Split};

use crate::fixture::{Bench, write_png};

/// 24 training images of two classes make 4 steps of 6 images per epoch.
const CONFIG: &str = r#"
[data]
source     = { kind = "image-folder", name = "stripes", classes = 2 }
image_size = 16
augment    = { flip = true, random_resized_crop = {}, auto_augment = { kind = "imagenet" }, mixup_alpha = 0.2 }
evaluate   = { resize = 20 }

[model]
kind   = "cifar-net"
widths = [2, 2, 2]
hidden = 4
block  = { kind = "rep-mlp", partition = [4, 4], groups = 1, local_kernels = [1, 3] }

[training]
epochs    = 2
batch     = 6
optimizer = { kind = "sgd", learning_rate = 0.05, momentum = 0.9, nesterov = true, weight_decay = 1e-4 }
schedule  = { kind = "cosine", warmup_epochs = 0.0 }

[measure]
batch   = 4
warmup  = 0
repeats = 1
"#;

/// Writes images with vertical or horizontal stripes.
fn write_stripes(folder: &Path) {
    for i in 0..32 {
        let (part, class) = (if i < 24 { "train" } else { "val" }, i % 2);
        let stripe = move |y: u32, x: u32, c: u32| ((if class == 0 { x } else { y }) * 60 + 9 * i + 30 * c) as u8;
        write_png(&folder.join(format!("stripes/{part}/{class}/{i}.png")), 18 + i % 5, 3, stripe);
    }
}

#[test]
fn the_number_of_loader_threads_changes_no_bit() {
    let data = tempfile::tempdir().unwrap();
    write_stripes(data.path());
    let runs: Vec<_> = [1, 3]
        .into_iter()
        .map(|threads| {
            let root = tempfile::tempdir().unwrap();
            let bench = Bench { data: Some(data.path()), threads, ..Bench::new(root.path()) };
            (bench.run(CONFIG), bench.weights(1))
        })
        .collect();
    assert!(runs[0] == runs[1], "measurements or weights differ");
    let accuracy = |m: &&sweep_protocol::Measurement| m.metric == Metric::Accuracy && m.split == Some(Split::Test);
    assert_eq!(runs[0].0.iter().filter(accuracy).count(), 3, "after both epochs, and deployed");
}

#[test]
fn an_epoch_reports_how_long_it_waited_for_batches() {
    let (data, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_stripes(data.path());
    let (events, outcome) = Bench { data: Some(data.path()), ..Bench::new(root.path()) }.attempt(CONFIG, 1, u64::MAX);
    outcome.unwrap();
    let seconds = |metric: Metric| -> Vec<f64> {
        let all = events.iter().filter_map(|event| match event {
            Event::Measured { measurements } => Some(measurements),
            _ => None,
        });
        all.flatten().filter(|m| m.metric == metric).map(|m| m.value).collect()
    };
    let (waited, trained) = (seconds(Metric::DataWait), seconds(Metric::TrainTime));
    assert_eq!((waited.len(), trained.len()), (2, 2));
    // The first batch of an epoch is never ready at once.
    assert!(waited.iter().zip(&trained).all(|(waited, trained)| 0.0 < *waited && waited < trained));
}

#[test]
fn a_file_that_cannot_be_decoded_ends_the_run_and_is_named() {
    let (data, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_stripes(data.path());
    let path = data.path().join("stripes/train/1/7.png");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 40]).unwrap();
    let bench = Bench { data: Some(data.path()), threads: 2, ..Bench::new(root.path()) };
    let (events, outcome) = bench.attempt(CONFIG, 1, u64::MAX);
    assert!(matches!(outcome, Err(TrainError::Data(DataError::Damaged { .. }))));
    let Some(Event::Ended { outcome: Outcome::Failed { failure, message }, .. }) = events.last() else {
        panic!("no end")
    };
    assert_eq!(*failure, FailureKind::Data);
    assert!(message.contains("train/1/7.png is damaged: expected a complete PNG"), "{message}");
}

/// Sink that overwrites the images of one class as soon as the first epoch is measured.
struct Replacing<'a> {
    folder: &'a Path,
    heard: MemorySink,
}

impl Sink for Replacing<'_> {
    fn emit(&mut self, event: Event) -> Result<(), SinkError> {
        if matches!(event, Event::Measured { .. }) {
            for i in (1..24).step_by(2) {
                let path = self.folder.join(format!("stripes/train/1/{i}.png"));
                write_png(&path, 18 + i % 5, 3, |y, x, c| (y * x + c) as u8);
            }
        }
        self.heard.emit(event)
    }
}

#[test]
fn images_that_are_replaced_during_a_training_end_it() {
    let (data, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_stripes(data.path());
    let bench = Bench { data: Some(data.path()), threads: 2, ..Bench::new(root.path()) };
    let mut sink = Replacing { folder: data.path(), heard: MemorySink::default() };
    let outcome = train(&toml::from_str(CONFIG).unwrap(), 7, &bench.resources(1), &StopFlag::new(false), &mut sink);
    assert!(matches!(outcome, Err(TrainError::Data(DataError::ChangedFile { .. }))), "{outcome:?}");
    let events = sink.heard.events;
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Measured { .. })).count(), 1);
    let Some(Event::Ended { outcome: Outcome::Failed { failure, message }, .. }) = events.last() else {
        panic!("no end")
    };
    assert_eq!(*failure, FailureKind::Data);
    assert!(
        message.contains("/stripes/train/1/") && message.contains("has changed since the set was read"),
        "{message}"
    );
}
