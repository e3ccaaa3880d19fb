//! Exported networks can be imported again, and PyTorch state dicts fit our networks.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use repmlp::blocks::{GlobalPerceptronConfig, PaddingConfig, PartitionPerceptronConfig, RepMlpConfig};
use repmlp::models::{EfficientNetConfig, EfficientNetVariant, Model, ModelConfig, ResNetConfig, StageConfig, Task};
use repmlp::vars::Vars;
use repmlp_interop::{Import, InteropError, Naming, StoredForm, export, read_checkpoint, write_safetensors};

use crate::name_lists::names;

const IMAGENET: Task = Task { channels: 3, image: (224, 224), classes: 1000 };

fn rep_mlp(groups: usize) -> RepMlpConfig {
    RepMlpConfig {
        partition: [7, 7],
        padding: PaddingConfig::None,
        groups,
        local_kernels: vec![1, 3, 5],
        global_perceptron: GlobalPerceptronConfig::default(),
        partition_perceptron: PartitionPerceptronConfig::Fc {},
    }
}

fn resnet(blocks: [usize; 4], c3: StageConfig, c4: StageConfig) -> ModelConfig {
    let plain = StageConfig::Bottleneck {};
    ModelConfig::ResNet(ResNetConfig { blocks, width: 64, c2: plain.clone(), c3, c4, c5: plain })
}

fn bottlenecks() -> ModelConfig {
    let stage = |reduction| StageConfig::RepMlpBottleneck { reduction, rep_mlp: rep_mlp(8) };
    resnet([3, 4, 6, 3], stage(2), stage(4))
}

fn light_blocks() -> ModelConfig {
    let stage = || StageConfig::RepMlpLight { reduction: 8, rep_mlp: rep_mlp(4) };
    resnet([3, 4, 6, 3], stage(), stage())
}

fn plain(blocks: [usize; 4]) -> ModelConfig {
    resnet(blocks, StageConfig::Bottleneck {}, StageConfig::Bottleneck {})
}

/// Returns a state dict of zeros with the names and shapes of a list.
fn zeros(list: &str) -> BTreeMap<String, Tensor> {
    let zeros = |dims: Vec<usize>| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    names(list).into_iter().map(|(name, dims)| (name, zeros(dims))).collect()
}

fn shapes(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Vec<usize>> {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect()
}

/// Imports a state dict of zeros completely and exports it with the same names. Returns the import.
fn fits(list: &str, config: &ModelConfig, naming: Naming, form: StoredForm) -> Import {
    let import = Import::of(&zeros(list), config, IMAGENET).unwrap();
    assert_eq!((import.naming, import.form), (naming, form), "{list}");
    assert!(import.is_complete() && import.left_over.is_empty(), "{list}: {:?} {:?}", import.missing, import.left_over);
    let exported = export(&import, (config, IMAGENET), (naming, form)).unwrap();
    assert_eq!(shapes(&exported), names(list), "{list}");
    import
}

#[test]
fn official_state_dicts_of_rep_mlp_res50_fit_in_both_forms() {
    for (config, list) in [(bottlenecks(), "repmlp_res50_bottleneck"), (light_blocks(), "repmlp_res50_light")] {
        let deployed = format!("{list}_deployed");
        fits(&deployed, &config, Naming::Official, StoredForm::Deployed);
        let import = fits(&format!("{list}_training"), &config, Naming::Official, StoredForm::Training);
        let merged = export(&import, (&config, IMAGENET), (Naming::Official, StoredForm::Deployed)).unwrap();
        assert_eq!(shapes(&merged), names(&deployed));
    }
}

#[test]
fn state_dicts_of_torchvision_fit() {
    let res50 = plain([3, 4, 6, 3]);
    fits("res50_official", &res50, Naming::Official, StoredForm::Training);
    let import = fits("res50_torchvision", &res50, Naming::Torchvision, StoredForm::Training);
    let official = export(&import, (&res50, IMAGENET), (Naming::Official, StoredForm::Training)).unwrap();
    assert_eq!(shapes(&official), names("res50_official"));
    let b1 = ModelConfig::EfficientNet(EfficientNetConfig {
        variant: EfficientNetVariant::B1,
        dropout: 0.0,
        stochastic_depth: 0.0,
    });
    fits("efficientnet_b1_torchvision", &b1, Naming::Torchvision, StoredForm::Training);
}

/// Returns the initial weights of a small network.
fn drawn(config: &ModelConfig) -> BTreeMap<String, Tensor> {
    let vars = Vars::new(7, DType::F32, &Device::Cpu);
    Model::new(config, IMAGENET, &vars.root()).unwrap();
    vars.all().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect()
}

fn bits(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Vec<u32>> {
    let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect();
    tensors.iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect()
}

#[test]
fn weights_come_back_from_a_file_bit_by_bit() {
    let config = plain([1, 1, 1, 1]);
    let weights = drawn(&config);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for naming in [Naming::Official, Naming::Torchvision] {
        let import = Import::of(&weights, &config, IMAGENET).unwrap();
        let exported = export(&import, (&config, IMAGENET), (naming, StoredForm::Training)).unwrap();
        write_safetensors(&path, &exported).unwrap();
        let back = Import::of(&read_checkpoint(&path).unwrap(), &config, IMAGENET).unwrap();
        assert_eq!(back.naming, naming);
        assert_eq!(bits(&back.values), bits(&weights));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file stays behind");
}

#[test]
fn missing_additional_and_misshapen_tensors_are_listed() {
    let mut weights = drawn(&plain([1, 1, 1, 1]));
    let bias = weights.remove("linear.bias").unwrap();
    weights.insert("head.bias".to_owned(), bias.narrow(0, 0, 10).unwrap());
    weights.insert("linear.weight".to_owned(), Tensor::zeros((10, 2048), DType::F32, &Device::Cpu).unwrap());
    weights.insert("stage0.0.bn.num_batches_tracked".to_owned(), Tensor::new(3i64, &Device::Cpu).unwrap());
    let import = Import::of(&weights, &plain([1, 1, 1, 1]), IMAGENET).unwrap();
    assert!(!import.is_complete());
    assert_eq!(import.missing, ["linear.bias"]);
    assert_eq!(import.left_over, ["head.bias"]);
    let misshapen: Vec<_> = import.misshapen.iter().map(|m| (m.name.as_str(), &m.found[..], &m.wanted[..])).collect();
    assert_eq!(misshapen, [("linear.weight", &[10, 2048][..], &[1000, 2048][..])]);
}

#[test]
fn impossible_exports_are_refused() {
    let deployed = zeros("repmlp_res50_bottleneck_deployed");
    let config = bottlenecks();
    let import = Import::of(&deployed, &config, IMAGENET).unwrap();
    let apart = export(&import, (&config, IMAGENET), (Naming::Official, StoredForm::Training));
    assert!(matches!(apart, Err(InteropError::Merged)));
    let unnamed = export(&import, (&config, IMAGENET), (Naming::Torchvision, StoredForm::Deployed)).unwrap_err();
    assert!(
        unnamed.to_string().starts_with("torchvision has no names for `stage2.1.btnk_conv1.conv.bias`"),
        "{unnamed}"
    );
}
