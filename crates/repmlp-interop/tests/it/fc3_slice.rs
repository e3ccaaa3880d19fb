//! FC3 before and after merging, against a computation by hand.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use repmlp::models::{Model, ModelConfig, Task};
use repmlp::vars::Vars;
use repmlp_interop::{Fc3Point, Fc3Slice, Import, InteropError, StoredForm, export, log_ratios};

const TASK: Task = Task { channels: 1, image: (32, 32), classes: 10 };

/// Epsilon of batch norm, as PyTorch has it.
const EPSILON: f64 = 1e-5;

fn network(block: &str) -> ModelConfig {
    let text = format!(r#"{{ "kind": "cifar-net", "widths": [4, 4, 4], "hidden": 8, "block": {block} }}"#);
    serde_json::from_str(&text).unwrap()
}

fn rep_mlp() -> ModelConfig {
    network(r#"{ "kind": "rep-mlp", "partition": [8, 4], "groups": 2, "local_kernels": [1, 3] }"#)
}

/// Returns the weights of a network. Its batch norms have settings as after a training.
fn trained(config: &ModelConfig) -> BTreeMap<String, Tensor> {
    let vars = Vars::new(7, DType::F32, &Device::Cpu);
    Model::new(config, TASK, &vars.root()).unwrap();
    let settled = |(name, var): (String, candle_core::Var)| {
        let is_norm = name.contains("bn.");
        let values: Vec<f32> = (0..var.elem_count()).map(|i| 1.5 + (i as f32 * 0.7).sin()).collect();
        let drawn = var.as_tensor().clone();
        let tensor = if is_norm { Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap() } else { drawn };
        (name, tensor)
    };
    vars.all().into_iter().map(settled).collect()
}

fn import(config: &ModelConfig) -> Import {
    Import::of(&trained(config), config, TASK).unwrap()
}

fn values(tensors: &BTreeMap<String, Tensor>, name: &str) -> Vec<f64> {
    tensors[name].flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

#[test]
fn the_slice_is_what_one_computes_by_hand() {
    let config = rep_mlp();
    let weights = trained(&config);
    let block = config.fc3s(TASK)[1].0.clone();
    let point = Fc3Point { channel: 3, y: 6, x: 1 };
    let slice = Fc3Slice::of(&import(&config), (&config, TASK), Some(&block), Some(point)).unwrap();
    assert_eq!(slice.view, [4, 8, 4, 2, 8, 4]);
    let of_block = |name: &str| values(&weights, &format!("{block}.{name}"));
    let scale = |norm: &str, i: usize| {
        of_block(&format!("{norm}.weight"))[i] / (of_block(&format!("{norm}.running_var"))[i] + EPSILON).sqrt()
    };
    let row = (3 * 8 + 6) * 4 + 1;
    let fc3 = of_block("fc3.weight");
    let kernels = [(1, of_block("repconv1.conv.weight")), (3, of_block("repconv3.conv.weight"))];
    for y in 0..8 {
        for x in 0..4 {
            let before = fc3[row * 2 * 8 * 4 + y * 4 + x];
            assert!((slice.before[y][x] - before).abs() < 1e-12);
            let mut after = before * scale("fc3_bn", row);
            for (size, kernel) in &kernels {
                let (ky, kx) = (y + size / 2, x + size / 2);
                if (6..6 + size).contains(&ky) && (1..1 + size).contains(&kx) {
                    // The kernel of output channel 3 and the first input channel of its group.
                    let tap = kernel[3 * 2 * size * size + (ky - 6) * size + kx - 1];
                    after += tap * scale(&format!("repconv{size}.bn"), 3);
                }
            }
            assert!((slice.after[y][x] - after).abs() < 1e-5, "({y}, {x}): {} {after}", slice.after[y][x]);
        }
    }
}

#[test]
fn merging_adds_mass_near_the_point_only() {
    let config = rep_mlp();
    let slice = Fc3Slice::of(&import(&config), (&config, TASK), None, Some(Fc3Point { channel: 0, y: 4, x: 2 }));
    let slice = slice.unwrap();
    assert_eq!(slice.layer, config.fc3s(TASK)[0].0);
    let mean = |weights: &[Vec<f64>], is_near: bool| {
        let shown = log_ratios(weights);
        let places = (0..8).flat_map(|y| (0..4).map(move |x| (y, x)));
        let chosen: Vec<f64> = places
            .filter(|&(y, x)| ((3..=5).contains(&y) && (1..=3).contains(&x)) == is_near)
            .filter_map(|(y, x)| shown[y][x])
            .collect();
        chosen.iter().sum::<f64>() / chosen.len() as f64
    };
    let above = |weights: &[Vec<f64>]| mean(weights, true) - mean(weights, false);
    assert!(above(&slice.after) > above(&slice.before) + 0.5, "{} {}", above(&slice.before), above(&slice.after));
    // Elsewhere, merging changes all weights by the same factor.
    let ratio = slice.after[0][0] / slice.before[0][0];
    assert!((slice.after[7][3] / slice.before[7][3] - ratio).abs() < 1e-4 * ratio.abs());
}

#[test]
fn what_there_is_not_is_refused_with_what_there_is() {
    let config = rep_mlp();
    let of = |layer: Option<&str>, point: Option<Fc3Point>| {
        Fc3Slice::of(&import(&config), (&config, TASK), layer, point).unwrap_err().to_string()
    };
    let known: Vec<String> = config.fc3s(TASK).into_iter().map(|(name, _)| name).collect();
    let unknown = of(Some("c9"), None);
    assert!(unknown.contains("named `c9`") && unknown.ends_with(&known.join(", ")), "{unknown}");
    for outside in [(4, 0, 0), (0, 8, 0), (0, 0, 4)] {
        let point = Fc3Point { channel: outside.0, y: outside.1, x: outside.2 };
        let fault = of(None, Some(point));
        assert!(fault.contains("from 0 to 3, a row from 0 to 7 and a column from 0 to 3"), "{fault}");
    }
    let block = r#"{ "kind": "rep-mlp", "partition": [8, 4], "groups": 2, "local_kernels": [],
                     "partition_perceptron": { "kind": "conv", "kernel": 3 } }"#;
    for block in [r#"{ "kind": "conv", "kernel": 3, "groups": 1 }"#, block] {
        let without = network(block);
        let fault = Fc3Slice::of(&import(&without), (&without, TASK), None, None).unwrap_err();
        assert!(matches!(fault, InteropError::NoFc3), "{fault}");
    }
    let (naming, form) = (import(&config).naming, StoredForm::Deployed);
    let merged = export(&import(&config), (&config, TASK), (naming, form)).unwrap();
    let merged = Import::of(&merged, &config, TASK).unwrap();
    let fault = Fc3Slice::of(&merged, (&config, TASK), None, None).unwrap_err();
    assert!(matches!(fault, InteropError::MergedFc3), "{fault}");
}
