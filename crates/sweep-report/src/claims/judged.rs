//! A judged claim, as data: its verdict, why, and the numbers behind it. Every output format shows this.

use std::fmt;

use serde::{Deserialize, Serialize};
use sweep_statistics::Interval;

/// What the values say about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The claim holds, at the scale that it is about.
    Reproduced,
    /// Its direction holds at another scale.
    DirectionReproduced,
    /// The values do not decide.
    Inconclusive,
    /// The values exclude the claim, at the scale that it is about.
    Contradicted,
    /// The values exclude its direction at another scale. That does not contradict the claim itself.
    ContradictedElsewhere,
    /// The claim is about a number at another scale.
    NotComparable,
    /// Values are missing.
    NotMeasured,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reproduced => "reproduced",
            Self::DirectionReproduced => "direction reproduced at another scale",
            Self::Inconclusive => "inconclusive",
            Self::Contradicted => "contradicted",
            Self::ContradictedElsewhere => "contradicted at another scale",
            Self::NotComparable => "not comparable",
            Self::NotMeasured => "not measured yet",
        })
    }
}

/// Whether a claim was declared before the runs that it is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// No run has values yet.
    Open,
    /// The plan was written with this claim, before its first run.
    Before,
    /// The plan was written without this claim.
    After,
    /// The plan was written with another claim of this id.
    Changed,
}

/// What the values behind a claim are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Values of runs, at the scale that the claim is about.
    Runs,
    /// Values of runs at another scale.
    RunsElsewhere,
    /// Counts of the networks in the paper's rows. They need no training.
    Counts,
}

/// A judged claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Id of the claim.
    pub id: String,
    /// The claim in one sentence.
    pub text: String,
    /// Place in the paper that makes the claim; `None` if it is the author's own.
    pub source: Option<String>,
    /// The rule that decides it, in words.
    pub rule: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The reason for the verdict, in one line.
    pub reason: String,
    /// Number of seeds with which the claim would probably (80%) be decided, if means and deviations stay as they are.
    pub seeds_needed: Option<usize>,
    /// Whether the claim was declared before the runs.
    pub registration: Registration,
    /// What the values are.
    pub basis: Basis,
    /// Confidence of the verdict.
    pub level: f64,
    /// The comparisons that it was judged by.
    pub parts: Vec<JudgedPart>,
    /// What a reader must know besides, as sentences.
    pub notes: Vec<String>,
}

/// One comparison of a judged claim. Numbers are in the unit of the tables; ratios have none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgedPart {
    /// Name of the rows: `full − no-local`.
    pub name: String,
    /// The value, the difference or the ratio; `None` if values are missing.
    pub value: Option<f64>,
    /// The interval that decides. Absent if the values say nothing about chance.
    pub interval: Option<Interval>,
    /// Number of seeds, pairs of seeds or rounds; `None` for counts.
    pub n: Option<usize>,
    /// Lower bound of the claim.
    pub at_least: Option<f64>,
    /// Upper bound of the claim.
    pub at_most: Option<f64>,
    /// What this comparison says.
    pub outcome: Outcome,
}

/// What one comparison says about its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It agrees.
    Holds,
    /// It excludes the claim.
    Fails,
    /// It does not decide.
    Undecided,
    /// Values are missing.
    Missing,
}
