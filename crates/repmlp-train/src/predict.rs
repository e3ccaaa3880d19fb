//! Predicts the cost of a run before it starts: parameters, multiply-adds and memory.

use std::collections::BTreeMap;

use repmlp::cost::{Account, CountedForm, LayerCost};
use repmlp::models::{ModelConfig, Task};
use sweep_protocol::{Form, NetworkId};
use sweep_trainer::Cost;

use crate::config::{OptimizerConfig, RunConfig};

/// Returns the bytes that training needs per parameter. It holds each parameter, its gradient and the state of the
/// optimiser, all in f32.
fn bytes_of_parameter(optimizer: &OptimizerConfig) -> f64 {
    let remembered = match optimizer {
        OptimizerConfig::Sgd { .. } => 1.0,
        OptimizerConfig::AdamW { .. } => 2.0,
    };
    (2.0 + remembered) * 4.0
}

/// Bytes per value that a layer keeps for the backward pass. Values are f32; the factor covers gradients and work
/// space. It was measured: 2.3 GB for MobileFaceNet at 96x96 and batch 30, 0.24 GB for a small ResNet of Table 2 at
/// batch 64.
const BYTES_OF_KEPT: f64 = 1.6 * 4.0;
/// Bytes of the program with its threads and a small data set.
const BYTES_OF_PROGRAM: f64 = 80e6;

/// The cost of a network for one image.
struct NetworkCost {
    model: ModelConfig,
    task: Task,
    params: usize,
    flops: usize,
    training_flops: usize,
    training_params: usize,
    kept: usize,
    /// Layers and shapes of each form.
    structures: BTreeMap<Form, String>,
}

impl NetworkCost {
    fn of(config: &RunConfig) -> Self {
        let (model, task) = (config.model.clone(), config.task());
        let deployed = model.account(task, CountedForm::Deployed);
        let training = model.account(task, CountedForm::Training);
        Self {
            params: deployed.params(),
            flops: deployed.flops(),
            training_flops: training.flops_all(),
            training_params: training.params(),
            kept: training.kept(),
            structures: [(Form::Training, structure(&training)), (Form::Deployed, structure(&deployed))].into(),
            model,
            task,
        }
    }
}

/// Returns the cost of each configuration. Neighbouring configurations mostly have the same network, so it is counted
/// only once for them.
pub(crate) fn costs<E>(configs: impl Iterator<Item = Result<RunConfig, E>>) -> Result<Vec<Cost>, E> {
    let mut counted: Option<NetworkCost> = None;
    let cost = |config: Result<RunConfig, E>| {
        let config = config?;
        let network = match counted.take() {
            Some(known) if known.model == config.model && known.task == config.task() => known,
            _ => NetworkCost::of(&config),
        };
        let cost = cost(&config, &network);
        counted = Some(network);
        Ok(cost)
    };
    configs.map(cost).collect()
}

fn cost(config: &RunConfig, network: &NetworkCost) -> Cost {
    let images = config.data.expected_train_images();
    let used = images.map(|images| images / config.training.batch * config.training.batch);
    let passes = f64::from(config.training.epochs) * 3.0;
    let memory = BYTES_OF_PROGRAM
        + memory(network.training_params, network.kept, (config.training.batch, &config.training.optimizer));
    Cost {
        params: Some(network.params),
        flops: Some(network.flops),
        training: used.map(|images| images as f64 * passes * network.training_flops as f64),
        memory: Some(memory),
        images,
        networks: networks(config, network),
    }
}

/// Returns the bytes of a training step with these parameters and numbers kept per image.
fn memory(params: usize, kept: usize, (batch, optimizer): (usize, &OptimizerConfig)) -> f64 {
    bytes_of_parameter(optimizer) * params as f64 + BYTES_OF_KEPT * (kept * batch) as f64
}

/// Returns the bytes of a training step of a network, without those of the program.
pub(crate) fn memory_of_training(account: &Account, batch: usize, optimizer: &OptimizerConfig) -> f64 {
    memory(account.params(), account.kept(), (batch, optimizer))
}

/// Returns a text of everything in an account that can affect the time of a forward pass.
fn structure(account: &Account) -> String {
    let layers = account.layers().iter().map(|layer| {
        let LayerCost { name, shape, params, flops, padding_flops, activation_flops, output, kept: _ } = layer;
        format!("{name} {shape:?} {params} {flops} {padding_flops} {activation_flops} {output:?}")
    });
    layers.collect::<Vec<_>>().join("\n")
}

/// Returns the id of each form of a network. It is the same for networks of the same layers and shapes on batches of
/// the same size: the deployed RepMLP block, for example, is the same for every set of local kernels.
fn networks(config: &RunConfig, network: &NetworkCost) -> BTreeMap<Form, NetworkId> {
    let id = |(form, structure): (&Form, &String)| {
        let text = format!("{} {:?} {}\n{structure}", form.name(), network.task, config.measure.batch);
        (*form, blake3::hash(text.as_bytes()).to_hex()[..16].to_owned())
    };
    network.structures.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        data = { source = { kind = "fashion-mnist-5k" }, image_size = 32 }
        measure = { batch = 4, warmup = 0, repeats = 1 }
        [model]
        kind = "cifar-net"
        widths = [4, 4, 4]
        hidden = 8
        block = { kind = "rep-mlp", partition = [8, 8], groups = 2, local_kernels = [1, 3] }
        [training]
        epochs = 1
        batch = 4
        optimizer = { kind = "sgd", learning_rate = 0.1, momentum = 0.0, nesterov = false, weight_decay = 0.0 }
        schedule = { kind = "constant", warmup_epochs = 0.0 }
    "#;

    /// Returns the ids of the networks of a changed configuration.
    fn ids(from: &str, to: &str) -> BTreeMap<Form, NetworkId> {
        assert!(CONFIG.contains(from));
        let config: RunConfig = toml::from_str(&CONFIG.replace(from, to)).unwrap();
        costs([Ok::<_, ()>(config)].into_iter()).unwrap().remove(0).networks
    }

    #[test]
    fn networks_have_the_same_id_exactly_if_they_compute_with_the_same_layers_and_shapes() {
        let plain = ids("epochs = 1", "epochs = 1");
        assert_eq!(ids("epochs = 1", "epochs = 2"), plain, "the training does not matter");
        assert_eq!(ids("repeats = 1", "repeats = 5"), plain);
        let kernels = ids("[1, 3]", "[1]");
        assert_eq!(kernels[&Form::Deployed], plain[&Form::Deployed], "the kernels are merged");
        assert_ne!(kernels[&Form::Training], plain[&Form::Training]);
        for (from, to) in [("groups = 2", "groups = 4"), ("[8, 8]", "[4, 4]"), ("batch = 4, w", "batch = 8, w")] {
            let changed = ids(from, to);
            assert!(changed.values().all(|id| !plain.values().any(|known| known == id)), "{to}");
        }
        assert_ne!(plain[&Form::Training], plain[&Form::Deployed]);
    }
}
