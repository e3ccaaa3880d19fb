//! Objectives of a network: its loss, its hits, and its evaluation. Each objective has one file.
//!
//! This module knows outputs and labels. It does not know the source of images or the length of the training.

mod class_weights;
mod classification;
mod embeddings;
mod loss_config;
mod segmentation;
mod verification;

use candle_core::{Result, Tensor, bail};
use repmlp::models::{Answer, Model};
use repmlp::vars::Vars;
use repmlp::{ConfigFault, Draws, Mode};
use sweep_protocol::{Form, Metric, Predictions, PredictionsError, Split};

use crate::TrainError;
use crate::batch::Batch;
use crate::data::{DataError, Objective};
use crate::evaluate::EvaluationSplit;
use crate::loss::Target;
use segmentation::Confusion;
use verification::AmSoftmax;

pub use class_weights::ClassWeightsConfig;
pub(crate) use classification::CLASSES_FOR_TOP5;
pub(crate) use embeddings::Embeddings;
pub use loss_config::LossConfig;

/// Loss and hits of a training batch.
pub(crate) struct Judgement {
    /// The loss, a scalar.
    pub(crate) loss: Tensor,
    /// Number of correct images or pixels, as a scalar that stays on the device.
    pub(crate) hits: Tensor,
}

/// Values of a network on a split.
pub(crate) struct Evaluation {
    pub(crate) values: Vec<(Metric, f64)>,
    /// The class of each image. Absent if the objective gives no class to whole images: see [`Predictions`].
    pub(crate) told: Option<ToldClasses>,
}

impl From<Vec<(Metric, f64)>> for Evaluation {
    fn from(values: Vec<(Metric, f64)>) -> Self {
        Self { values, told: None }
    }
}

/// The true and the predicted class of each image, in the order of the set.
#[derive(Default)]
pub(crate) struct ToldClasses {
    pub(crate) truth: Vec<u32>,
    pub(crate) predicted: Vec<u32>,
}

impl ToldClasses {
    /// Turns the classes into what a run reports.
    pub(crate) fn predictions(
        &self,
        place: (Split, Option<Form>, Option<u32>),
        classes: usize,
    ) -> std::result::Result<Predictions, PredictionsError> {
        let classes = u32::try_from(classes).unwrap_or(u32::MAX);
        Predictions::new(place, classes, [&self.truth, &self.predicted])
    }
}

/// An objective, with the data that it needs besides the network.
pub(crate) enum Judge {
    /// Classification of images.
    Classification {
        /// Share of a target that is spread over all classes.
        smoothing: f64,
        classes: usize,
        /// Weights (classes) of the training loss; `None` if all images count the same.
        weights: Option<Tensor>,
    },
    /// Recognition of people. The head is used only in training.
    Verification(AmSoftmax),
    /// Classification of pixels.
    Segmentation { classes: usize },
}

impl Judge {
    /// Makes the judge of a run. `outputs` is the number of the network's output channels. The parameters of its loss
    /// are added to `vars`.
    pub(crate) fn new(aim: &Aim<'_>, outputs: usize, vars: &Vars) -> Result<Self> {
        let classes = aim.classes;
        match (aim.objective, aim.loss) {
            (Objective::Classification, _) => {
                Ok(Self::Classification { smoothing: aim.label_smoothing, classes, weights: None })
            }
            (Objective::Segmentation, _) => Ok(Self::Segmentation { classes }),
            (Objective::Verification, LossConfig::AmSoftmax { scale, margin }) => {
                let head = AmSoftmax::new((*scale, *margin), (classes, outputs), &vars.root().enter("head"))?;
                Ok(Self::Verification(head))
            }
            (Objective::Verification, LossConfig::CrossEntropy {}) => bail!("embeddings need the loss am-softmax"),
        }
    }

    /// Sets the weights (classes) of the training loss of a classifier.
    #[must_use]
    pub(crate) fn weighted(self, weights: Option<Tensor>) -> Self {
        match self {
            Self::Classification { smoothing, classes, .. } => Self::Classification { smoothing, classes, weights },
            other => other,
        }
    }

    /// Does a training pass over a batch.
    pub(crate) fn train(&self, model: &Model, batch: &Batch, draws: Draws) -> Result<Judgement> {
        let mode = Mode::Train(draws);
        match self {
            Self::Classification { smoothing, weights, .. } => {
                let target = Target { smoothing: *smoothing, weights: weights.as_ref() };
                classification::judge(&model.forward(&batch.images_nchw, mode)?, batch, target)
            }
            Self::Verification(head) => head.judge(&model.forward(&batch.images_nchw, mode)?, &batch.labels),
            Self::Segmentation { .. } => {
                let (answer, auxiliary) = model.forward_with_auxiliary(&batch.images_nchw, mode)?;
                segmentation::judge(&answer, auxiliary.as_ref(), batch)
            }
        }
    }

    /// Evaluates a network on a split. The network maps images (N, C, H, W) to its output.
    pub(crate) fn evaluate(
        &self,
        split: EvaluationSplit<'_>,
        network: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> std::result::Result<Evaluation, TrainError> {
        match self {
            Self::Classification { classes, .. } => {
                let mut sums = classification::Sums::default();
                split.each_batch(|batch| sums.add(&network(&batch.images_nchw)?, batch))?;
                Ok(sums.evaluation(*classes))
            }
            Self::Verification(_) => {
                let mut all = Embeddings::default();
                split.each_batch(|batch| all.add(&network(&batch.images_nchw)?, &batch.labels))?;
                Ok(all.measurements().into())
            }
            Self::Segmentation { classes } => {
                let mut confusion = Confusion::new(*classes);
                split.each_answer(&network, |answered| confusion.add(answered))?;
                let measurements = confusion.measurements();
                // After resizing, small labelled areas may be gone.
                let image_size = split.preparation.side;
                if measurements.is_empty() {
                    Err(DataError::NothingLeft { image_size }.into())
                } else {
                    Ok(measurements.into())
                }
            }
        }
    }
}

/// What a network is trained for.
pub(crate) struct Aim<'a> {
    pub(crate) objective: Objective,
    pub(crate) loss: &'a LossConfig,
    /// Share of a target that is spread over all classes.
    pub(crate) label_smoothing: f64,
    pub(crate) class_weights: &'a ClassWeightsConfig,
    pub(crate) classes: usize,
}

impl Aim<'_> {
    /// Returns the faults of combinations of data, network and loss. `answer` is what the network gives.
    pub(crate) fn faults(&self, answer: Answer) -> Vec<ConfigFault> {
        let objective = self.objective;
        let (wanted, things) = match objective {
            Objective::Classification => (Answer::Logits, "classes"),
            Objective::Verification => (Answer::Embedding, "people"),
            Objective::Segmentation => (Answer::Map, "masks"),
        };
        let mut faults = Vec::new();
        if answer != wanted {
            let message = format!("a network of this kind cannot be trained on a set of {things}");
            faults.push(ConfigFault::new("model.kind", message));
        }
        let with_margin = matches!(self.loss, LossConfig::AmSoftmax { .. });
        if with_margin != (objective == Objective::Verification) {
            let kind = if with_margin { "cross-entropy" } else { "am-softmax" };
            faults.push(ConfigFault::new("training.loss.kind", format!("must be `{kind}` for a set of {things}")));
        }
        if objective != Objective::Classification && self.label_smoothing > 0.0 {
            faults.push(ConfigFault::new("training.label_smoothing", format!("must be 0 for a set of {things}")));
        }
        if objective == Objective::Classification {
            faults.extend(self.class_weights.faults(self.classes));
        } else if !self.class_weights.is_equal() {
            let message = format!("must be `equal` for a set of {things}");
            faults.push(ConfigFault::new("training.class_weights.kind", message));
        }
        faults
    }
}
