//! An interval, and the level of confidence.

use serde::{Deserialize, Serialize};

/// Confidence level of all intervals, unless another is said.
pub const CONFIDENCE: f64 = 0.95;

/// Both ends of an interval. Its level is 95%, unless another is said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether a value is outside.
    pub fn excludes(self, value: f64) -> bool {
        self.low > value || self.high < value
    }
}
