//! Predicts the cost of a run before it starts: parameters, multiply-adds and memory.

use repmlp::cost::CountedForm;
use repmlp::models::{ModelConfig, Task};
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
        + bytes_of_parameter(&config.training.optimizer) * network.training_params as f64
        + BYTES_OF_KEPT * (network.kept * config.training.batch) as f64;
    Cost {
        params: Some(network.params),
        flops: Some(network.flops),
        training: used.map(|images| images as f64 * passes * network.training_flops as f64),
        memory: Some(memory),
        images,
    }
}
