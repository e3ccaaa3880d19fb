//! What a network is trained for: its loss, what is counted as a hit, and how it is judged. One file an objective.
//!
//! Knows answers and labels; not where images come from, nor how long is trained.

mod classification;
mod embeddings;
mod segmentation;
mod verification;

use candle_core::{Result, Tensor, bail};
use repmlp::models::{Answer, Model};
use repmlp::vars::Vars;
use repmlp::{ConfigFault, Draws, Mode};
use sweep_protocol::Metric;

use crate::TrainError;
use crate::batch::Batch;
use crate::config::{LossConfig, RunConfig};
use crate::data::{DataError, Objective};
use crate::evaluate::EvaluationSplit;
use segmentation::Confusion;
use verification::AmSoftmax;

pub(crate) use embeddings::Embeddings;

/// What a training step is steered by, and what it got right.
pub(crate) struct Judgement {
    /// Scalar.
    pub(crate) loss: Tensor,
    /// Images, or pixels, that were told rightly; a scalar that stays on the device.
    pub(crate) hits: Tensor,
}

/// An objective with what it needs beside the network.
pub(crate) enum Judge {
    /// Which class is in the image?
    Classification {
        /// Share of a target that is spread over all classes.
        smoothing: f64,
        classes: usize,
    },
    /// Who is it? The head is a part of the training alone.
    Verification(AmSoftmax),
    /// Which class is each pixel of?
    Segmentation { classes: usize },
}

impl Judge {
    /// The judge of a run; what its loss learns is among `vars`.
    pub(crate) fn new(config: &RunConfig, vars: &Vars) -> Result<Self> {
        let task = config.task();
        match (config.data.objective(), &config.training.loss) {
            (Objective::Classification, _) => {
                Ok(Self::Classification { smoothing: config.training.label_smoothing, classes: task.classes })
            }
            (Objective::Segmentation, _) => Ok(Self::Segmentation { classes: task.classes }),
            (Objective::Verification, LossConfig::AmSoftmax { scale, margin }) => {
                let numbers = config.model.outputs(task);
                let head = AmSoftmax::new((*scale, *margin), (task.classes, numbers), &vars.root().enter("head"))?;
                Ok(Self::Verification(head))
            }
            (Objective::Verification, LossConfig::CrossEntropy {}) => bail!("embeddings are trained with am-softmax"),
        }
    }

    /// A training pass over a batch.
    pub(crate) fn train(&self, model: &Model, batch: &Batch, draws: Draws) -> Result<Judgement> {
        let mode = Mode::Train(draws);
        match self {
            Self::Classification { smoothing, .. } => {
                classification::judge(&model.forward(&batch.images_nchw, mode)?, batch, *smoothing)
            }
            Self::Verification(head) => head.judge(&model.forward(&batch.images_nchw, mode)?, &batch.labels),
            Self::Segmentation { .. } => {
                let (answer, auxiliary) = model.forward_with_auxiliary(&batch.images_nchw, mode)?;
                segmentation::judge(&answer, auxiliary.as_ref(), batch)
            }
        }
    }

    /// What a network, given as images (N, C, H, W) → answer, is worth on a split.
    pub(crate) fn evaluate(
        &self,
        split: EvaluationSplit<'_>,
        network: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> std::result::Result<Vec<(Metric, f64)>, TrainError> {
        match self {
            Self::Classification { classes, .. } => {
                let mut sums = classification::Sums::default();
                split.each_batch(|batch| sums.add(&network(&batch.images_nchw)?, batch))?;
                Ok(sums.means(*classes))
            }
            Self::Verification(_) => {
                let mut all = Embeddings::default();
                split.each_batch(|batch| all.add(&network(&batch.images_nchw)?, &batch.labels))?;
                Ok(all.measurements())
            }
            Self::Segmentation { classes } => {
                let mut confusion = Confusion::new(*classes);
                split.each_answer(&network, |answered| confusion.add(answered))?;
                let measurements = confusion.measurements();
                // Small patches may fall between the pixels that an evaluation sees.
                let image_size = split.preparation.side;
                if measurements.is_empty() {
                    Err(DataError::NothingLeft { image_size }.into())
                } else {
                    Ok(measurements)
                }
            }
        }
    }
}

/// What of a run's data, network and loss does not belong together.
pub(crate) fn faults(config: &RunConfig) -> Vec<ConfigFault> {
    let objective = config.data.objective();
    let (wanted, things) = match objective {
        Objective::Classification => (Answer::Logits, "classes"),
        Objective::Verification => (Answer::Embedding, "people"),
        Objective::Segmentation => (Answer::Map, "masks"),
    };
    let mut faults = Vec::new();
    if config.model.answer() != wanted {
        let message = format!("a network of this kind does not learn from a set of {things}");
        faults.push(ConfigFault::new("model.kind", message));
    }
    let with_margin = matches!(config.training.loss, LossConfig::AmSoftmax { .. });
    if with_margin != (objective == Objective::Verification) {
        let kind = if with_margin { "cross-entropy" } else { "am-softmax" };
        faults.push(ConfigFault::new("training.loss.kind", format!("must be `{kind}` for a set of {things}")));
    }
    if objective != Objective::Classification && config.training.label_smoothing > 0.0 {
        faults.push(ConfigFault::new("training.label_smoothing", format!("must be 0 for a set of {things}")));
    }
    faults
}
