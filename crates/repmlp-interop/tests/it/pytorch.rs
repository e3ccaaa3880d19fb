//! The Python file of a network computes what this program computes. PyTorch itself is not needed here:
//! `tests/pytorch/outputs.safetensors` has the outputs of PyTorch, and `tests/pytorch/files.json` the digests of the
//! Python files that gave them. A changed file has no known outputs, and fails.
//!
//! To compute them again, name a Python with torch and safetensors:
//!
//! ```sh
//! REPMLP_PYTORCH=/path/to/python cargo test --package repmlp-interop --test it -- pytorch
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use repmlp::Mode;
use repmlp::catalogue::NamedModel;
use repmlp::models::Model;
use repmlp::vars::Vars;
use repmlp_interop::filling::fill;
use repmlp_interop::{
    Import, Naming, PythonNotes, StoredForm, export, python_file, read_checkpoint, without_auxiliary, write_safetensors,
};

const NETWORKS: &[(&str, &str)] = &[
    (
        "rep_mlp",
        "task = { channels = 3, image = [32, 32], classes = 10 }\n[model]\nkind = 'cifar-net'\nwidths = [2, 4, 4]\n\
         hidden = 8\nblock = { kind = 'rep-mlp', partition = [4, 8], groups = 2, local_kernels = [1, 3] }",
    ),
    (
        "rep_mlp_padded",
        "task = { channels = 1, image = [32, 32], classes = 4 }\n[model]\nkind = 'cifar-net'\nwidths = [2, 4, 4]\n\
         hidden = 8\nblock = { kind = 'rep-mlp', partition = [5, 3], padding = 'zero', groups = 1, local_kernels = [3] }",
    ),
    (
        "rep_mlp_conv",
        "task = { channels = 1, image = [32, 32], classes = 4 }\n[model]\nkind = 'cifar-net'\nwidths = [2, 4, 4]\n\
         hidden = 8\nblock = { kind = 'rep-mlp', partition = [8, 8], groups = 2, local_kernels = [], \
         partition_perceptron = { kind = 'conv', kernel = 9 }, global_perceptron = { kind = 'none' } }",
    ),
    (
        "non_local",
        "task = { channels = 1, image = [32, 32], classes = 4 }\n[model]\nkind = 'cifar-net'\nwidths = [2, 4, 4]\n\
         hidden = 8\nblock = { kind = 'non-local', inner_reduction = 2, scaled = true }",
    ),
    (
        "self_attention",
        "task = { channels = 1, image = [32, 32], classes = 4 }\n[model]\nkind = 'cifar-net'\nwidths = [2, 4, 4]\n\
         hidden = 8\nblock = { kind = 'self-attention', heads = 2 }",
    ),
    (
        "res_net",
        "task = { channels = 3, image = [64, 64], classes = 5 }\n[model]\nkind = 'res-net'\nblocks = [2, 2, 2, 1]\n\
         width = 4\nc2 = { kind = 'global-context', reduction = 4 }\n\
         c3 = { kind = 'rep-mlp-bottleneck', reduction = 2, rep_mlp = { partition = [4, 4], groups = 2, \
         local_kernels = [1, 3] } }\n\
         c4 = { kind = 'rep-mlp-light', reduction = 4, rep_mlp = { partition = [2, 2], groups = 2, \
         local_kernels = [1] } }\nc5 = { kind = 'self-attention', heads = 2 }",
    ),
    (
        "efficient_net",
        "task = { channels = 3, image = [64, 64], classes = 5 }\nmodel = { kind = 'efficient-net', variant = 'b1' }",
    ),
    ("mobile_face_net", "task = { channels = 3, image = [48, 48], classes = 5 }\nmodel = { kind = 'mobile-face-net' }"),
    (
        "face_res_net",
        "task = { channels = 3, image = [48, 48], classes = 5 }\n\
         model = { kind = 'face-res-net', width = 8, embedding = 6 }",
    ),
    (
        "psp_net",
        "task = { channels = 3, image = [49, 49], classes = 3 }\n[model]\nkind = 'psp-net'\ndilations = [2, 4]\n\
         width = 8\nbackbone = { blocks = [1, 1, 1, 1], width = 4 }",
    ),
    (
        "rep_mlp_net",
        "task = { channels = 3, image = [64, 64], classes = 5 }\n[model]\nkind = 'rep-mlp-net'\n\
         channels = [4, 8, 8, 16]\nblocks = [1, 1, 1, 1]\nshare_sets = [1, 2, 4, 4]\nlocal_kernels = [1]",
    ),
];

/// A network with weights, in one form.
struct Case {
    name: String,
    /// The Python file.
    text: String,
    tensors: BTreeMap<String, Tensor>,
    images: Tensor,
    /// What this program computes.
    output: Tensor,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch")
}

fn cases() -> Vec<Case> {
    NETWORKS.iter().flat_map(|(name, text)| of_network(name, text)).collect()
}

fn of_network(name: &str, text: &str) -> [Case; 2] {
    let NamedModel { task, model: config, .. } = NamedModel::parse(name, text).unwrap();
    let vars = Vars::new(0, DType::F32, &Device::Cpu);
    let model = Model::new(&config, task, &vars.root()).unwrap();
    let all = vars.all().into_iter().map(|(name, var)| {
        // Values that are typical of a trained network.
        let value = fill(&name, var.dims(), 1.0).unwrap();
        (name, value)
    });
    let values: BTreeMap<String, Tensor> = all.collect();
    vars.load(&values).unwrap();
    let import = Import::of(&values, &config, task).unwrap();
    let (h, w) = task.image;
    let images = fill("input", &[3, task.channels, h, w], 1.0).unwrap();
    let deployed = model.reparameterize().unwrap();
    let outputs = [model.forward(&images, Mode::Evaluate).unwrap().detach(), deployed.forward(&images).unwrap()];
    let forms = [StoredForm::Training, StoredForm::Deployed];
    let mut outputs = outputs.into_iter();
    forms.map(|form| {
        let name = format!("{name}_{form}");
        let notes = PythonNotes {
            run: "a test".to_owned(),
            program: "repmlp-interop".to_owned(),
            weights: format!("{name}.safetensors"),
            images: None,
            classes: None,
            mean: vec![127.5; task.channels],
            deviation: vec![64.0; task.channels],
            accuracy: None,
        };
        let tensors = export(&import, (&config, task), (Naming::Official, form)).unwrap();
        Case {
            text: python_file((&config, task), form, &notes).unwrap(),
            tensors: without_auxiliary(tensors, (&config, task), form).unwrap(),
            images: images.clone(),
            output: outputs.next().unwrap(),
            name,
        }
    })
}

/// Loads the networks in PyTorch, and writes their outputs for the images.
const RUN: &str = "
import importlib, sys, torch
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
images, outputs = load_file(sys.argv[1] + '/images.safetensors'), {}
for name in images:
    network = importlib.import_module(name).load().double()
    with torch.inference_mode():
        outputs[name] = network(images[name].double()).float().contiguous()
save_file(outputs, sys.argv[2])
";

/// Computes the outputs with PyTorch, and stores them with the digests of the files.
fn compute_again(python: &Path, cases: &[Case]) {
    let work = tempfile::tempdir().unwrap();
    let mut images = BTreeMap::new();
    for case in cases {
        std::fs::write(work.path().join(format!("{}.py", case.name)), &case.text).unwrap();
        write_safetensors(&work.path().join(format!("{}.safetensors", case.name)), &case.tensors).unwrap();
        images.insert(case.name.clone(), case.images.clone());
    }
    write_safetensors(&work.path().join("images.safetensors"), &images).unwrap();
    let outputs = folder().join("outputs.safetensors");
    let status = Command::new(python).args(["-c", RUN]).arg(work.path()).arg(outputs).status().unwrap();
    assert!(status.success(), "PyTorch failed");
    let digests: BTreeMap<&str, String> = cases.iter().map(|case| (case.name.as_str(), digest(&case.text))).collect();
    let text = serde_json::to_string_pretty(&digests).unwrap() + "\n";
    std::fs::write(folder().join("files.json"), text).unwrap();
}

fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

#[test]
fn the_python_file_of_each_network_computes_the_same_in_pytorch() {
    let cases = cases();
    if let Some(python) = std::env::var_os("REPMLP_PYTORCH") {
        compute_again(Path::new(&python), &cases);
    }
    let digests: BTreeMap<String, String> =
        serde_json::from_slice(&std::fs::read(folder().join("files.json")).unwrap()).unwrap();
    let outputs = read_checkpoint(&folder().join("outputs.safetensors")).unwrap();
    assert_eq!((digests.len(), outputs.len()), (cases.len(), cases.len()));
    for case in &cases {
        assert_eq!(digests[&case.name], digest(&case.text), "{}: PyTorch has not run this file", case.name);
        let expected = &outputs[&case.name];
        assert_eq!(expected.dims(), case.output.dims(), "{}", case.name);
        let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (found, expected) = (numbers(&case.output), numbers(expected));
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let differs = found.iter().zip(&expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        // PyTorch computed in f64, this program in f32 with up to about 100 layers. Each rounds by 6e-8 of its
        // largest number, so 100 layers differ by some 1e-5 of it.
        assert!(largest > 0.0 && differs <= 2e-5 * largest, "{}: {differs} of {largest}", case.name);
    }
}
