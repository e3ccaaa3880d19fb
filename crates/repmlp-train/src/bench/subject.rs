//! Networks and blocks that the benchmark times: networks of the catalogue, and the paper's block alone.

use candle_core::{DType, Device, Error, Result, Tensor, Var};
use repmlp::blocks::{GlobalPerceptronConfig, PaddingConfig, PartitionPerceptronConfig};
use repmlp::blocks::{RepMlpBlock, RepMlpConfig, RepMlpShape};
use repmlp::catalogue::{self, NamedModel};
use repmlp::cost::{Account, CountedForm, LayerCost};
use repmlp::models::{Model, Task};
use repmlp::vars::Vars;
use repmlp::{Draws, Mode};
use repmlp_kernels::{Factors, backward};

use super::Suite;
use super::kernels::numbers;
use crate::batch::Batch;
use crate::config::OptimizerConfig;
use crate::learner::{After, Learner, Phase};
use crate::objective::Judge;
use crate::optimizer::{Optimizer, StepPlace};
use crate::predict::memory_of_training;

/// Seed of the initial values.
const SEED: u64 = 1;

/// Settings of the base experiment of the pure MLP. They do not change any time.
const OPTIMIZER: OptimizerConfig = OptimizerConfig::Sgd {
    learning_rate: 0.05,
    momentum: 0.9,
    nesterov: false,
    weight_decay: 1e-4,
    decay_of_parts: Vec::new(),
};

/// What is timed. It tells the end of its phases, if it has several.
pub(super) type Step = Box<dyn Fn(&mut After<'_>) -> Result<()>>;

/// The network or block of a case.
pub(super) struct Subject {
    name: &'static str,
    /// Images in a batch on a CPU, and on a GPU, which needs larger ones to be busy.
    batches: [usize; 2],
    what: What,
}

enum What {
    /// A network of the catalogue.
    Network(&'static str),
    /// The paper's block with 7×7 partitions, 8 groups, K = 1, 3, 5, 7 and ρ = 4. `channels` are its input and output
    /// channels, `side` is the side of its square map.
    Block { channels: usize, side: usize },
}

pub(super) const SUBJECTS: [Subject; 6] = [
    Subject { name: "pure_mlp", batches: [128, 128], what: What::Network("cifar-pure-mlp") },
    Subject { name: "block_c128", batches: [32, 256], what: What::Block { channels: 128, side: 14 } },
    Subject { name: "block_c64", batches: [32, 256], what: What::Block { channels: 64, side: 28 } },
    Subject { name: "wide_convnet", batches: [128, 128], what: What::Network("cifar-wide-convnet") },
    Subject { name: "resnet50", batches: [8, 64], what: What::Network("resnet50") },
    Subject { name: "repmlp_res50", batches: [8, 64], what: What::Network("repmlp-res50") },
];

impl Subject {
    /// Returns the name of its case.
    pub(super) fn case(&self, suite: Suite) -> String {
        let work = match (suite, &self.what) {
            (Suite::Train, What::Network(_)) => "train_step",
            (Suite::Train, What::Block { .. }) => "forward_backward",
            (Suite::Infer | Suite::Kernels, _) => "infer",
        };
        format!("{}_{work}", self.name)
    }

    /// Returns the number of images in a batch on a device.
    pub(super) fn batch(&self, device: &Device) -> usize {
        self.batches[usize::from(!device.is_cpu())]
    }

    /// Returns the step to time, with all its inputs on a device.
    pub(super) fn prepare(&self, suite: Suite, device: &Device) -> Result<Step> {
        match self.what {
            What::Network(name) => network(&catalogued(name)?, self.batch(device), (suite, device)),
            What::Block { channels, side } => block((channels, side), self.batch(device), (suite, device)),
        }
    }

    /// Predicts the memory of a training step on a device, in bytes.
    pub(super) fn memory(&self, device: &Device) -> Result<f64> {
        let account = match self.what {
            What::Network(name) => {
                let NamedModel { task, model, .. } = catalogued(name)?;
                model.account(task, CountedForm::Training)
            }
            What::Block { channels, side } => {
                let mut account = Account::new(CountedForm::Training);
                block_config().account(block_shape(channels, side)?, "block", &mut account);
                account
            }
        };
        Ok(memory_of_training(&account, self.batch(device), &OPTIMIZER))
    }

    /// Returns the necessary multiply-adds for a batch on a device.
    pub(super) fn multiply_adds(&self, suite: Suite, device: &Device) -> Result<f64> {
        let form = if suite == Suite::Train { CountedForm::Training } else { CountedForm::Deployed };
        let (account, unneeded) = match self.what {
            What::Network(name) => {
                let NamedModel { task, model, .. } = catalogued(name)?;
                let account = model.account(task, form);
                let of_images = account.layers().first().map_or(0, LayerCost::flops_needed);
                (account, of_images)
            }
            What::Block { channels, side } => {
                let mut account = Account::new(form);
                block_config().account(block_shape(channels, side)?, "block", &mut account);
                (account, 0)
            }
        };
        let of_an_image = match suite {
            Suite::Train => 3 * account.flops_needed() - unneeded,
            Suite::Infer | Suite::Kernels => account.flops_needed(),
        };
        Ok((self.batch(device) * of_an_image) as f64)
    }
}

fn catalogued(name: &str) -> Result<NamedModel> {
    catalogue::find(name).map_err(Error::wrap)
}

fn network(named: &NamedModel, batch: usize, (suite, device): (Suite, &Device)) -> Result<Step> {
    let Task { channels, image: (h, w), classes } = named.task;
    let images_nchw = numbers(&[batch, channels, h, w])?.to_device(device)?;
    let vars = Vars::new(SEED, DType::F32, device);
    let model = Model::new(&named.model, named.task, &vars.root())?;
    if suite == Suite::Infer {
        let deployed = model.reparameterize()?;
        return Ok(Box::new(move |_| deployed.forward(&images_nchw).map(drop)));
    }
    let labels = Tensor::from_vec((0..batch).map(|i| (i % classes) as u32).collect::<Vec<_>>(), batch, device)?;
    let judge = Judge::Classification { smoothing: 0.0, classes, weights: None };
    let optimizer = Optimizer::new(&OPTIMIZER, &vars)?;
    let learner = Learner { model, judge, optimizer, factors: Factors::current(), seed: SEED };
    let place = StepPlace { number: 1, learning_rate_share: 1.0 };
    let batch = Batch { images_nchw, labels, blend: None, judged: batch };
    Ok(Box::new(move |after| learner.step_by_phase(&batch, place, after).map(drop)))
}

fn block_config() -> RepMlpConfig {
    RepMlpConfig {
        partition: [7, 7],
        padding: PaddingConfig::None,
        groups: 8,
        local_kernels: vec![1, 3, 5, 7],
        global_perceptron: GlobalPerceptronConfig::Fc { reduction: 4 },
        partition_perceptron: PartitionPerceptronConfig::Fc {},
    }
}

fn block_shape(channels: usize, side: usize) -> Result<RepMlpShape> {
    let shape = block_config().shape(channels, channels, (side, side));
    shape.ok_or_else(|| Error::Msg(format!("partitions do not divide a map of {side}x{side}")))
}

fn block((channels, side): (usize, usize), batch: usize, (suite, device): (Suite, &Device)) -> Result<Step> {
    let x_chwn = numbers(&[channels, side, side, batch])?.to_device(device)?;
    let vars = Vars::new(SEED, DType::F32, device);
    let block = RepMlpBlock::new(&block_config(), block_shape(channels, side)?, &vars.root())?;
    if suite == Suite::Infer {
        let deployed = block.reparameterize()?;
        return Ok(Box::new(move |_| deployed.forward(&x_chwn).map(drop)));
    }
    // Inside a network, the gradient of the input is needed too.
    let x_chwn = Var::from_tensor(&x_chwn)?;
    Ok(Box::new(move |after| {
        let y = block.forward(x_chwn.as_tensor(), Mode::Train(Draws::default()))?;
        after(Phase::Forward)?;
        backward(&y)?;
        after(Phase::Backward)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_multiply_adds_are_those_of_the_account_without_padding() {
        let [pure_mlp, block, ..] = &SUBJECTS;
        // The deployed pure MLP has no kernel larger than 1×1, so it has no padding.
        let NamedModel { task, model, .. } = catalogued("cifar-pure-mlp").unwrap();
        let deployed = model.account(task, CountedForm::Deployed);
        assert!(
            (pure_mlp.multiply_adds(Suite::Infer, &Device::Cpu).unwrap() - (128 * deployed.flops()) as f64).abs() < 0.5
        );
        // FC1 and FC2, then for each of four partitions FC3 and the local convolutions. For each K, the taps along one
        // axis that meet a pixel are summed over 7 positions: 7, 19, 29 and 37.
        let taps = [7, 19, 29, 37].map(|along: usize| along * along).iter().sum::<usize>();
        let of_an_image = 2 * 512 * 128 + 4 * (49 * 49 + taps) * 128 * 16;
        assert!((block.multiply_adds(Suite::Train, &Device::Cpu).unwrap() - (3 * 32 * of_an_image) as f64).abs() < 0.5);
    }

    #[test]
    fn names_of_cases_are_unique() {
        for suite in [Suite::Train, Suite::Infer, Suite::Kernels] {
            let mut names = super::super::names(suite);
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}
