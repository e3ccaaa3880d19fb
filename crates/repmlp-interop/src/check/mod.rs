//! Repeats the computation of a case and compares the results.
//!
//! A difference is divided by a scale, the largest magnitude of the expected tensor. For gradients, the scale is at
//! least a certain share of the largest gradient of the case, because some gradients are zero in exact arithmetic. The
//! bounds come with the reference values, except for this share in f32 (see [`Precision`]).

mod attention;
mod block;
mod model;
mod passes;
mod rows;
mod training;

use std::fmt;

use candle_core::{DType, Device};

use crate::case::{CaseKind, ParityCase};
use crate::error::InteropError;
use rows::Rows;

/// Number type of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, as in training.
    F32,
    /// 64 bits. Rounding is negligible, so a difference shows a mistake.
    F64,
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }

    /// Bound for outputs, statistics, gradients and logits. In f64 it is limited by the reference values, which are
    /// stored as f32.
    fn bound(self) -> f64 {
        match self {
            Self::F32 => 1e-4,
            Self::F64 => 1e-6,
        }
    }

    /// Smallest scale of a gradient, as a share of the largest gradient of the case.
    ///
    /// The reference values come with a share of 1e-3. In f32 this is too strict for gradients that are zero in exact
    /// arithmetic: for example, those of a bias in front of batch norm, or of the length of a kernel, which batch norm
    /// divides out. Their bound would be 1e-4 · 1e-3 = 1e-7 of the largest gradient. That is less than two roundings of
    /// 2^-24 = 6e-8, but each term of the sum that should cancel has a rounding error. A share of 1e-2 allows seventeen
    /// roundings.
    fn gradient_floor(self) -> f64 {
        match self {
            Self::F32 => 1e-2,
            Self::F64 => 1e-3,
        }
    }

    /// Bound for the losses of a training and the logits after it. These reference values are stored as f64.
    fn training_bound(self) -> f64 {
        match self {
            Self::F32 => 1e-3,
            Self::F64 => 1e-8,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

/// The compared quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Names and shapes of all tensors. If they differ, nothing else is compared.
    Names,
    /// Output of a block in eval mode.
    OutEval,
    /// Output of a block in training mode, with the statistics of the batch.
    OutTrain,
    /// Output of the deployed block, compared with the expected output in eval mode.
    Deployed,
    /// Running statistics after one pass in training mode.
    RunningStatistics,
    /// Gradients of the inner product of the cotangent and the output in training mode.
    Gradients,
    /// Merged FC1 and FC3.
    MergedLayers,
    /// Logits of a whole network.
    Logits,
    /// Logits of the deployed network.
    DeployedLogits,
    /// Logits before a training.
    LogitsBefore,
    /// Loss of each step of a training.
    Losses,
    /// Logits after a training.
    LogitsAfter,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Names => "names and shapes",
            Self::OutEval => "out_eval",
            Self::OutTrain => "out_train",
            Self::Deployed => "deployed",
            Self::RunningStatistics => "running statistics",
            Self::Gradients => "gradients",
            Self::MergedLayers => "merged layers",
            Self::Logits => "logits",
            Self::DeployedLogits => "deployed logits",
            Self::LogitsBefore => "logits_before",
            Self::Losses => "losses",
            Self::LogitsAfter => "logits_after",
        })
    }
}

/// One comparison of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Id of the case.
    pub case: String,
    /// The compared quantity.
    pub what: What,
    /// Number type of the computation.
    pub precision: Precision,
    /// Largest relative difference. For names: the number of disagreements.
    pub difference: f64,
    /// Largest allowed difference.
    pub bound: f64,
    /// The tensor with the largest difference, or the first disagreement of names.
    pub worst: String,
}

impl Check {
    /// Whether the difference is within its bound. NaN is not.
    pub fn passed(&self) -> bool {
        self.difference <= self.bound
    }
}

/// Makes all comparisons of a case, computed in `precision` on a device.
///
/// # Errors
/// When the case cannot be built or computed. A disagreement is not an error.
pub fn check(case: &ParityCase, precision: Precision, device: &Device) -> Result<Vec<Check>, InteropError> {
    let mut rows = Rows::new(case, precision, device);
    match &case.kind {
        CaseKind::RepMlpBlock(block) => block::check(case, block, &mut rows)?,
        CaseKind::Attention(attention) => attention::check(case, attention, &mut rows)?,
        CaseKind::Model(model) => model::check(model, &mut rows)?,
        CaseKind::Training(training) => training::check(training, &mut rows)?,
    }
    Ok(rows.checks)
}
