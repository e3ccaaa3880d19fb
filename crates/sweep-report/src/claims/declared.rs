//! The declaration of a claim: a sentence about results, and the rule that decides whether it holds.
//!
//! A claim is written down before the runs. This module knows the form of a claim, not how it is judged.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sweep_protocol::Metric;

use crate::declaration::Quantity;

/// The scale of the paper that a report is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaperScale {
    /// The profile whose runs have the paper's scale. Under any other profile, the paper's numbers are not comparable.
    pub profile: String,
    /// The paper's setting in words, as in `CIFAR-10, widths 16/32/64, 100 epochs`. It is shown beside verdicts at
    /// another scale.
    pub setting: String,
}

/// A claim: a sentence about results, and the rule that decides whether it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimDeclaration {
    /// Name of the claim. Each id of a report must be unique among its claims.
    pub id: String,
    /// The claim in one sentence.
    pub text: String,
    /// Place in the paper that makes the claim, as in `section 4.1`. It needs `[paper]`. Default: the claim is your
    /// own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// For your own claim: the profile that it is about. Under any other profile it is judged at another scale. A claim
    /// of the paper is about the profile in `[paper]`. Default: `default`, which is the file without a profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Number of seeds of each row that the claim is judged with. With fewer values it is inconclusive, so nobody can
    /// stop when the numbers look good. Required, except for parameters, FLOPs and throughput.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_n: Option<usize>,
    /// How rows are compared. Parameters and FLOPs are exact, and throughput is compared by rounds, whatever this says.
    /// Default: `paired_t`.
    #[serde(default)]
    pub test: Test,
    /// Confidence of the verdict: at least 0.95 and below 1. Default: 0.95.
    #[serde(default = "usual_level")]
    pub level: f64,
    /// The rule that decides. Its key `kind` selects its type.
    pub rule: Rule,
}

fn usual_level() -> f64 {
    sweep_statistics::CONFIDENCE
}

/// How two rows are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// The t-interval of the differences, paired by seed.
    #[default]
    PairedT,
    /// Welch's t-interval, for rows with different seeds.
    Welch,
}

/// A row: the labels that its runs have, as in `{ groups = "8" }`.
pub type RowLabels = BTreeMap<String, String>;

/// A rule that decides whether a claim holds. Bounds and margins are in the unit of the tables: points for fractions,
/// millions for parameters and FLOPs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rule {
    /// Each row has a greater value than the next one.
    Order(OrderRule),
    /// A quantity rises or falls over the labels of an axis, in their declared order.
    Monotone(MonotoneRule),
    /// The ratio of two rows is within bounds.
    Ratio(BoundedRule),
    /// The difference of two rows is within bounds.
    Difference(BoundedRule),
    /// The value of a row is within a margin of a number.
    Value(ValueRule),
    /// Two rows differ by less than a margin: two one-sided tests (TOST).
    Equivalence(EquivalenceRule),
    /// Every row of a table has the number that the paper prints for it.
    AsPrinted(AsPrintedRule),
}

/// Each row has a greater value than the next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderRule {
    /// The rows, from the greatest value to the smallest.
    pub rows: Vec<RowLabels>,
    /// The compared quantity.
    pub of: Quantity,
}

/// A quantity rises or falls over the labels of an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MonotoneRule {
    /// The axis.
    pub axis: String,
    /// Labels on other axes that the rows have. Default: none.
    #[serde(default, rename = "where")]
    pub only: RowLabels,
    /// Whether the quantity rises or falls.
    pub direction: Direction,
    /// The compared quantity.
    pub of: Quantity,
}

/// Direction of a monotone quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Each label has a greater value than the one before it.
    Rising,
    /// Each label has a smaller value than the one before it.
    Falling,
}

/// The ratio `row` / `baseline`, or the difference `row` − `baseline`, is within bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoundedRule {
    /// The row.
    pub row: RowLabels,
    /// The row that it is compared with.
    pub baseline: RowLabels,
    /// The compared quantity.
    pub of: Quantity,
    /// The lower bound. Default: none; one of the two bounds is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The upper bound. Default: none; one of the two bounds is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

/// The value of a row is within a margin of a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValueRule {
    /// The row.
    pub row: RowLabels,
    /// The quantity.
    pub of: Quantity,
    /// The number.
    pub value: f64,
    /// The largest deviation that still counts as equal; above 0.
    pub margin: f64,
}

/// Two rows differ by less than a margin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EquivalenceRule {
    /// The row.
    pub row: RowLabels,
    /// The row that it is compared with.
    pub baseline: RowLabels,
    /// The compared quantity.
    pub of: Quantity,
    /// The largest difference that still counts as none; above 0.
    pub margin: f64,
}

/// Every row of a table has the number that the paper prints for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AsPrintedRule {
    /// The id of a table with `[table.paper]`. Each row that it matches with a row of the paper is compared.
    pub table: String,
    /// The column of the paper's table. A column of the table must have it as its `reference`.
    pub column: String,
    /// The largest deviation that still counts as equal. Parameters and FLOPs have none: they are cut off at the last
    /// printed digit, as in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
}

impl Rule {
    /// Returns the quantity that the rule names; `None` for a rule that takes it from a table.
    pub(crate) fn quantity(&self) -> Option<&Quantity> {
        match self {
            Self::Order(rule) => Some(&rule.of),
            Self::Monotone(rule) => Some(&rule.of),
            Self::Ratio(rule) | Self::Difference(rule) => Some(&rule.of),
            Self::Value(rule) => Some(&rule.of),
            Self::Equivalence(rule) => Some(&rule.of),
            Self::AsPrinted(_) => None,
        }
    }

    /// Returns the metric that the rule names, to give it the declaration of a plan.
    pub(crate) fn metric_mut(&mut self) -> Option<&mut Metric> {
        match self {
            Self::Order(rule) => Some(&mut rule.of.metric),
            Self::Monotone(rule) => Some(&mut rule.of.metric),
            Self::Ratio(rule) | Self::Difference(rule) => Some(&mut rule.of.metric),
            Self::Value(rule) => Some(&mut rule.of.metric),
            Self::Equivalence(rule) => Some(&mut rule.of.metric),
            Self::AsPrinted(_) => None,
        }
    }

    /// Returns the rows that the rule names one by one.
    pub(crate) fn rows(&self) -> Vec<&RowLabels> {
        match self {
            Self::Order(rule) => rule.rows.iter().collect(),
            Self::Ratio(rule) | Self::Difference(rule) => vec![&rule.row, &rule.baseline],
            Self::Value(rule) => vec![&rule.row],
            Self::Equivalence(rule) => vec![&rule.row, &rule.baseline],
            Self::Monotone(_) | Self::AsPrinted(_) => Vec::new(),
        }
    }
}
