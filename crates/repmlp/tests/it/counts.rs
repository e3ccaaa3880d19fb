//! Compares the account of every network in the catalogue with independent counts, and with the tensors that are
//! allocated. The independent counts confirm the paper's tables.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result};
use repmlp::catalogue::{self, NamedModel};
use repmlp::cost::CountedForm;
use repmlp::models::{Model, ModelConfig, Task};
use repmlp::vars::Vars;

/// Parameters and multiply-adds in millions. They were counted from the described structures, independently of this
/// code, and are copied here with all their digits. `repmlp-sweep count` compares the same accounts with the printed
/// tables.
const RECOUNTS: &[(&str, f64, f64)] = &[
    ("cifar-pure-mlp", 22.4144, 52.844),
    ("cifar-no-local", 22.4144, 52.844),
    ("cifar-no-global", 22.0852, 52.516),
    ("cifar-fc3-conv9", 0.8157, 66.213),
    ("cifar-conv9", 0.4865, 65.885),
    ("cifar-wide-convnet", 0.5075, 65.181),
    ("resnet50", 25.5305, 4089.184),
    ("resnet101", 44.4965, 7801.405),
    ("resnet50-320", 25.5305, 8343.142),
    ("resnet101-320", 44.4965, 15919.104),
    ("repmlp-res50-c4-r4g8", 30.8764, 3825.412),
    ("repmlp-res50-c4-r4g2", 49.3161, 3899.171),
    ("repmlp-res50-c4-r8g8", 25.0284, 3661.974),
    ("repmlp-res50-c4-r2g8", 52.7753, 4190.151),
    ("repmlp-res50-c2345", 74.4644, 3869.112),
    ("repmlp-res50-c234", 66.9764, 3974.883),
    ("repmlp-res50-c345", 48.3595, 3784.940),
    ("repmlp-res50", 40.8715, 3890.711),
    ("repmlp-res50-c3", 35.5256, 4154.483),
    ("repmlp-res50-light", 57.8683, 2919.563),
    ("repmlp-res50-320-g8-16", 59.2231, 8057.225),
    ("repmlp-res50-320-g8-8", 72.0231, 8108.425),
    ("repmlp-res50-320-g4-8", 87.3831, 8354.185),
    ("nl-res50-320", 27.6302, 9182.003),
    ("gc-res50-320", 28.0522, 8351.982),
    ("efficientnet-b1", 7.7632, 686.803),
    ("efficientnet-b2", 9.0762, 993.562),
    ("efficientnet-b3", 12.1896, 1827.141),
    ("mobilefacenet", 0.9867, 162.359),
    ("faceresnet", 40.3535, 1050.329),
    ("repmlp-faceres", 28.3298, 406.176),
    ("pspnet-repmlp-res50-g4-8", 175.4113, 342_696.857),
    ("pspnet-res50", 46.5625, 350_004.969),
];

#[test]
fn every_network_of_the_paper_matches_the_recounts() {
    for (name, params_m, flops_m) in RECOUNTS {
        let NamedModel { task, model, .. } = catalogue::find(name).unwrap();
        let account = model.account(task, CountedForm::Deployed);
        let (params, flops) = (account.params() as f64 / 1e6, account.flops() as f64 / 1e6);
        // One unit of the last digit: the recounts may be rounded or truncated.
        assert!((params - params_m).abs() < 1e-4, "{name}: {params} M parameters, not {params_m}");
        assert!((flops - flops_m).abs() < 1e-3, "{name}: {flops} M multiply-adds, not {flops_m}");
    }
}

/// The runs of the profile `paper` in `experiments/table6_segmentation.toml` start this way.
#[test]
fn the_papers_segmentation_networks_can_start_from_its_classifiers() {
    let layers = |name: &str| {
        let NamedModel { task, model, .. } = catalogue::find(name).unwrap();
        let account = model.account(task, CountedForm::Training);
        account.layers().iter().map(|layer| (layer.name.clone(), layer.shape.clone())).collect::<BTreeMap<_, _>>()
    };
    let heads = ["ppm", "classifier", "auxiliary"];
    for (network, start, fresh) in [
        ("pspnet-res50", "resnet50-320", &heads[..]),
        ("pspnet-repmlp-res50-g4-8", "repmlp-res50-320-g4-8", &["ppm", "classifier", "auxiliary", "fc1_fc2"][..]),
    ] {
        let given = layers(start);
        let is_fresh = |name: &str| name.split('.').any(|part| fresh.contains(&part));
        let (fresh, inherited): (Vec<_>, Vec<_>) = layers(network).into_iter().partition(|(name, _)| is_fresh(name));
        assert!(!fresh.is_empty() && inherited.len() > 50, "{network}");
        for (name, shape) in inherited {
            assert_eq!(given.get(&name), Some(&shape), "{network}: {name}");
        }
    }
}

#[test]
fn the_successors_networks_have_the_published_sizes() -> Result<()> {
    // Parameters that the optimiser updates, and multiply-adds of the training form. They were counted independently,
    // from the official code.
    for (name, params_m, flops_m) in [("repmlpnet-t224", 38.2936, 2807.988), ("repmlpnet-b224", 68.2427, 6675.722)] {
        let NamedModel { task, model, .. } = catalogue::find(name).unwrap();
        let vars = Vars::new(0, DType::F32, &Device::Cpu);
        Model::new(&model, task, &vars.root())?;
        let params: usize = vars.parameters().iter().map(|(_, var)| var.elem_count()).sum();
        let flops = model.account(task, CountedForm::Training).flops();
        assert!((params as f64 / 1e6 - params_m).abs() < 1e-4, "{name}: {params} parameters");
        assert!((flops as f64 / 1e6 - flops_m).abs() < 1e-3, "{name}: {flops} multiply-adds");
    }
    Ok(())
}

/// Returns a network of the same kind that is small enough to allocate quickly.
fn shrunk(model: &ModelConfig, task: Task) -> (ModelConfig, Task) {
    let mut model = model.clone();
    if let ModelConfig::PspNet(config) = &mut model {
        // The partitions are still 10x10, but a map has one of them instead of 81.
        config.width = 64;
        return (model, Task { image: (80, 80), ..task });
    }
    (model, task)
}

#[test]
fn the_account_matches_the_allocated_tensors() -> Result<()> {
    // One network of each kind. Others of the same kind differ only in their sizes.
    let names = [
        "cifar-pure-mlp",
        "cifar-fc3-conv9",
        "cifar-no-global",
        "cifar-wide-convnet",
        "repmlp-res50-c234",
        "repmlp-res50-light",
        "nl-res50-320",
        "gc-res50-320",
        "efficientnet-b1",
        "mobilefacenet",
        "repmlp-faceres",
        "pspnet-repmlp-res50-g4-8",
        "repmlpnet-t224",
    ];
    for name in names {
        let NamedModel { task, model, .. } = catalogue::find(name).unwrap();
        allocated_as_counted(name, &model, task)?;
    }
    Ok(())
}

#[test]
fn the_account_of_a_res_net_with_attention_matches_the_allocated_tensors() -> Result<()> {
    let text = "task = { channels = 1, image = [64, 64], classes = 7 }\n\
        model = { kind = \"res-net\", blocks = [1, 2, 1, 2], width = 8, \
        c5 = { kind = \"self-attention\", heads = 4 } }";
    let NamedModel { task, model, .. } = NamedModel::parse("botnet", text).unwrap();
    allocated_as_counted("botnet", &model, task)
}

#[test]
fn dropout_adds_no_parameters_or_flops_and_is_not_in_the_deployed_form() {
    for name in ["efficientnet-b2", "pspnet-res50"] {
        let NamedModel { task, model: plain, .. } = catalogue::find(name).unwrap();
        let mut model = plain.clone();
        match &mut model {
            ModelConfig::EfficientNet(config) => (config.dropout, config.stochastic_depth) = (0.3, 0.2),
            ModelConfig::PspNet(config) => config.dropout = 0.1,
            _ => panic!("{name} has no dropout"),
        }
        let layers = |model: &ModelConfig, form| model.account(task, form).layers().to_vec();
        assert_eq!(layers(&model, CountedForm::Deployed), layers(&plain, CountedForm::Deployed), "{name}");
        let [with, without] = [&model, &plain].map(|model| model.account(task, CountedForm::Training));
        assert_eq!((with.params(), with.flops_all()), (without.params(), without.flops_all()), "{name}");
        // The backward pass needs the result of dropout.
        assert!(with.kept() > without.kept(), "{name}");
    }
}

fn allocated_as_counted(name: &str, model: &ModelConfig, task: Task) -> Result<()> {
    let (config, task) = shrunk(model, task);
    let vars = Vars::new(0, DType::F32, &Device::Cpu);
    let model = Model::new(&config, task, &vars.root())?;
    // The auxiliary head is allocated in training but never counted, as in Table 6 of the paper.
    let counted = vars.all().into_iter().filter(|(name, _)| !name.starts_with("auxiliary"));
    let allocated: usize = counted.map(|(_, var)| var.elem_count()).sum();
    assert_eq!(config.account(task, CountedForm::Training).params(), allocated, "{name}, training");
    let deployed: usize = model.reparameterize()?.tensors()?.iter().map(|(_, tensor)| tensor.elem_count()).sum();
    assert_eq!(config.account(task, CountedForm::Deployed).params(), deployed, "{name}, deployed");
    Ok(())
}
