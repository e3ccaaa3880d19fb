//! Repeats a case's computation here and compares.
//!
//! Differences are relative to the largest magnitude of the expected tensor; for gradients at least to a share of
//! the largest gradient of the case, since a few gradients are zero in exact arithmetic. The bounds are those that the
//! reference values come with.

mod attention;
mod block;
mod model;
mod passes;
mod rows;
mod training;

use std::fmt;

use candle_core::DType;

use crate::case::{CaseKind, ParityCase};
use crate::error::InteropError;
use rows::Rows;

/// The number type that a case is computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits: what networks are trained in.
    F32,
    /// 64 bits: only mistakes show.
    F64,
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }

    /// For outputs, statistics, gradients and logits. In f64 it is the references' own precision: they are stored as f32.
    fn bound(self) -> f64 {
        match self {
            Self::F32 => 1e-4,
            Self::F64 => 1e-6,
        }
    }

    /// Smallest scale of a gradient, as a share of the case's largest.
    ///
    /// The references come with 1e-3. In f32 that would hold a gradient that is zero in exact arithmetic (a bias before batch
    /// norm, a kernel whose length batch norm divides out) to 1e-4 · 1e-3 = 1e-7 of the largest: less than two roundings of it
    /// (2^-24 = 6e-8), where every term of the sum that should cancel carries one. 1e-2 allows seventeen.
    fn gradient_floor(self) -> f64 {
        match self {
            Self::F32 => 1e-2,
            Self::F64 => 1e-3,
        }
    }

    /// For losses of a training and what comes out of it; these references are stored as f64.
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

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Names and shapes of all tensors: nothing else can agree where these do not.
    Names,
    /// Output of a block in eval mode.
    OutEval,
    /// Output of a block with the batch's statistics.
    OutTrain,
    /// Output of the deployed block, against that in eval mode.
    Deployed,
    /// Running statistics after that one pass in training.
    RunningStatistics,
    /// Gradients of the inner product of the output in training and the cotangent.
    Gradients,
    /// Merged FC1 and FC3.
    MergedLayers,
    /// Logits of a whole network.
    Logits,
    /// Logits of the deployed network.
    DeployedLogits,
    /// Logits before a training.
    LogitsBefore,
    /// Losses of the steps of a training.
    Losses,
    /// Logits after it.
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
    /// What was compared.
    pub what: What,
    /// In which number type it was computed.
    pub precision: Precision,
    /// Largest relative difference; of names, how many do not agree.
    pub difference: f64,
    /// What is allowed.
    pub bound: f64,
    /// The tensor with that difference, or the first name that does not agree.
    pub worst: String,
}

impl Check {
    /// Whether the difference is within its bound; a difference that is no number is not.
    pub fn passed(&self) -> bool {
        self.difference <= self.bound
    }
}

/// All comparisons that a case allows, computed in `precision`.
///
/// # Errors
/// When the case cannot be built or computed: that it does not agree is no error.
pub fn check(case: &ParityCase, precision: Precision) -> Result<Vec<Check>, InteropError> {
    let mut rows = Rows::new(case, precision);
    match &case.kind {
        CaseKind::RepMlpBlock(block) => block::check(case, block, &mut rows)?,
        CaseKind::Attention(attention) => attention::check(case, attention, &mut rows)?,
        CaseKind::Model(model) => model::check(model, &mut rows)?,
        CaseKind::Training(training) => training::check(training, &mut rows)?,
    }
    Ok(rows.checks)
}
