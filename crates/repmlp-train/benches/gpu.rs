//! Marks ranges for a profiler, on the first GPU: one step of each case, all operations alone, and a whole run
//! (loading, steps, checkpoints, evaluation, merging). `.ci/check-cuda` counts what each asks of a GPU.
//!
//!     cargo bench --package repmlp-train --features cuda --bench gpu

use repmlp_train::bench::{Suite, device};
use repmlp_train::config::RunConfig;
use repmlp_train::{DeviceChoice, Resources, StopFlag, train};
use sweep_protocol::MemorySink;

/// A small network with every part of a RepMLP block, on images that the program carries.
const RUN: &str = r#"
[data]
source      = { kind = "fashion-mnist-5k" }
image_size  = 32
train_limit = 64
test_limit  = 32

[model]
kind   = "cifar-net"
widths = [4, 4, 4]
hidden = 8
block  = { kind = "rep-mlp", partition = [8, 8], groups = 2, local_kernels = [1, 3] }

[training]
epochs    = 2
batch     = 16
optimizer = { kind = "sgd", learning_rate = 0.05, momentum = 0.9, nesterov = true, weight_decay = 1e-4 }
schedule  = { kind = "cosine", warmup_epochs = 0.0 }
precision = "bf16"

[measure]
batch   = 4
warmup  = 0
repeats = 1
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gpu = DeviceChoice::Cuda(0).open()?;
    for suite in [Suite::Train, Suite::Infer] {
        device::mark_steps(&gpu, suite, |case, predicted| match predicted {
            Some(bytes) => println!("{{\"case\": \"{case}\", \"predicted_bytes\": {bytes:.0}}}"),
            None => println!("{{\"case\": \"{case}\"}}"),
        })?;
    }
    println!("{{\"case\": \"all operations\"}}");
    // On the counting driver all results are zeros. That each operation can be sent is what counts here.
    for agreement in device::marked(|| device::agreements(&gpu))? {
        agreement.difference.map_err(|fault| format!("{}: {fault}", agreement.operation))?;
    }
    println!("{{\"case\": \"a whole run\"}}");
    device::marked(whole_run)
}

fn whole_run() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let resources = Resources {
        device: DeviceChoice::Cuda(0),
        threads: 1,
        data: None,
        digests: None,
        folder: folder.path().to_owned(),
        resume_from: Vec::new(),
        origin: Default::default(),
    };
    let config: RunConfig = toml::from_str(RUN)?;
    train(&config, 1, &resources, &StopFlag::new(false), &mut MemorySink::default())?;
    Ok(())
}
