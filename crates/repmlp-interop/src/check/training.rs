//! Checks cases of stochastic gradient descent: the loss of each step, and the logits after training.

use candle_core::{Device, Result, Tensor, Var};
use repmlp::models::Model;
use repmlp::{Draws, Mode};
use repmlp_kernels::{SgdStep, backward, sgd_step};

use crate::case::{Structure, TrainingCase};
use crate::check::rows::{Filling, Rows, Worst};
use crate::check::{Precision, What};
use crate::error::InteropError;

/// Number of steps that are compared in f32. The order of summation alone changes later losses by 1e-2.
const STEPS_IN_F32: usize = 2;

/// The labels repeat after this number of images.
const LABELS: usize = 10;

pub(super) fn check(case: &TrainingCase, rows: &mut Rows<'_>) -> std::result::Result<(), InteropError> {
    let (keys, Structure { config, task, batch_norm }) = (&case.keys, &case.structure);
    let vars = rows.vars(*batch_norm);
    let model = Model::new(config, *task, &vars.root())?;
    let filling = Filling {
        shapes: keys.params.as_ref(),
        naming: keys.model.naming,
        weight_gain: keys.weight_gain,
        parameter_count: None,
    };
    if !rows.fill(&vars, &filling)? {
        return Ok(());
    }
    let images = [keys.batch, task.channels, task.image.0, task.image.1];
    let input = rows.filled("input", &images)?;
    let logits = |model: &Model| Ok::<_, candle_core::Error>(model.forward(&input, Mode::Evaluate)?.detach());
    if rows.expected("logits_before").is_ok() {
        let bound = rows.precision.bound();
        rows.compare(What::LogitsBefore, &logits(&model)?, "logits_before", bound)?;
    }
    let steps = match rows.precision {
        Precision::F32 => keys.steps.min(STEPS_IN_F32),
        Precision::F64 => keys.steps,
    };
    let batches = Batches::new(rows, images, task.classes)?;
    let velocities =
        vars.parameters().iter().map(|(_, p)| Var::from_tensor(&p.zeros_like()?)).collect::<Result<Vec<_>>>()?;
    let mut losses = Vec::with_capacity(steps);
    for t in 0..steps {
        let loss = batches.loss(rows, &model, t)?;
        losses.push(loss.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?);
        let gradients = backward(&loss)?;
        let step = SgdStep {
            learning_rate: case.schedule.at(keys.lr, t, keys.steps),
            momentum: keys.momentum,
            weight_decay: keys.weight_decay,
            nesterov: keys.nesterov,
        };
        for ((_, parameter), velocity) in vars.parameters().iter().zip(&velocities) {
            let gradient = gradients.get(parameter).cloned().map_or_else(|| parameter.zeros_like(), Ok)?;
            sgd_step(parameter, velocity, &gradient, step)?;
        }
    }
    let bound = rows.precision.training_bound();
    let mut worst = Worst::none();
    let reference = rows.expected("losses")?.narrow(0, 0, steps)?;
    worst.see(
        &format!("{steps} of {} steps", keys.steps),
        &Tensor::from_vec(losses, steps, &Device::Cpu)?,
        &reference,
        0.0,
    )?;
    rows.push(What::Losses, worst, bound);
    match rows.precision {
        Precision::F32 => Ok(()),
        Precision::F64 => rows.compare(What::LogitsAfter, &logits(&model)?, "logits_after", bound),
    }
}

/// The batches of a training. A batch is the filled tensor of its step plus an offset that depends on each image's
/// label.
struct Batches {
    images: [usize; 4],
    labels: Tensor,
    offsets: Tensor,
}

impl Batches {
    fn new(rows: &Rows<'_>, images: [usize; 4], classes: usize) -> Result<Self> {
        let labels: Vec<u32> = (0..images[0]).map(|i| (i % LABELS.min(classes)) as u32).collect();
        let offsets: Vec<f64> = labels.iter().map(|&label| f64::from(label) / 10.0 - 0.45).collect();
        let offsets = Tensor::from_vec(offsets, (images[0], 1, 1, 1), &rows.device)?;
        let labels = Tensor::from_vec(labels, images[0], &rows.device)?;
        Ok(Self { images, labels, offsets: offsets.to_dtype(rows.precision.dtype())? })
    }

    /// Computes the loss of step `t`.
    fn loss(&self, rows: &Rows<'_>, model: &Model, t: usize) -> Result<Tensor> {
        let images = rows.filled(&format!("batch{t}"), &self.images)?.broadcast_add(&self.offsets)?;
        candle_nn::loss::cross_entropy(&model.forward(&images, Mode::Train(Draws::default()))?, &self.labels)
    }
}
