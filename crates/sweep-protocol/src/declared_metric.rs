//! Metrics that a user declares in a base file, for trainers that measure more than this program knows.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ShortText;
use crate::metric::{Better, Metric};

/// Maximum number of bytes in the name of a declared metric.
pub(crate) const MOST_METRIC_BYTES: usize = 32;
/// Maximum number of bytes in its unit.
pub(crate) const MOST_UNIT_BYTES: usize = 16;

/// The rule for names of declared metrics, as help texts state it.
pub const METRIC_RULE: &str = "use small letters, digits and `_`, a letter first, at most 32 in all";

/// A declared metric. It is known by its name. Unit and direction are in the plan; in a journal it has only its name.
#[derive(Clone, Copy, Debug)]
pub struct DeclaredMetric {
    pub(crate) name: ShortText<MOST_METRIC_BYTES>,
    pub(crate) unit: ShortText<MOST_UNIT_BYTES>,
    pub(crate) better: Better,
}

impl DeclaredMetric {
    /// Returns the metric with this name, without unit and direction; `None` if it is not a valid name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_part);
        let name = ShortText::new(name).filter(|_| is_name)?;
        Some(Self { name, unit: ShortText::default(), better: Better::Neither })
    }
}

impl PartialEq for DeclaredMetric {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for DeclaredMetric {}

impl PartialOrd for DeclaredMetric {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DeclaredMetric {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

/// A declaration of a metric, as base files and plans hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricRecord {
    /// Name of the metric.
    pub name: String,
    /// Unit of its values: `ms`, `fraction` (shown in %), … Empty for none.
    pub unit: String,
    /// Direction in which it improves.
    pub better: Better,
}

impl MetricRecord {
    /// Returns the metric.
    ///
    /// # Errors
    /// When the name or the unit is invalid. The error ends a sentence that starts with the metric's name.
    pub fn metric(&self) -> Result<Metric, String> {
        if let Ok(known) = self.name.parse::<Metric>()
            && !matches!(known, Metric::Declared(_))
        {
            return Err("is a metric that the program knows already: leave its declaration out".to_owned());
        }
        let declared = DeclaredMetric::named(&self.name)
            .ok_or_else(|| format!("is not a valid name of a metric: {METRIC_RULE}"))?;
        let unit = ShortText::new(&self.unit)
            .filter(|_| crate::check_line(&self.unit).is_ok())
            .ok_or_else(|| format!("has an invalid unit: write one line of at most {MOST_UNIT_BYTES} bytes"))?;
        Ok(Metric::Declared(DeclaredMetric { unit, better: self.better, ..declared }))
    }
}
