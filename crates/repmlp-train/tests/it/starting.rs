//! Networks that start from the weights of another training, and weights that are refused.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use sweep_protocol::Event;

use crate::fixture::{Bench, TINY};

/// 32 images make 8 steps of 4 images. The test of starting weights uses a learning rate so small that no parameter
/// visibly moves.
const TRAINING: &str = r#"
[data]
source      = { kind = "fashion-mnist-5k" }
image_size  = 32
train_limit = 32
test_limit  = 8

[training]
epochs    = 1
batch     = 4
optimizer = { kind = "sgd", learning_rate = RATE, momentum = 0.0, nesterov = false, weight_decay = 0.0 }
schedule  = { kind = "constant", warmup_epochs = 0.0 }
"#;

fn config(rate: &str) -> String {
    [&TRAINING.replace("RATE", rate), TINY].concat()
}

fn started(rate: &str, start: &str) -> String {
    format!("{}\n[start]\n{start}\n", config(rate))
}

fn tensors(file: &Path) -> BTreeMap<String, Tensor> {
    candle_core::safetensors::load(file, &Device::Cpu).unwrap().into_iter().collect()
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

/// Trains a network and writes its weights to `trained.safetensors` in the folder. Returns the weights.
fn trained(folder: &Path) -> BTreeMap<String, Tensor> {
    let bench = Bench::new(folder);
    bench.run(&config("0.05"));
    let file = folder.join("trained.safetensors");
    std::fs::write(&file, bench.weights(1)).unwrap();
    tensors(&file)
}

#[test]
fn every_part_except_fresh_ones_starts_from_the_file() {
    let (data, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trained = trained(data.path());
    let bench = Bench { data: Some(data.path()), ..Bench::new(root.path()) };
    let config = started("1e-12", "weights = \"trained.safetensors\"\nfresh = [\"fc1_fc2\", \"stages.2\"]");
    let (events, outcome) = bench.attempt(&config, 1, u64::MAX);
    outcome.unwrap();
    let Event::Started { environment, .. } = &events[0] else { panic!("no start") };
    let from = environment.data_fingerprint.split(", ").nth(1).unwrap();
    assert!(from.starts_with("trained.safetensors ") && from.len() == "trained.safetensors ".len() + 12, "{from}");

    let parameters = tensors(&root.path().join("1/weights.safetensors"));
    let moved = |name: &String| largest_difference(&parameters[name], &trained[name]) > 1e-6;
    // Both trainings have the same seed, but trained weights differ from their initial values.
    for name in trained.keys().filter(|name| name.ends_with("weight")) {
        assert_eq!(moved(name), name.contains("fc1_fc2.") || name.starts_with("stages.2."), "{name}");
    }
}

#[test]
fn weights_that_do_not_fit_are_refused_with_their_place() {
    let (data, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    trained(data.path());
    std::fs::write(data.path().join("text.safetensors"), "no tensors").unwrap();
    let bench = Bench { data: Some(data.path()), ..Bench::new(root.path()) };
    let fault = |config: &str| {
        let (events, outcome) = bench.attempt(config, 1, u64::MAX);
        let Some(Event::Ended { outcome: sweep_protocol::Outcome::Failed { failure, .. }, .. }) = events.last() else {
            panic!("no failure")
        };
        assert_eq!(failure.name(), "data");
        outcome.unwrap_err().to_string().replace(&data.path().display().to_string(), "DIR")
    };
    let start = |start: &str| fault(&started("0.1", start));
    assert!(start("weights = \"gone.pth\"").starts_with("DIR/gone.pth (start.weights) cannot be read"));
    assert!(start("weights = \"text.safetensors\"").starts_with("DIR/text.safetensors holds no tensors"));
    let other = start("weights = \"trained.safetensors\"\nfingerprint = \"0123456789ab\"");
    assert!(other.contains("the configuration expects 0123456789ab"), "{other}");
    let typed = start("weights = \"trained.safetensors\"\nfresh = [\"fc1_fc\"]");
    assert_eq!(typed, "no tensor of the network has `fc1_fc` in its name (start.fresh)");

    let wider = started("0.1", "weights = \"trained.safetensors\"").replace("hidden = 8", "hidden = 9");
    // The typing error is reported, not its consequences.
    let typed = wider.replace("\n[start]", "\n[start]\nfresh = [\"fc_1\"]");
    assert_eq!(fault(&typed), "no tensor of the network has `fc_1` in its name (start.fresh)");
    let missing = fault(&wider);
    assert!(missing.starts_with("DIR/trained.safetensors has no weights that fit `"), "{missing}");
    assert!(missing.ends_with("or name the parts that start from the seed in start.fresh"), "{missing}");
}
