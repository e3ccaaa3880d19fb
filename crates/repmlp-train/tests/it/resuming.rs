//! A training that is stopped and resumed ends with the same bits.

use std::collections::BTreeSet;

use repmlp_train::TrainError;
use sweep_protocol::{Event, Form, Measurement, Metric, Outcome, Split, Tally};

use crate::fixture::{Bench, TINY, all_measured, measured};

/// 96 images make 24 steps of 4 images per epoch. There are two epochs.
const TRAINING: &str = r#"
[data]
source     = { kind = "fashion-mnist-5k" }
image_size = 32
validation = 0.01
augment    = { crop_padding = 2, flip = true }
train_limit = 96
test_limit  = 32

[training]
epochs    = 2
batch     = 4
optimizer = { kind = "sgd", learning_rate = 0.05, momentum = 0.9, nesterov = true, weight_decay = 1e-4 }
schedule  = { kind = "cosine", warmup_epochs = 0.5 }
"#;

fn config() -> String {
    [TRAINING, TINY].concat()
}

#[test]
fn stopping_within_epochs_changes_no_bit() {
    stopped_equals_straight(&config());
}

#[test]
fn what_a_run_predicted_gives_the_accuracy_that_it_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (events, _) = Bench::new(folder.path()).attempt(&config(), 1, u64::MAX);
    let predicted: Vec<_> = events.iter().filter(|event| matches!(event, Event::Predicted { .. })).collect();
    let [Event::Predicted { predictions }] = predicted.as_slice() else { panic!("{} events", predicted.len()) };
    assert_eq!((predictions.images(), predictions.classes()), (32, 10));
    let place = (predictions.split(), predictions.form(), predictions.epoch());
    assert_eq!(place, (Split::Test, Some(Form::Deployed), Some(2)));
    let (split, form, epoch) = place;
    let is_accuracy =
        |m: &Measurement| m.metric == Metric::Accuracy && (m.split, m.form, m.epoch) == (Some(split), form, epoch);
    let accuracy = measured(&events).into_iter().find(is_accuracy).unwrap().value;
    assert_eq!(predictions.accuracy().to_bits(), accuracy.to_bits());
    // The true classes are those of the set, whatever the network says: most of ten classes are among 32 images.
    assert!(predictions.pairs().map(|(truth, _)| truth).collect::<BTreeSet<_>>().len() > 5);
}

#[test]
fn the_state_of_adamw_survives_a_stop() {
    let sgd = r#"kind = "sgd", learning_rate = 0.05, momentum = 0.9, nesterov = true"#;
    let config = config().replace(sgd, r#"kind = "adamw", learning_rate = 0.002"#);
    assert!(config.contains("adamw"));
    stopped_equals_straight(&config);
}

#[test]
fn a_training_with_products_of_bf16_has_results_of_its_own() {
    let bf16 = config().replace("batch     = 4\noptimizer", "batch     = 4\nprecision = \"bf16\"\noptimizer");
    stopped_equals_straight(&bf16);
    let weights = |config: &str| {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new(folder.path());
        bench.run(config);
        bench.weights(1)
    };
    let exact = config().replace("batch     = 4\noptimizer", "batch     = 4\nprecision = \"f32\"\noptimizer");
    assert!(weights(&exact) == weights(&config()), "f32 is the default");
    assert!(weights(&bf16) != weights(&config()), "the products are rounded");
}

/// An EfficientNet with dropout and stochastic depth of 0.5. 2 steps of 4 images per epoch.
const WITH_DROPOUT: &str = r#"
[data]
source      = { kind = "fashion-mnist-5k" }
image_size  = 32
augment     = { flip = true }
train_limit = 8
test_limit  = 8

[model]
kind             = "efficient-net"
variant          = "b1"
dropout          = 0.5
stochastic_depth = 0.5

[training]
epochs    = 2
batch     = 4
optimizer = { kind = "sgd", learning_rate = 0.01, momentum = 0.9, nesterov = false, weight_decay = 1e-4 }
schedule  = { kind = "cosine", warmup_epochs = 0.0 }

[measure]
batch   = 2
warmup  = 0
repeats = 1
"#;

#[test]
fn dropout_is_the_same_after_a_stop() {
    let (straight, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (straight, stopped) = (Bench::new(straight.path()), Bench { threads: 2, ..Bench::new(stopped.path()) });
    let expected = straight.run(WITH_DROPOUT);
    assert_eq!(stopped.attempt(WITH_DROPOUT, 1, 2).1.unwrap(), Outcome::Stopped);
    let (events, outcome) = stopped.attempt(WITH_DROPOUT, 2, u64::MAX);
    assert_eq!(outcome.unwrap(), Outcome::Succeeded);
    assert_eq!(measured(&events), expected);
    assert!(straight.weights(1) == stopped.weights(2), "weights differ");
}

fn stopped_equals_straight(config: &str) {
    let (straight, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (straight, stopped) = (Bench::new(straight.path()), Bench::new(stopped.path()));
    let expected = straight.run(config);

    let mut last = Vec::new();
    // Losses are read every ten steps and at the end of each epoch (24 steps). So both stops are inside an epoch.
    for (number, stop_at, expected) in
        [(1, 10, Outcome::Stopped), (2, 40, Outcome::Stopped), (3, u64::MAX, Outcome::Succeeded)]
    {
        let (events, outcome) = stopped.attempt(config, number, stop_at);
        assert_eq!(outcome.unwrap(), expected);
        assert!(matches!(events.last(), Some(Event::Ended { outcome, .. }) if *outcome == expected));
        last = events;
    }
    // The journal of the last attempt has all measurements of the run, also those from before the stops.
    assert_eq!(measured(&last), expected);
    for m in all_measured(&last) {
        let keys = (m.split.is_some(), m.form.is_some());
        assert_eq!(keys, (m.metric.is_of_images() == Some(true), m.metric.is_of_a_form() == Some(true)), "{m:?}");
    }
    let Some(Event::Ended { measured: Some(tally), .. }) = last.last() else { panic!("no tally") };
    assert_eq!(*tally, Tally::of(&all_measured(&last)));
    assert!(straight.weights(1) == stopped.weights(3), "weights differ");
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_as_diverged() {
    let root = tempfile::tempdir().unwrap();
    let config = config().replace("learning_rate = 0.05", "learning_rate = 1e12");
    let (events, outcome) = Bench::new(root.path()).attempt(&config, 1, u64::MAX);
    assert!(matches!(outcome, Err(TrainError::Diverged { .. })));
    let Some(Event::Ended { outcome: Outcome::Failed { failure, message }, .. }) = events.last() else {
        panic!("no end")
    };
    assert_eq!(failure.name(), "diverged");
    assert!(message.contains("epoch 1"), "{message}");
}

#[test]
fn too_few_images_for_a_batch_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let config = config().replace("batch     = 4", "batch     = 97");
    let (_, outcome) = Bench::new(root.path()).attempt(&config, 1, u64::MAX);
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains("training.batch: 96 training images do not fill one batch"), "{message}");
}
