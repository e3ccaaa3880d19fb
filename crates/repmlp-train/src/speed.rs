//! Times one training step, so that a plan can say how long its runs will take on this machine.

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use repmlp::cost::CountedForm;
use repmlp::models::{Model, Task};
use repmlp::vars::Vars;

use crate::batch::Batch;
use crate::bench::numbers;
use crate::config::RunConfig;
use crate::data::Objective;
use crate::learner::Learner;
use crate::objective::Judge;
use crate::optimizer::{Optimizer, StepPlace};

/// Multiply-adds of the step at most. A processor does this work in some tenths of a second.
const MOST_WORK: f64 = 5e9;
/// Parameters of the network at most. Larger ones take seconds to make.
const MOST_PARAMS: usize = 10_000_000;

/// Returns the multiply-adds per second of a training step of this network, on this machine's CPU. Returns `None` for
/// networks that do not classify images, since their steps depend on the data, and for large networks, since a plan is
/// shown at once.
pub(crate) fn flops_per_s(config: &RunConfig) -> Result<Option<f64>> {
    if config.data.source.objective() != Objective::Classification {
        return Ok(None);
    }
    let task = config.task();
    let Task { channels, image: (h, w), classes } = task;
    let account = config.model.account(task, CountedForm::Training);
    let of_an_image = 3.0 * account.flops_all() as f64;
    if of_an_image > MOST_WORK || account.params() > MOST_PARAMS {
        return Ok(None);
    }
    let batch = ((MOST_WORK / of_an_image) as usize).clamp(1, config.training.batch);
    let vars = Vars::new(0, DType::F32, &Device::Cpu);
    let learner = Learner {
        model: Model::new(&config.model, task, &vars.root())?,
        judge: Judge::Classification { smoothing: config.training.label_smoothing, classes, weights: None },
        optimizer: Optimizer::new(&config.training.optimizer, &vars)?,
        factors: config.training.precision.factors(),
        seed: 0,
    };
    let labels: Vec<u32> = (0..classes as u32).cycle().take(batch).collect();
    let batch = Batch {
        images_nchw: numbers(&[batch, channels, h, w])?,
        labels: Tensor::from_vec(labels, batch, &Device::Cpu)?,
        blend: None,
        judged: batch,
    };
    let step = |number| learner.step(&batch, StepPlace { number, learning_rate_share: 1.0 });
    // The first step takes memory from the system.
    step(1)?;
    let begin = Instant::now();
    step(2)?;
    Ok(Some(of_an_image * batch.judged as f64 / begin.elapsed().as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_classes_has_a_speed() {
        let text = r#"
            data = { source = { kind = "fashion-mnist-5k" }, image_size = 32 }
            measure = { batch = 4, warmup = 0, repeats = 1 }
            [model]
            kind = "cifar-net"
            widths = [2, 2, 2]
            hidden = 8
            block = { kind = "rep-mlp", partition = [8, 8], groups = 1, local_kernels = [1] }
            [training]
            epochs = 1
            batch = 4
            optimizer = { kind = "sgd", learning_rate = 0.1, momentum = 0.0, nesterov = false, weight_decay = 0.0 }
            schedule = { kind = "constant", warmup_epochs = 0.0 }
        "#;
        let config: RunConfig = toml::from_str(text).unwrap();
        assert!(flops_per_s(&config).unwrap().unwrap() > 1e5);
    }
}
