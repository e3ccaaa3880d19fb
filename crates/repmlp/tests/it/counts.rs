//! The account of a network against the paper's printed Table 1 and against what is really allocated.

use std::path::Path;

use candle_core::{DType, Device, Result};
use repmlp::blocks::{
    BlockConfig, ConvConfig, GlobalPerceptronConfig, NonLocalConfig, PartitionPerceptronConfig, RepMlpConfig,
    SelfAttentionConfig,
};
use repmlp::cost::CountedForm;
use repmlp::models::{CifarNetConfig, Model, ModelConfig, Task};
use repmlp::vars::Vars;

const CIFAR: Task = Task { channels: 3, image: (32, 32), classes: 10 };

fn pure_mlp() -> RepMlpConfig {
    RepMlpConfig {
        partition: [8, 8],
        groups: 2,
        local_kernels: vec![1, 3, 5, 7],
        global_perceptron: GlobalPerceptronConfig::default(),
        partition_perceptron: PartitionPerceptronConfig::Fc {},
    }
}

fn network(block: BlockConfig, widths: [usize; 3]) -> ModelConfig {
    ModelConfig::CifarNet(CifarNetConfig { widths, width_factor: 1, hidden: 512, block, first_stage_block: None })
}

/// The rows of Table 1 with the form that each is counted in.
fn table1() -> Vec<(&'static str, ModelConfig, CountedForm)> {
    let narrow = [16, 32, 64];
    let rep_mlp = |config| network(BlockConfig::RepMlp(config), narrow);
    let no_local = RepMlpConfig { local_kernels: vec![], ..pure_mlp() };
    let no_global = RepMlpConfig { global_perceptron: GlobalPerceptronConfig::None {}, ..pure_mlp() };
    let conv_for_fc3 =
        RepMlpConfig { partition_perceptron: PartitionPerceptronConfig::Conv { kernel: 9 }, ..no_local.clone() };
    let conv = |kernel, groups| BlockConfig::Conv(ConvConfig { kernel, groups });
    vec![
        ("T1.pure", rep_mlp(pure_mlp()), CountedForm::Deployed),
        ("T1.A", rep_mlp(pure_mlp()), CountedForm::Training),
        ("T1.B", rep_mlp(no_local), CountedForm::Deployed),
        ("T1.C", rep_mlp(no_global), CountedForm::Deployed),
        ("T1.D", rep_mlp(conv_for_fc3), CountedForm::Deployed),
        ("T1.E", network(conv(9, 2), narrow), CountedForm::Deployed),
        ("T1.wide", network(conv(3, 1), [32, 64, 128]), CountedForm::Deployed),
    ]
}

/// `value` cut after `digits` decimals, in units of the last: the paper truncates.
fn truncated(value: f64, digits: i32) -> i64 {
    (value * 10f64.powi(digits)).floor() as i64
}

/// The same of a printed number, which is exact up to the binary form of its decimals.
fn printed(value: f64, digits: i32) -> i64 {
    (value * 10f64.powi(digits)).round() as i64
}

#[test]
fn every_row_of_table_1_is_counted_to_the_printed_digit() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/paper/table1.toml");
    let table: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let rows = table["row"].as_array().unwrap();
    for (id, config, form) in table1() {
        let row = rows.iter().find(|row| row["id"].as_str() == Some(id)).unwrap();
        let account = config.account(CIFAR, form);
        let cell = |key: &str| row["values"][key].as_float().unwrap();
        assert_eq!(truncated(account.params() as f64 / 1e6, 2), printed(cell("params_m"), 2), "params of {id}");
        assert_eq!(truncated(account.flops() as f64 / 1e6, 1), printed(cell("flops_m"), 1), "FLOPs of {id}");
    }
}

#[test]
fn the_account_holds_what_is_allocated() -> Result<()> {
    let attention = [
        BlockConfig::NonLocal(NonLocalConfig { inner_reduction: 2 }),
        BlockConfig::SelfAttention(SelfAttentionConfig { heads: 4 }),
    ];
    let attention = attention.map(|block| {
        let first_stage_block = Some(BlockConfig::Conv(ConvConfig { kernel: 3, groups: 1 }));
        ModelConfig::CifarNet(CifarNetConfig {
            widths: [8, 16, 32],
            hidden: 64,
            block,
            width_factor: 1,
            first_stage_block,
        })
    });
    for config in table1().into_iter().map(|(_, config, _)| config).chain(attention) {
        let vars = Vars::new(0, DType::F32, &Device::Cpu);
        let model = Model::new(&config, CIFAR, &vars.root())?;
        let allocated: usize = vars.all().iter().map(|(_, var)| var.elem_count()).sum();
        assert_eq!(config.account(CIFAR, CountedForm::Training).params(), allocated, "{config:?}");
        let tensors = model.reparameterize()?.tensors();
        assert!(tensors.iter().all(|(_, t)| !t.track_op()), "a deployed network records no graph");
        let deployed: usize = tensors.iter().map(|(_, t)| t.elem_count()).sum();
        assert_eq!(config.account(CIFAR, CountedForm::Deployed).params(), deployed, "{config:?}");
    }
    Ok(())
}
