//! Both forms of every family of networks compute the same function, with batch norms that differ from their initial
//! state. A deployed network can be loaded from its tensors.

use candle_core::{DType, Device, Result};
use repmlp::catalogue::NamedModel;
use repmlp::models::{DeployedModel, Model};
use repmlp::vars::Vars;
use repmlp::{Draws, Mode};

use crate::equivalence::{difference, disturb_norms, numbers};

/// One small network of each family. Together they contain every kind of block.
const NETWORKS: &[(&str, &str)] = &[
    (
        "cifar-net",
        r#"task = { channels = 1, image = [16, 16], classes = 5 }
        model.kind = "cifar-net"
        model.widths = [4, 8, 8]
        model.hidden = 16
        model.block = { kind = "rep-mlp", partition = [4, 4], groups = 2, local_kernels = [1, 3] }"#,
    ),
    (
        "res-net",
        r#"task = { channels = 3, image = [64, 96], classes = 5 }
        model.kind = "res-net"
        model.blocks = [2, 2, 2, 2]
        model.width = 8
        model.c2.kind = "rep-mlp-bottleneck"
        model.c2.reduction = 2
        model.c2.rep_mlp = { partition = [8, 8], groups = 2, local_kernels = [1, 3, 5] }
        model.c3.kind = "rep-mlp-light"
        model.c3.rep_mlp = { partition = [3, 5], padding = "zero", groups = 2, local_kernels = [3] }
        model.c4 = { kind = "global-context", reduction = 4 }
        model.c5 = { kind = "self-attention", heads = 4 }"#,
    ),
    (
        "non-local",
        r#"task = { channels = 3, image = [32, 32], classes = 5 }
        model = { kind = "res-net", blocks = [1, 1, 2, 1], width = 4, c4 = { kind = "non-local", scaled = true } }"#,
    ),
    (
        "efficient-net",
        r#"task = { channels = 3, image = [40, 40], classes = 5 }
        model = { kind = "efficient-net", variant = "b1", dropout = 0.2, stochastic_depth = 0.2 }"#,
    ),
    (
        "mobile-face-net",
        r#"task = { channels = 1, image = [48, 48], classes = 5 }
        model = { kind = "mobile-face-net" }"#,
    ),
    (
        "face-res-net",
        r#"task = { channels = 1, image = [48, 48], classes = 5 }
        model.kind = "face-res-net"
        model.width = 16
        model.embedding = 12
        model.rep_mlp = { reduction = 2, block = { partition = [3, 3], groups = 2, local_kernels = [1, 3] } }"#,
    ),
    (
        "psp-net",
        r#"task = { channels = 3, image = [60, 80], classes = 5 }
        model.kind = "psp-net"
        model.dilations = [1, 2]
        model.dropout = 0.1
        model.width = 16
        model.backbone.blocks = [1, 1, 2, 1]
        model.backbone.width = 4
        model.backbone.c4.kind = "rep-mlp-bottleneck"
        model.backbone.c4.reduction = 2
        model.backbone.c4.rep_mlp = { partition = [4, 5], groups = 2, local_kernels = [1, 3] }"#,
    ),
    (
        "rep-mlp-net",
        r#"task = { channels = 3, image = [32, 64], classes = 5 }
        model.kind = "rep-mlp-net"
        model.channels = [8, 8, 16, 16]
        model.blocks = [1, 1, 2, 1]
        model.share_sets = [1, 2, 4, 8]
        model.local_kernels = [1]"#,
    ),
];

#[test]
fn every_deployed_network_computes_the_same() -> Result<()> {
    // f32: a sum of 10^3 terms has a rounding error of about 1e-6 of its largest value. Up to sixty such layers stay
    // below 1e-4, which is also the limit for every run. Rounding in f64 is 2^29 times finer.
    for (dtype, bound) in [(DType::F64, 1e-10), (DType::F32, 1e-4)] {
        for (name, text) in NETWORKS {
            let NamedModel { task, model: config, .. } = NamedModel::parse(name, text).unwrap();
            let vars = Vars::new(7, dtype, &Device::Cpu);
            let model = Model::new(&config, task, &vars.root())?;
            disturb_norms(&vars, 7)?;
            let images = numbers(8, "images", &[3, task.channels, task.image.0, task.image.1])?.to_dtype(dtype)?;
            let trained = model.forward(&images, Mode::Evaluate)?;
            let deployed = model.reparameterize()?;
            let worst = difference(&trained, &deployed.forward(&images)?)?;
            assert!(worst < bound, "{name} in {dtype:?}: {worst:e}");

            let tensors = deployed.tensors()?;
            assert!(tensors.iter().all(|(tensor, _)| !tensor.contains("running")), "{name} has batch norm left");
            let other = Vars::new(9, dtype, &Device::Cpu);
            let again = DeployedModel::load(&config, task, &other.root(), &tensors.into_iter().collect())?;
            assert_eq!(difference(&deployed.forward(&images)?, &again.forward(&images)?)?.to_bits(), 0, "{name}");
        }
    }
    Ok(())
}

#[test]
fn only_the_training_form_has_an_auxiliary_output() -> Result<()> {
    let (name, text) = NETWORKS.iter().find(|(name, _)| *name == "psp-net").unwrap();
    let NamedModel { task, model: config, .. } = NamedModel::parse(name, text).unwrap();
    let vars = Vars::new(7, DType::F32, &Device::Cpu);
    let model = Model::new(&config, task, &vars.root())?;
    let images = numbers(8, "images", &[2, 3, 60, 80])?;
    let (answer, auxiliary) = model.forward_with_auxiliary(&images, Mode::Train(Draws { seed: 7, step: 3 }))?;
    assert_eq!(answer.dims(), [2, 5, 60, 80]);
    assert_eq!(auxiliary.unwrap().dims(), [2, 5, 60, 80]);
    assert!(model.reparameterize()?.tensors()?.iter().all(|(name, _)| !name.starts_with("auxiliary")));
    Ok(())
}

#[test]
fn dropout_depends_on_seed_and_step_and_is_off_in_evaluation() -> Result<()> {
    for (name, text) in NETWORKS.iter().filter(|(_, text)| text.contains("dropout")) {
        let NamedModel { task, model: config, .. } = NamedModel::parse(name, text).unwrap();
        let vars = Vars::new(7, DType::F32, &Device::Cpu);
        let model = Model::new(&config, task, &vars.root())?;
        let images = numbers(8, "images", &[4, task.channels, task.image.0, task.image.1])?;
        let pass = |seed, step| model.forward(&images, Mode::Train(Draws { seed, step }));
        let first = pass(7, 3)?;
        assert_eq!(difference(&first, &pass(7, 3)?)?.to_bits(), 0, "{name}: the same step again");
        assert!(difference(&first, &pass(7, 4)?)? > 0.0, "{name}: another step");
        assert!(difference(&first, &pass(8, 3)?)? > 0.0, "{name}: another seed");
        let judged = model.forward(&images, Mode::Evaluate)?;
        assert_eq!(difference(&judged, &model.forward(&images, Mode::Evaluate)?)?.to_bits(), 0, "{name}");
    }
    Ok(())
}

#[test]
fn gradients_reach_every_parameter() -> Result<()> {
    for (name, text) in NETWORKS {
        let NamedModel { task, model: config, .. } = NamedModel::parse(name, text).unwrap();
        let vars = Vars::new(7, DType::F32, &Device::Cpu);
        let model = Model::new(&config, task, &vars.root())?;
        let images = numbers(8, "images", &[4, task.channels, task.image.0, task.image.1])?;
        let (answer, auxiliary) = model.forward_with_auxiliary(&images, Mode::Train(Draws { seed: 7, step: 3 }))?;
        let weights = numbers(9, "weights", answer.dims())?;
        let mut loss = (answer * &weights)?.sum_all()?;
        if let Some(auxiliary) = auxiliary {
            loss = (loss + (auxiliary * &weights)?.sum_all()?)?;
        }
        let gradients = loss.backward()?;
        for (parameter, var) in vars.parameters() {
            let gradient = gradients.get(&var).unwrap_or_else(|| panic!("{name}: {parameter} has no gradient"));
            let largest: f32 = gradient.abs()?.flatten_all()?.max(0)?.to_scalar()?;
            assert!(largest.is_finite(), "{name}: {parameter}");
        }
    }
    Ok(())
}
