//! Agreement with PyTorch: outputs, gradients, running statistics, merged layers, logits of networks, and a short SGD
//! training.
//!
//! The file `tests/parity/README.md` describes the source of the expected values.

use std::path::{Path, PathBuf};

use candle_core::Device;
use repmlp_interop::{Check, Precision, What, check, read_cases};

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

fn checks(id: &str, precision: Precision) -> Vec<Check> {
    let cases = read_cases(&folder(), Some(id)).unwrap();
    check(&cases[0], precision, &Device::Cpu).unwrap()
}

fn assert_agrees(id: &str, expected: &[What]) {
    for precision in [Precision::F32, Precision::F64] {
        let checks = checks(id, precision);
        for check in &checks {
            assert!(check.passed(), "{id} {precision} {}: {:e} at {}", check.what, check.difference, check.worst);
        }
        let whats: Vec<What> = checks.iter().map(|check| check.what).collect();
        assert_eq!(whats, expected, "{id} {precision}");
    }
}

const BLOCK: &[What] = &[
    What::Names,
    What::Deployed,
    What::MergedLayers,
    What::OutEval,
    What::OutTrain,
    What::RunningStatistics,
    What::Gradients,
];

#[test]
fn block_with_equal_channels() {
    assert_agrees("block_square", BLOCK);
}

#[test]
fn block_without_local_branches() {
    assert_agrees("block_no_local", BLOCK);
}

/// The official conversion is wrong in this case, so there are no merged layers to compare. The outputs of the deployed
/// block are compared.
#[test]
fn block_with_unequal_channels_on_a_map_that_is_not_square() {
    let without_merged: Vec<What> = BLOCK.iter().copied().filter(|what| *what != What::MergedLayers).collect();
    assert_agrees("block_unequal_channels", &without_merged);
}

#[test]
fn non_local_block() {
    let expected = [What::Names, What::Deployed, What::OutEval, What::OutTrain, What::Gradients];
    assert_agrees("non_local_unscaled", &expected);
}

#[test]
fn global_context_block() {
    let expected = [What::Names, What::Deployed, What::OutEval, What::OutTrain, What::Gradients];
    assert_agrees("global_context_add", &expected);
}

#[test]
fn self_attention() {
    assert_agrees("mhsa_rel_pos", &[What::Names, What::OutEval, What::OutTrain, What::Gradients]);
}

/// Checks the logits in f32 only. A mistake in a network of fifty layers causes differences far above f32 rounding.
fn assert_logits(id: &str) {
    let checks = checks(id, Precision::F32);
    for check in &checks {
        assert!(check.passed(), "{id} {}: {:e} at {}", check.what, check.difference, check.worst);
    }
    let whats: Vec<What> = checks.iter().map(|check| check.what).collect();
    assert_eq!(whats, [What::Names, What::Logits, What::DeployedLogits]);
}

#[test]
fn logits_of_rep_mlp_res50() {
    assert_logits("repmlp_res50_bottleneck_224");
}

#[test]
fn logits_of_torchvision_resnet50() {
    assert_logits("resnet50_tv_224");
}

#[test]
fn logits_of_torchvision_efficient_net_b1() {
    assert_logits("efficientnet_b1_240");
}

#[test]
fn twelve_steps_of_training_the_pure_mlp() {
    let whats = |precision| checks("pure_mlp_train", precision).into_iter().map(|check| (check.what, check.passed()));
    let in_f64: Vec<_> = whats(Precision::F64).collect();
    let all = [What::Names, What::LogitsBefore, What::Losses, What::LogitsAfter];
    assert_eq!(in_f64, all.map(|what| (what, true)));
    let in_f32: Vec<_> = whats(Precision::F32).collect();
    assert_eq!(in_f32, [What::Names, What::LogitsBefore, What::Losses].map(|what| (what, true)));
}
