//! Configuration of a run: everything that can change its result, and nothing else.
//!
//! Labels, devices, threads, folders and the seed are not part of it. A field that is added later must be skipped in
//! the serialised form at its neutral value (`skip_serializing_if`). Then the identities of old runs stay valid.

use std::path::Path;

use candle_core::{DType, Device};
use repmlp::ConfigFault;
use repmlp::models::{Model, ModelConfig, Task};
use repmlp::vars::Vars;
use repmlp_kernels::Factors;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{DataConfig, SourceShape};
use crate::decay::{self, PartDecayConfig};
use crate::objective::{Aim, Judge};
use crate::start::{StartConfig, StartError};
use crate::watched;

pub use crate::kept::KeepConfig;
pub use crate::objective::{ClassWeightsConfig, LossConfig};
pub use crate::watched::{StopEarlyConfig, Watched};

/// A complete run configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The data set and its preparation.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// Weights of another training that the network starts from. Without it, the network starts from its seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartConfig>,
    /// The training.
    pub training: TrainingConfig,
    /// The throughput measurement.
    pub measure: MeasureConfig,
}

/// Settings of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Passes over the training set.
    pub epochs: u32,
    /// Images in a batch. An incomplete last batch of an epoch is dropped.
    pub batch: usize,
    /// Share of the target that is spread over all classes.
    #[serde(default)]
    pub label_smoothing: f64,
    /// The loss. A set of people needs `am-softmax`.
    #[serde(default, skip_serializing_if = "LossConfig::is_cross_entropy")]
    pub loss: LossConfig,
    /// How much the images of each class count in the loss of a classifier.
    #[serde(default, skip_serializing_if = "ClassWeightsConfig::is_equal")]
    pub class_weights: ClassWeightsConfig,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// The learning rate schedule.
    pub schedule: ScheduleConfig,
    /// Number type of the products of convolutions and FC layers in training steps; f32 without this key. Weights,
    /// statistics and evaluations are f32 in any case.
    #[serde(default, skip_serializing_if = "PrecisionConfig::is_default")]
    pub precision: PrecisionConfig,
    /// The epochs whose weights are kept. Without it, the run keeps and reports the weights of its last epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<KeepConfig>,
    /// When the training ends before its last epoch. The schedule does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_early: Option<StopEarlyConfig>,
}

/// Number type of the products of a training step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionConfig {
    /// 32 bits, 24 of them significant, as in all tables of the paper.
    #[default]
    F32,
    /// Both factors are rounded to bf16: 16 bits, 8 of them significant. A GPU also rounds the product. GPUs have units
    /// for it; a CPU is slower than with f32.
    Bf16,
}

impl PrecisionConfig {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns how exact the factors of products are.
    pub(crate) fn factors(self) -> Factors {
        match self {
            Self::F32 => Factors::Exact,
            Self::Bf16 => Factors::Bf16,
        }
    }
}

/// The optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent with momentum, as in PyTorch.
    Sgd {
        /// Highest learning rate of the schedule.
        learning_rate: f64,
        /// Share of the velocity that is kept in each step.
        momentum: f64,
        /// Use Nesterov momentum.
        nesterov: bool,
        /// L2 penalty on every parameter.
        weight_decay: f64,
        /// Parts of the network with another weight decay.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        decay_of_parts: Vec<PartDecayConfig>,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter), as in PyTorch.
    #[serde(rename = "adamw")]
    AdamW {
        /// Highest learning rate of the schedule.
        learning_rate: f64,
        /// Share of the running mean of the gradient that is kept in each step.
        #[serde(default = "OptimizerConfig::beta1")]
        beta1: f64,
        /// Share of the running mean of the squared gradient that is kept in each step.
        #[serde(default = "OptimizerConfig::beta2")]
        beta2: f64,
        /// Added to the denominator, so that it is never zero.
        #[serde(default = "OptimizerConfig::eps")]
        eps: f64,
        /// In each step, a parameter shrinks by `learning_rate · weight_decay` times its value.
        weight_decay: f64,
        /// Parts of the network with another weight decay.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        decay_of_parts: Vec<PartDecayConfig>,
    },
}

impl OptimizerConfig {
    /// Returns the highest learning rate of the schedule.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd { learning_rate, .. } | Self::AdamW { learning_rate, .. } => *learning_rate,
        }
    }

    /// Returns the weight decay of all parameters outside of `decay_of_parts`.
    pub(crate) fn weight_decay(&self) -> f64 {
        match self {
            Self::Sgd { weight_decay, .. } | Self::AdamW { weight_decay, .. } => *weight_decay,
        }
    }

    /// Returns the parts with another weight decay.
    pub(crate) fn decay_of_parts(&self) -> &[PartDecayConfig] {
        match self {
            Self::Sgd { decay_of_parts, .. } | Self::AdamW { decay_of_parts, .. } => decay_of_parts,
        }
    }

    // The defaults of PyTorch.
    fn beta1() -> f64 {
        0.9
    }

    fn beta2() -> f64 {
        0.999
    }

    fn eps() -> f64 {
        1e-8
    }
}

/// The learning rate schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// Linear warm-up, then half a cosine down to 0.
    Cosine {
        /// Length of the warm-up in epochs; may be a fraction.
        warmup_epochs: f64,
    },
    /// Linear warm-up, then (1 − progress)^power down to 0 (PSPNet).
    Poly {
        /// The exponent; 0.9 in PSPNet.
        power: f64,
        /// Length of the warm-up in epochs; may be a fraction.
        warmup_epochs: f64,
    },
    /// Linear warm-up, then constant with a drop at each milestone.
    Steps {
        /// Epochs of the drops, in rising order; may be fractions.
        milestones: Vec<f64>,
        /// The learning rate is multiplied by this at each milestone.
        factor: f64,
        /// Length of the warm-up in epochs; may be a fraction.
        warmup_epochs: f64,
    },
    /// Linear warm-up, then constant.
    Constant {
        /// Length of the warm-up in epochs; may be a fraction.
        warmup_epochs: f64,
    },
}

/// Settings of the throughput measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasureConfig {
    /// Images in a timed batch.
    pub batch: usize,
    /// Batches before the timing starts.
    pub warmup: usize,
    /// Number of timed batches. Their median is reported.
    pub repeats: usize,
}

/// Maximum of `batch`, `warmup` and `repeats`, far above any real measurement.
const MOST_MEASURED: usize = 1 << 16;

impl RunConfig {
    /// Returns the network's input channels, image size and number of classes.
    pub fn task(&self) -> Task {
        let SourceShape { channels, classes, .. } = self.data.source.shape();
        Task { channels, image: (self.data.image_size, self.data.image_size), classes }
    }

    /// Returns what the network is trained for.
    pub(crate) fn aim(&self) -> Aim<'_> {
        Aim {
            objective: self.data.objective(),
            loss: &self.training.loss,
            label_smoothing: self.training.label_smoothing,
            class_weights: &self.training.class_weights,
            classes: self.task().classes,
        }
    }

    /// Returns all faults that can be found without reading data.
    pub fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = self.data.faults();
        faults.extend(self.training.faults());
        faults.extend(self.start.iter().flat_map(StartConfig::faults));
        faults.extend(watched::faults(&self.training, &self.data));
        let MeasureConfig { batch, warmup, repeats } = self.measure;
        for (key, value, least) in [("batch", batch, 1), ("warmup", warmup, 0), ("repeats", repeats, 1)] {
            if !(least..=MOST_MEASURED).contains(&value) {
                let message = format!("must be between {least} and {MOST_MEASURED}");
                faults.push(ConfigFault::new(format!("measure.{key}"), message));
            }
        }
        if let Some(images) = self.data.expected_train_images().filter(|images| *images < self.training.batch) {
            let message = format!("{images} training images do not fill one batch");
            faults.push(ConfigFault::new("training.batch", message));
        }
        // The network is checked only if everything else is valid.
        if faults.is_empty() {
            faults.extend(self.aim().faults(self.model.answer()));
            faults.extend(self.model.faults(self.task()));
        }
        // The parameter names need a network that can be built. Building it takes its memory, so it is done only when
        // needed.
        let parts = self.training.optimizer.decay_of_parts();
        if faults.is_empty() && !parts.is_empty() {
            match self.parameter_names() {
                Ok(names) => faults.extend(decay::misfits(parts, &names)),
                Err(fault) => faults.push(ConfigFault::new("model", fault.to_string())),
            }
        }
        faults
    }

    /// Returns the names of all parameters that the optimiser updates.
    fn parameter_names(&self) -> candle_core::Result<Vec<String>> {
        let vars = Vars::blank();
        Model::new(&self.model, self.task(), &vars.root())?;
        Judge::new(&self.aim(), self.model.outputs(self.task()), &vars)?;
        Ok(vars.parameters().into_iter().map(|(name, _)| name).collect())
    }

    /// Returns the fingerprint of everything that a run depends on besides its configuration: the data set (`data`,
    /// from [`Dataset`]) and the weights that it starts from.
    ///
    /// # Errors
    /// When the weights are missing, damaged or do not fit the network.
    ///
    /// [`Dataset`]: crate::data::Dataset
    pub fn fingerprint(&self, data: &str, folder: Option<&Path>) -> Result<String, StartError> {
        let vars = Vars::new(0, DType::F32, &Device::Cpu);
        if self.start.is_some() {
            Model::new(&self.model, self.task(), &vars.root())?;
        }
        self.begin(data, &vars, folder)
    }

    /// Gives the variables of the network their starting values. Returns the fingerprint of the data set and the
    /// weights.
    pub(crate) fn begin(&self, data: &str, vars: &Vars, folder: Option<&Path>) -> Result<String, StartError> {
        Ok(match &self.start {
            None => data.to_owned(),
            Some(start) => format!("{data}, {}", start.load((&self.model, self.task()), vars, folder)?),
        })
    }
}

impl TrainingConfig {
    fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, key: &str, message: &str| {
            if !ok {
                faults.push(ConfigFault::new(format!("training.{key}"), message));
            }
        };
        check(self.epochs > 0, "epochs", "must be at least 1");
        check(self.batch > 1, "batch", "must be at least 2: batch norm needs a variance");
        check((0.0..1.0).contains(&self.label_smoothing), "label_smoothing", "must be in [0, 1)");
        check(self.optimizer.learning_rate() > 0.0, "optimizer.learning_rate", "must be above 0");
        match &self.optimizer {
            OptimizerConfig::Sgd { momentum, nesterov, .. } => {
                check((0.0..1.0).contains(momentum), "optimizer.momentum", "must be in [0, 1)");
                check(!nesterov || *momentum > 0.0, "optimizer.nesterov", "needs a momentum above 0");
            }
            OptimizerConfig::AdamW { beta1, beta2, eps, .. } => {
                check((0.0..1.0).contains(beta1), "optimizer.beta1", "must be in [0, 1)");
                check((0.0..1.0).contains(beta2), "optimizer.beta2", "must be in [0, 1)");
                check(*eps > 0.0, "optimizer.eps", "must be above 0");
            }
        }
        check(self.optimizer.weight_decay() >= 0.0, "optimizer.weight_decay", "must not be negative");
        let warmup = self.schedule.warmup_epochs();
        match &self.schedule {
            ScheduleConfig::Poly { power, .. } => {
                check(*power > 0.0 && power.is_finite(), "schedule.power", "must be above 0");
            }
            ScheduleConfig::Steps { milestones, factor, .. } => {
                let rise = milestones.is_sorted() && milestones.iter().all(|m| *m > 0.0 && m.is_finite());
                check(rise, "schedule.milestones", "must be rising epochs above 0");
                check(*factor > 0.0 && *factor <= 1.0, "schedule.factor", "must be in (0, 1]");
            }
            ScheduleConfig::Cosine { .. } | ScheduleConfig::Constant { .. } => {}
        }
        if let LossConfig::AmSoftmax { scale, margin } = &self.loss {
            check(*scale > 0.0 && scale.is_finite(), "loss.scale", "must be above 0");
            check((0.0..1.0).contains(margin), "loss.margin", "must be in [0, 1)");
        }
        let fits = (0.0..f64::from(self.epochs)).contains(&warmup);
        check(fits, "schedule.warmup_epochs", "must be at least 0 and below the number of epochs");
        faults.extend(self.optimizer.decay_of_parts().iter().flat_map(PartDecayConfig::faults));
        faults
    }
}

impl ScheduleConfig {
    fn warmup_epochs(&self) -> f64 {
        match self {
            Self::Cosine { warmup_epochs }
            | Self::Constant { warmup_epochs }
            | Self::Poly { warmup_epochs, .. }
            | Self::Steps { warmup_epochs, .. } => *warmup_epochs,
        }
    }

    /// Returns the learning rate at `step` (counted from 0) of `steps`, as a share of the highest one. An epoch has
    /// `steps_per_epoch` steps.
    pub fn share(&self, step: u64, steps: u64, steps_per_epoch: u64) -> f64 {
        let warmup = (self.warmup_epochs() * steps_per_epoch as f64).round();
        let step = step as f64;
        if step < warmup {
            return (step + 1.0) / warmup;
        }
        let done = (step - warmup) / (steps as f64 - warmup).max(1.0);
        match self {
            Self::Constant { .. } => 1.0,
            Self::Cosine { .. } => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Self::Poly { power, .. } => (1.0 - done).powf(*power),
            Self::Steps { milestones, factor, .. } => {
                let passed = |milestone: &&f64| step >= (**milestone * steps_per_epoch as f64).round();
                milestones.iter().filter(passed).fold(1.0, |share, _| share * factor)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_rises_then_falls_to_zero() {
        let schedule = ScheduleConfig::Cosine { warmup_epochs: 1.0 };
        let share = |step| schedule.share(step, 40, 10);
        assert!((share(0) - 0.1).abs() < 1e-12);
        assert!((share(9) - 1.0).abs() < 1e-12);
        assert!((share(10) - 1.0).abs() < 1e-12);
        assert!((share(25) - 0.5).abs() < 1e-12);
        assert!(share(39) > 0.0 && share(39) < 0.01);
    }

    #[test]
    fn poly_and_steps_schedules_match_the_papers() {
        let poly = ScheduleConfig::Poly { power: 0.9, warmup_epochs: 0.0 };
        assert!((poly.share(25, 100, 10) - 0.75f64.powf(0.9)).abs() < 1e-15);
        let steps = ScheduleConfig::Steps { milestones: vec![2.0, 3.5], factor: 0.1, warmup_epochs: 0.0 };
        let shares = [19, 20, 34, 35].map(|step| steps.share(step, 40, 10));
        assert!(shares.iter().zip([1.0, 0.1, 0.1, 0.01]).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn without_warm_up_the_cosine_matches_pytorch() {
        let schedule = ScheduleConfig::Cosine { warmup_epochs: 0.0 };
        for t in 0..12u64 {
            let expected = 0.5 * (1.0 + (std::f64::consts::PI * t as f64 / 12.0).cos());
            assert!((schedule.share(t, 12, 4) - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn new_keys_are_left_out_at_their_neutral_values() {
        let sgd = r#"{"kind":"sgd","learning_rate":0.1,"momentum":0.9,"nesterov":false,"weight_decay":0.0001}"#;
        let adamw = r#"{"beta1":0.9,"beta2":0.999,"eps":1e-8,"kind":"adamw","learning_rate":0.1,"weight_decay":0.0}"#;
        for text in [sgd, adamw] {
            let config: OptimizerConfig = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_value(&config).unwrap().to_string(), text);
        }
        for (precision, is_written) in [("f32", false), ("bf16", true)] {
            let precision: PrecisionConfig = serde_json::from_value(precision.into()).unwrap();
            assert_eq!(!precision.is_default(), is_written);
        }
        let b1 = r#"{"kind":"efficient-net","variant":"b1"}"#;
        let psp_net = r#"{"backbone":{"blocks":[1,1,1,1],"width":4},"dilations":[2,4],"kind":"psp-net"}"#;
        for text in [b1, psp_net] {
            let config: ModelConfig = serde_json::from_str(text).unwrap();
            let canonical = serde_json::to_string(&config).unwrap();
            assert!(!canonical.contains("dropout") && !canonical.contains("stochastic"), "{canonical}");
        }
    }
}
