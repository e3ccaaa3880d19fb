//! Weights of chosen epochs, early stopping and class weights.

use std::fs;
use std::path::{Path, PathBuf};

use repmlp_train::config::RunConfig;
use sweep_protocol::{EpochWeightsName, Event, Form, Measurement, Metric, Outcome, Split};

use crate::fixture::{Bench, TINY, all_measured, measured};

/// A few images and a high learning rate: the network learns them by heart, and the loss of the validation images rises
/// after the first epochs, whatever the rounding.
const TRAINING: &str = r#"
[data]
source     = { kind = "fashion-mnist-5k" }
image_size = 32
validation = 0.01
train_limit = 16
test_limit  = 64

[training]
epochs    = 6
batch     = 8
optimizer = { kind = "sgd", learning_rate = 0.5, momentum = 0.9, nesterov = false, weight_decay = 0.0 }
schedule  = { kind = "constant", warmup_epochs = 0.0 }
"#;

fn config(more: &str) -> String {
    [TRAINING, more, TINY].concat()
}

const BEST: &str = "keep = { best = \"validation loss\" }\n";

/// Returns the value of each epoch.
fn series(measured: &[Measurement], metric: Metric, split: Split) -> Vec<f64> {
    let is_own = |m: &&Measurement| (m.metric, m.split, m.form) == (metric, Some(split), Some(Form::Training));
    measured.iter().filter(is_own).map(|m| m.value).collect()
}

fn single(measured: &[Measurement], metric: Metric, form: Form) -> Option<Measurement> {
    measured.iter().find(|m| m.metric == metric && m.form == Some(form)).copied()
}

fn epoch_files(folder: &Path) -> Vec<(u32, PathBuf)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.filter_map(|path| Some((EpochWeightsName::parse(path.file_name()?.to_str()?)?.epoch, path))).collect();
    files.sort();
    files
}

/// Returns the epoch with the smallest value. Epochs count from 1; of equal values, the first counts.
fn best_of(values: &[f64]) -> usize {
    let is_best = |value: &f64| values.iter().all(|other| other >= value);
    values.iter().position(is_best).unwrap() + 1
}

#[test]
fn the_deployed_form_has_the_weights_of_the_best_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(folder.path());
    let measured = bench.run(&config(BEST));
    let (validation, test) =
        (series(&measured, Metric::Loss, Split::Validation), series(&measured, Metric::Accuracy, Split::Test));
    let best = best_of(&validation);
    assert!((1..6).contains(&best), "the best epoch must not be the last one: {validation:?}");
    let deployed = single(&measured, Metric::Accuracy, Form::Deployed).unwrap();
    assert_eq!(deployed.epoch, Some(best as u32));
    // The forms agree on every image here, so the accuracies are equal.
    assert!((single_of_both(&measured) - 1.0).abs() < 1e-12);
    assert_eq!(deployed.value.to_bits(), test[best - 1].to_bits());
    let of_weights = single(&measured, Metric::EpochOfWeights, Form::Training).unwrap();
    assert_eq!(of_weights.value.to_bits(), (best as f64).to_bits());
    let files = epoch_files(&folder.path().join("1"));
    let (_, file) = files.iter().find(|(epoch, _)| *epoch == best as u32).unwrap();
    assert!(fs::read(file).unwrap() == bench.weights(1));
}

fn single_of_both(measured: &[Measurement]) -> f64 {
    measured.iter().find(|m| m.metric == Metric::Top1Agreement).unwrap().value
}

#[test]
fn a_run_that_keeps_its_best_epoch_continues_with_the_same_bits() {
    let (straight, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (straight, stopped) = (Bench::new(straight.path()), Bench::new(stopped.path()));
    let expected = straight.run(&config(BEST));
    // An epoch has 2 steps. Losses are read at the end of each epoch.
    assert_eq!(stopped.attempt(&config(BEST), 1, 4).1.unwrap(), Outcome::Stopped);
    assert_eq!(stopped.attempt(&config(BEST), 2, 8).1.unwrap(), Outcome::Stopped);
    let (events, outcome) = stopped.attempt(&config(BEST), 3, u64::MAX);
    assert_eq!(outcome.unwrap(), Outcome::Succeeded);
    assert_eq!(measured(&events), expected);
    assert!(straight.weights(1) == stopped.weights(3), "weights differ");
}

#[test]
fn a_run_whose_best_weights_are_damaged_starts_again() {
    let (straight, damaged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = Bench::new(straight.path()).run(&config(BEST));
    let bench = Bench::new(damaged.path());
    assert_eq!(bench.attempt(&config(BEST), 1, 8).1.unwrap(), Outcome::Stopped);
    for (_, file) in epoch_files(&damaged.path().join("1")) {
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    let (events, outcome) = bench.attempt(&config(BEST), 2, u64::MAX);
    assert_eq!(outcome.unwrap(), Outcome::Succeeded);
    let notes: Vec<&String> =
        events.iter().filter_map(|event| if let Event::Noticed { text } = event { Some(text) } else { None }).collect();
    assert!(notes.iter().any(|note| note.contains("the best so far; the run starts from the beginning")), "{notes:?}");
    assert_eq!(measured(&events), expected);
}

#[test]
fn the_last_epochs_are_kept_and_change_no_number() {
    let (plain, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = Bench::new(plain.path()).run(&config(""));
    let bench = Bench::new(kept.path());
    assert_eq!(bench.run(&config("keep = { last = 2 }\n")), expected);
    let files = epoch_files(&kept.path().join("1"));
    assert_eq!(files.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [5, 6]);
    assert!(fs::read(&files[1].1).unwrap() == bench.weights(1));
    assert!(epoch_files(&plain.path().join("1")).is_empty());
}

#[test]
fn a_training_without_improvement_stops_early_also_after_a_stop() {
    let stop = "stop_early = { watch = \"validation loss\", patience = 2 }\n";
    let (whole, early, stopped) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let whole = Bench::new(whole.path()).run(&config(""));
    let found = Bench::new(early.path()).run(&config(stop));
    let (all, values) =
        (series(&whole, Metric::Loss, Split::Validation), series(&found, Metric::Loss, Split::Validation));
    let epochs = values.len();
    assert!(epochs < 6, "{all:?}");
    assert_eq!(values, all[..epochs], "stopping changes no epoch before it");
    assert_eq!(best_of(&values), epochs - 2);
    assert!((1..epochs).all(|n| n - best_of(&all[..n]) < 2), "the patience was over before: {all:?}");
    let trained = single(&found, Metric::EpochsTrained, Form::Training).unwrap().value;
    assert_eq!(trained.to_bits(), (epochs as f64).to_bits());
    assert_eq!(single(&found, Metric::Accuracy, Form::Deployed).unwrap().epoch, Some(epochs as u32));

    let bench = Bench::new(stopped.path());
    assert_eq!(bench.attempt(&config(stop), 1, 4).1.unwrap(), Outcome::Stopped);
    let (events, outcome) = bench.attempt(&config(stop), 2, u64::MAX);
    assert_eq!(outcome.unwrap(), Outcome::Succeeded);
    assert_eq!(measured(&events), found);
}

#[test]
fn class_weights_change_the_training_and_equal_ones_do_not() {
    let run = |more: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (events, outcome) = Bench::new(folder.path()).attempt(&config(more), 1, u64::MAX);
        assert_eq!(outcome.unwrap(), Outcome::Succeeded);
        let losses = all_measured(&events).into_iter().filter(|m| m.metric == Metric::Loss);
        losses.map(|m| m.value).collect::<Vec<_>>()
    };
    let plain = run("");
    assert_eq!(run("class_weights = { kind = \"equal\" }\n"), plain);
    assert_ne!(run("class_weights = { kind = \"balanced\" }\n"), plain);
    // The same weight for all classes is only another order of the same sums: f32 rounds each by 6e-8. An epoch has two
    // steps, and one update, of rate 0.5, is between their losses. So 1e-5 leaves room for a growth by 100.
    let ones = run("class_weights = { kind = \"given\", weights = [2, 2, 2, 2, 2, 2, 2, 2, 2, 2] }\n");
    assert!((ones[0] - plain[0]).abs() < 1e-5 * plain[0], "{} and {}", ones[0], plain[0]);
}

#[test]
fn what_cannot_be_kept_or_watched_is_refused() {
    let faults = |from: &str, to: &str| {
        let text = config("").replace(from, to);
        let config: RunConfig = toml::from_str(&text).unwrap();
        config.faults().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let with = |more: &str| faults("[training]\n", &format!("[training]\n{more}\n"));
    assert_eq!(with("keep = {}"), ["training.keep: must have `best`, or `last` above 0"]);
    assert_eq!(with("keep = { last = 7 }"), ["training.keep.last: must not be above the number of epochs, 6"]);
    let watch = |rest: &str| with(&format!("stop_early = {{ watch = \"validation accuracy\", {rest} }}"));
    assert_eq!(watch("patience = 0"), ["training.stop_early.patience: must be at least 1"]);
    assert_eq!(watch("patience = 2, min_change = -0.1"), ["training.stop_early.min_change: must be at least 0"]);
    assert_eq!(
        with("keep = { best = \"validation mean_iou\" }"),
        ["training.keep.best: is not measured on a set of this kind"]
    );
    let without = faults("validation = 0.01", "validation = 0.0");
    assert!(without.is_empty(), "{without:?}");
    let both = TRAINING.replace("validation = 0.01", "validation = 0.00001");
    let config: RunConfig = toml::from_str(&[&both, BEST, TINY].concat()).unwrap();
    let text = "training.keep.best: needs validation images: set `data.validation` to a share of the training images, \
                such as 0.1";
    assert_eq!(config.faults().iter().map(ToString::to_string).collect::<Vec<_>>(), [text]);
    let test = config_with_test();
    assert!(test.contains("validation accuracy"), "{test}");
}

/// Test images cannot be watched: the error names what can.
fn config_with_test() -> String {
    let text = config("keep = { best = \"test accuracy\" }\n");
    toml::from_str::<RunConfig>(&text).unwrap_err().to_string()
}
