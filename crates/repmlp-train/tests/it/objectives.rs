//! Whole trainings on people and on scenes: the metrics, the merge, and that a stop does not change any bit.

use std::path::Path;

use sweep_protocol::{Form, Measurement, Metric, Outcome, Split};

use crate::fixture::{Bench, measured, write_png};

/// A face network on six people with four pictures each. The last three people are held out. 2 steps of 6 images per
/// epoch.
const FACES: &str = r#"
[data]
source     = { kind = "identities", name = "people", identities = 6, held_out = 3, channels = 1 }
image_size = 48
augment    = { flip = true, crop_padding = 2 }

[model]
kind      = "face-res-net"
width     = 8
embedding = 6
rep_mlp   = { reduction = 2, block = { partition = [3, 3], groups = 1, local_kernels = [1, 3] } }

[training]
epochs    = 2
batch     = 6
loss      = { kind = "am-softmax" }
optimizer = { kind = "sgd", learning_rate = 0.002, momentum = 0.9, nesterov = false, decay_of_parts = [
    { parts = ["embedding", "head"], weight_decay = 4e-4 },
], weight_decay = 4e-5 }
schedule  = { kind = "steps", milestones = [1.0], factor = 0.1, warmup_epochs = 0.0 }

[measure]
batch   = 4
warmup  = 0
repeats = 1
"#;

/// A PSPNet on ten training scenes with three classes and an ignored id. 2 steps of 4 images per epoch.
const SCENES: &str = r#"
[data]
source     = { kind = "masks", name = "scenes", classes = 3, ignore = 7, validation = ["val"] }
image_size = 48
augment    = { flip = true, random_scale = [0.5, 2.0], rotate_degrees = 10.0 }

[model]
kind      = "psp-net"
dilations = [1, 2]
width     = 4
dropout   = 0.1
backbone  = { blocks = [1, 1, 1, 1], width = 4 }

[training]
epochs    = 2
batch     = 4
optimizer = { kind = "sgd", learning_rate = 0.05, momentum = 0.9, nesterov = false, weight_decay = 1e-4 }
schedule  = { kind = "poly", power = 0.9, warmup_epochs = 0.0 }

[measure]
batch   = 2
warmup  = 0
repeats = 1
"#;

fn write_people(data: &Path) {
    for i in 0..24 {
        let (person, picture) = (i % 6, i / 6);
        let face = move |y: u32, x: u32, _| (y * (3 + person) + x * (11 - person) + 5 * picture) as u8;
        write_png(&data.join(format!("people/{person}/{picture}.png")), 32, 1, face);
    }
}

fn write_scenes(data: &Path) {
    write_scenes_of(36, data);
}

fn write_scenes_of(side: u32, data: &Path) {
    for i in 0..16 {
        let part = ["train", "val", "test"][if i < 10 { 0 } else { 1 + i as usize % 2 }];
        let scene = move |y: u32, x: u32, c: u32| if y < 10 + i { 200 - 20 * c as u8 } else { (9 * x + 40 * c) as u8 };
        write_png(&data.join(format!("scenes/{part}/{i}.png")), side, 3, scene);
        let ids = move |y: u32, x: u32, _| {
            if x == 0 {
                7
            } else if x == side - 1 {
                2
            } else {
                u8::from(y >= 10 + i)
            }
        };
        write_png(&data.join(format!("scenes/{part}annot/{i}.png")), side, 1, ids);
    }
}

/// Does a run in one attempt, and the same run with a stop after its second step. Both must agree. Returns the
/// measurements of the first.
fn run_and_stop(config: &str, write: impl Fn(&Path)) -> Vec<Measurement> {
    let (data, straight, stopped) = (tempfile::tempdir(), tempfile::tempdir(), tempfile::tempdir());
    let (data, straight, stopped) = (data.unwrap(), straight.unwrap(), stopped.unwrap());
    write(data.path());
    let bench = |root| Bench { data: Some(data.path()), threads: 2, ..Bench::new(root) };
    let (straight, stopped) = (bench(straight.path()), bench(stopped.path()));
    let expected = straight.run(config);
    let mut actual = Vec::new();
    // Steps are reported at the end of an epoch, after two steps. So the attempt stops before the first step of the
    // second epoch.
    for (number, stop_at, expected) in [(1, 2, Outcome::Stopped), (2, u64::MAX, Outcome::Succeeded)] {
        let (events, outcome) = stopped.attempt(config, number, stop_at);
        assert_eq!(outcome.unwrap(), expected);
        // The last journal also has the measurements from before the stop.
        actual = measured(&events);
    }
    assert_eq!(actual, expected);
    assert!(straight.weights(1) == stopped.weights(2), "weights differ");
    expected
}

/// Returns the metrics of a split after the last epoch, in order.
fn metrics(measurements: &[Measurement], split: Split, form: Form) -> Vec<Metric> {
    let of_last = |m: &&Measurement| m.split == Some(split) && m.form == Some(form) && m.epoch == Some(2);
    measurements.iter().filter(of_last).map(|m| m.metric).collect()
}

fn value(measurements: &[Measurement], metric: Metric) -> f64 {
    measurements.iter().rfind(|m| m.metric == metric).unwrap().value
}

#[test]
fn people_are_learned_and_held_out_people_are_recognised() {
    let all = run_and_stop(FACES, write_people);
    assert_eq!(metrics(&all, Split::Train, Form::Training), [Metric::Loss, Metric::Accuracy]);
    let judged = [Metric::VerificationAccuracy, Metric::IdentificationAccuracy];
    assert_eq!(metrics(&all, Split::Test, Form::Training), judged);
    assert_eq!(metrics(&all, Split::Test, Form::Deployed), judged);
    assert!(judged.iter().all(|metric| (0.0..=1.0).contains(&value(&all, *metric))));
    // The equivalence check has passed, so a probe may differ between both forms only in a tie.
    assert!(value(&all, Metric::Top1Agreement) > 0.5);
    assert!(value(&all, Metric::MaxAbsDiff) > 0.0, "both forms were computed");
    // 0.002 · 0.1, after the milestone.
    assert!((value(&all, Metric::LearningRate) - 0.0002).abs() < 1e-12);
}

#[test]
fn scenes_are_judged_pixel_by_pixel() {
    let all = run_and_stop(SCENES, write_scenes);
    let judged = [Metric::Loss, Metric::Accuracy, Metric::MeanIou];
    assert_eq!(metrics(&all, Split::Validation, Form::Training), judged);
    assert_eq!(metrics(&all, Split::Test, Form::Training), judged);
    assert_eq!(metrics(&all, Split::Test, Form::Deployed), judged);
    assert!(value(&all, Metric::MeanIou) <= value(&all, Metric::Accuracy));
    assert!(value(&all, Metric::Top1Agreement) > 0.999);
}

/// Scenes of 60 pixels at their own size: training crops of 48 pixels, and four tiles of 48 pixels per scene for
/// evaluation.
fn scenes_at_their_own_size() -> String {
    let config = SCENES
        .replace("image_size = 48", "image_size = 48\nevaluate   = { tiles = {} }")
        .replace("rotate_degrees = 10.0", "rotate_degrees = 10.0, random_crop = true");
    assert!(config.contains("tiles") && config.contains("random_crop"));
    config
}

#[test]
fn scenes_are_cropped_and_judged_whole_through_tiles() {
    let all = run_and_stop(&scenes_at_their_own_size(), |data| write_scenes_of(60, data));
    let judged = [Metric::Loss, Metric::Accuracy, Metric::MeanIou];
    for (split, form) in
        [(Split::Validation, Form::Training), (Split::Test, Form::Training), (Split::Test, Form::Deployed)]
    {
        assert_eq!(metrics(&all, split, form), judged);
    }
    assert!(value(&all, Metric::MeanIou) <= value(&all, Metric::Accuracy));
    assert!(value(&all, Metric::Top1Agreement) > 0.999);
    // Each of the 3 test scenes has 60 rows with 59 pixels that count, since the first column is ignored. The number of
    // correct pixels must be whole.
    let right = value(&all, Metric::Accuracy) * f64::from(3 * 60 * 59);
    assert!((right - right.round()).abs() < 1e-6, "{right}");
}

#[test]
fn incompatible_settings_are_named() {
    let root = tempfile::tempdir().unwrap();
    let faults = |config: String| {
        let (_, outcome) = Bench::new(root.path()).attempt(&config, 1, u64::MAX);
        outcome.unwrap_err().to_string()
    };
    let text = faults(FACES.replace("loss      = { kind = \"am-softmax\" }", "label_smoothing = 0.1"));
    assert_eq!(
        text,
        "configuration: training.loss.kind: must be `am-softmax` for a set of people; training.label_smoothing: must \
         be 0 for a set of people"
    );
    let text = faults(FACES.replace("\"head\"]", "\"haed\"]"));
    assert_eq!(
        text,
        "configuration: training.optimizer.decay_of_parts.parts: no parameter name of the network contains the part \
         `haed`; names start with embedding, embedding_bn, head, stage0, stage1, stage2, stage3, stage4"
    );
    let text = faults(
        SCENES
            .replace(
                "kind = \"masks\", name = \"scenes\", classes = 3, ignore = 7, validation = [\"val\"]",
                "kind = \"cifar10\"",
            )
            .replace("random_scale = [0.5, 2.0], rotate_degrees = 10.0", ""),
    );
    assert_eq!(text, "configuration: model.kind: a network of this kind cannot be trained on a set of classes");
}
