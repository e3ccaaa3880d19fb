//! Agreement with PyTorch: outputs, gradients, running statistics, merged layers and whole SGD trainings in f64.
//!
//! tests/parity/README.md says where the values come from. They are stored as f32, so 1e-6 of a tensor's scale is what
//! can be asked of outputs; losses are stored as f64 and are held to 1e-8.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor, Var};
use repmlp::Mode;
use repmlp::blocks::{
    Attention, BlockConfig, GlobalPerceptronConfig, NonLocal, NonLocalShape, PaddingConfig, PartitionPerceptronConfig,
    RepMlpBlock, RepMlpConfig, SelfAttentionShape,
};
use repmlp::models::{CifarNetConfig, Model, ModelConfig, Task};
use repmlp::vars::Vars;
use repmlp_kernels::{SgdStep, sgd_step};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

fn case(id: &str) -> (Value, BTreeMap<String, Tensor>) {
    let text = std::fs::read_to_string(folder().join("cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let case = cases.into_iter().find(|case| case["id"] == id).unwrap();
    let file = folder().join(case["file"].as_str().unwrap());
    (case, candle_core::safetensors::load(file, &Device::Cpu).unwrap().into_iter().collect())
}

/// The tensor that both sides make from its name.
fn filled(name: &str, dims: &[usize]) -> Result<Tensor> {
    let fan_in: usize = dims.iter().skip(1).product();
    let (lo, hi) = match name.rsplit('.').next().unwrap_or(name) {
        "running_mean" => (-0.2, 0.2),
        "running_var" => (0.5, 1.5),
        "bias" => (-0.1, 0.1),
        "weight" if dims.len() == 1 => (0.5, 1.5),
        "weight" | "height_rel" | "width_rel" => (-(3.0 / fan_in as f64).sqrt(), (3.0 / fan_in as f64).sqrt()),
        _ => (-1.0, 1.0),
    };
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let value = |i: u64| {
        let mut z = hash.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (lo + (hi - lo) * ((z >> 40) as f64 / (1u64 << 24) as f64)) as f32
    };
    let values: Vec<f32> = (1..=dims.iter().product::<usize>() as u64).map(value).collect();
    Tensor::from_vec(values, dims, &Device::Cpu)?.to_dtype(DType::F64)
}

fn dims(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect()
}

fn load_filled(vars: &Vars, case: &Value) -> Result<()> {
    let params = case["params"].as_object().unwrap();
    let tensors = params.iter().map(|(name, shape)| Ok((name.clone(), filled(name, &dims(shape))?)));
    vars.load(&tensors.collect::<Result<BTreeMap<_, _>>>()?)?;
    assert_eq!(vars.all().len(), params.len(), "the case names as many tensors as the block has");
    Ok(())
}

fn largest(t: &Tensor) -> Result<f64> {
    t.abs()?.flatten_all()?.max(0)?.to_scalar()
}

/// Holds `actual` to `expected` within 1e-6 of the largest magnitude, at least `floor`.
fn check(what: &str, actual: &Tensor, expected: &Tensor, floor: f64) -> Result<()> {
    let expected = expected.to_dtype(DType::F64)?.reshape(actual.shape())?;
    let difference = largest(&(actual - &expected)?)? / largest(&expected)?.max(floor);
    assert!(difference < 1e-6, "{what}: {difference:e}");
    Ok(())
}

fn nchw(t: &Tensor) -> Result<Tensor> {
    t.permute((3, 0, 1, 2))
}

fn chwn(t: &Tensor) -> Result<Tensor> {
    t.permute((1, 2, 3, 0))?.contiguous()
}

/// Runs a block's forward passes and gradients against the case's tensors.
fn check_block(
    case: &Value,
    expected: &BTreeMap<String, Tensor>,
    vars: &Vars,
    forward: impl Fn(&Tensor, Mode) -> Result<Tensor>,
) -> Result<()> {
    let input = Var::from_tensor(&chwn(&filled("input", &dims(&case["input"]))?)?)?;
    check("out_eval", &nchw(&forward(&input, Mode::Evaluate)?)?, &expected["out_eval"], 1e-6)?;
    let output = nchw(&forward(&input, Mode::Train)?)?;
    check("out_train", &output, &expected["out_train"], 1e-6)?;
    for (name, var) in vars.all() {
        if let Some(after) = expected.get(&format!("after.{name}")) {
            check(&name, &var, after, 1e-6)?;
        }
    }
    let cotangent = filled("cotangent", output.dims())?;
    let gradients = (output * cotangent)?.sum_all()?.backward()?;
    let scale = expected.iter().filter(|(name, _)| name.starts_with("grad."));
    let scale = scale.map(|(_, t)| largest(&t.to_dtype(DType::F64)?)).try_fold(0f64, |m, v| v.map(|v| m.max(v)))?;
    let mut compared = 0;
    for (name, var) in vars.parameters() {
        if let Some(gradient) = expected.get(&format!("grad.{name}")) {
            check(&format!("grad.{name}"), gradients.get(&var).unwrap(), gradient, 1e-3 * scale)?;
            compared += 1;
        }
    }
    assert_eq!(compared, vars.parameters().len(), "every parameter has a reference gradient");
    if let Some(gradient) = expected.get("grad.input") {
        check("grad.input", &nchw(gradients.get(&input).unwrap())?, gradient, 1e-3 * scale)?;
    }
    Ok(())
}

fn rep_mlp(id: &str) -> Result<()> {
    let (case, expected) = case(id);
    let number = |key: &str| case[key].as_u64().unwrap() as usize;
    let config = RepMlpConfig {
        partition: [number("h"), number("w")],
        padding: PaddingConfig::None,
        groups: number("groups"),
        local_kernels: dims(&case["kernels"]),
        global_perceptron: GlobalPerceptronConfig::Fc { reduction: number("global_reduction") },
        partition_perceptron: PartitionPerceptronConfig::Fc {},
    };
    let vars = Vars::new(0, DType::F64, &Device::Cpu);
    let shape = config.shape(number("C"), number("O"), (number("H"), number("W"))).unwrap();
    let block = RepMlpBlock::new(&config, shape, &vars.root())?;
    load_filled(&vars, &case)?;

    let input = chwn(&filled("input", &dims(&case["input"]))?)?;
    let mut deployed = block.reparameterize()?;
    check("deployed", &nchw(&deployed.forward(&input)?)?, &expected["out_eval"], 1e-6)?;
    let mut merged = BTreeMap::new();
    deployed.visit("", &mut |name, tensor| {
        merged.insert(name.to_owned(), tensor.clone());
        Ok(())
    })?;
    for (name, reference) in expected.iter().filter(|(name, _)| name.starts_with("deploy.")) {
        // The published conversion renames the pair; its state dict keeps the module names, and so do we.
        let ours = name.trim_start_matches("deploy.").replace("fc1.", "fc1_fc2.fc1.");
        check(name, &merged[&ours], reference, 1e-6)?;
    }
    check_block(&case, &expected, &vars, |x, mode| block.forward(x, mode))
}

#[test]
fn block_with_equal_channels() -> Result<()> {
    rep_mlp("block_square")
}

#[test]
fn block_with_unequal_channels_on_a_map_that_is_not_square() -> Result<()> {
    rep_mlp("block_unequal_channels")
}

#[test]
fn non_local_block() -> Result<()> {
    let (case, expected) = case("non_local_unscaled");
    let vars = Vars::new(0, DType::F64, &Device::Cpu);
    let block = NonLocal::new(NonLocalShape { channels: 16, inner: 8, scale: 1.0 }, &vars.root())?;
    load_filled(&vars, &case)?;
    check_block(&case, &expected, &vars, |x, mode| block.forward(x, mode))
}

#[test]
fn self_attention() -> Result<()> {
    let (case, expected) = case("mhsa_rel_pos");
    let vars = Vars::new(0, DType::F64, &Device::Cpu);
    let shape = SelfAttentionShape { channels: 16, heads: 4, map: (6, 6), head_dim_qk: 4, head_dim_v: 4 };
    let attention = Attention::new(shape, &vars.root())?;
    load_filled(&vars, &case)?;
    check_block(&case, &expected, &vars, |x, _| attention.forward(x))
}

#[test]
fn twelve_steps_of_training_the_pure_mlp() -> Result<()> {
    let (case, expected) = case("pure_mlp_train");
    let block = BlockConfig::RepMlp(RepMlpConfig {
        partition: [8, 8],
        padding: PaddingConfig::None,
        groups: 2,
        local_kernels: vec![1, 3, 5],
        global_perceptron: GlobalPerceptronConfig::default(),
        partition_perceptron: PartitionPerceptronConfig::Fc {},
    });
    let config = CifarNetConfig { widths: [8, 16, 16], hidden: 64, block, width_factor: 1, first_stage_block: None };
    let vars = Vars::new(0, DType::F64, &Device::Cpu);
    let task = Task { channels: 3, image: (32, 32), classes: 10 };
    let model = Model::new(&ModelConfig::CifarNet(config), task, &vars.root())?;
    load_filled(&vars, &case)?;

    let (batch, steps) = (32usize, 12usize);
    let input = filled("input", &[batch, 3, 32, 32])?;
    check("logits_before", &model.forward(&input, Mode::Evaluate)?, &expected["logits_before"], 1e-6)?;
    let labels: Vec<u32> = (0..batch as u32).map(|i| i % 10).collect();
    let offsets: Vec<f64> = labels.iter().map(|&l| f64::from(l) / 10.0 - 0.45).collect();
    let offsets = Tensor::from_vec(offsets, (batch, 1, 1, 1), &Device::Cpu)?;
    let labels = Tensor::from_vec(labels, batch, &Device::Cpu)?;
    let parameters = vars.parameters();
    let velocities = parameters.iter().map(|(_, p)| Var::from_tensor(&p.zeros_like()?)).collect::<Result<Vec<_>>>()?;
    for t in 0..steps {
        let images = filled(&format!("batch{t}"), &[batch, 3, 32, 32])?.broadcast_add(&offsets)?;
        let loss = candle_nn::loss::cross_entropy(&model.forward(&images, Mode::Train)?, &labels)?;
        let reference = case["losses"][t].as_f64().unwrap();
        let difference = (loss.to_scalar::<f64>()? - reference).abs() / reference;
        assert!(difference < 1e-8, "loss of step {t}: {difference:e}");
        let gradients = loss.backward()?;
        let learning_rate = 0.05 * 0.5 * (1.0 + (std::f64::consts::PI * t as f64 / steps as f64).cos());
        let step = SgdStep { learning_rate, momentum: 0.9, weight_decay: 1e-4, nesterov: false };
        for ((_, parameter), velocity) in parameters.iter().zip(&velocities) {
            sgd_step(parameter, velocity, gradients.get(parameter).unwrap(), step)?;
        }
    }
    check("logits_after", &model.forward(&input, Mode::Evaluate)?, &expected["logits_after"], 1e-6)
}
