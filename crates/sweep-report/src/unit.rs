//! Formats numbers: values in base units become scaled texts, the same in every output format.
//!
//! This module knows units and no metric by name. A new metric with a known unit needs no change here.

use sweep_protocol::{Form, Metric, ShortText, Split};
use sweep_statistics::Interval;

use crate::declaration::{EpochRule, Quantity};

/// How values of one metric are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unit {
    /// Factor from the stored to the shown unit.
    factor: f64,
    /// Unit in headings; empty if there is none.
    pub(crate) symbol: ShortText<16>,
    /// Unit in headings of differences.
    pub(crate) difference: ShortText<16>,
    notation: Notation,
}

/// How many digits a value has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Notation {
    /// Enough decimals that the smallest value of a column has three digits, within these limits.
    Fixed { least: usize, most: usize },
    /// Scientific notation: `1.2e-6`.
    Scientific,
}

impl Unit {
    /// Returns the unit in which a metric is shown.
    pub(crate) fn of(metric: Metric) -> Self {
        let unit = metric.unit();
        match metric {
            // A logit has an ordinary size; only differences between the forms are tiny.
            Metric::LargestLogit => return Self::new(1.0, unit, (2, 6)),
            // Whole numbers, whose means are not.
            Metric::EpochsTrained | Metric::EpochOfWeights => return Self::new(1.0, unit, (1, 1)),
            _ => {}
        }
        let (factor, symbol, (least, most)) = match unit {
            "fraction" => return Self::new(100.0, "%", (2, 2)).with_difference("points"),
            "parameters" | "multiply-adds/image" => (1e-6, "M", (2, 6)),
            "images/s" => (1.0, unit, (0, 3)),
            "s" | "ms" => (1.0, unit, (1, 6)),
            "logits" => return Self { notation: Notation::Scientific, ..Self::new(1.0, unit, (0, 0)) },
            _ => (1.0, unit, (3, 6)),
        };
        Self::new(factor, symbol, (least, most))
    }

    fn new(factor: f64, symbol: &str, (least, most): (usize, usize)) -> Self {
        let symbol = ShortText::new(symbol).unwrap_or_default();
        Self { factor, symbol, difference: symbol, notation: Notation::Fixed { least, most } }
    }

    fn with_difference(self, difference: &str) -> Self {
        Self { difference: ShortText::new(difference).unwrap_or_default(), ..self }
    }

    /// Converts a value to the shown unit.
    pub(crate) fn scaled(self, value: f64) -> f64 {
        value * self.factor
    }

    /// Converts a shown value (for example, one that the paper prints) to the stored unit.
    pub(crate) fn stored(self, shown: f64) -> f64 {
        shown / self.factor
    }

    /// Returns the number of decimals for a column with these values.
    pub(crate) fn decimals(self, values: impl IntoIterator<Item = f64>) -> usize {
        let Notation::Fixed { least, most } = self.notation else { return 1 };
        let sizes = values.into_iter().map(|value| self.scaled(value).abs()).filter(|size| *size > 0.0);
        let smallest = sizes.fold(f64::INFINITY, f64::min);
        let enough = |decimals: &usize| smallest * 10_f64.powf(*decimals as f64) >= 100.0;
        (least..most).find(enough).unwrap_or(if smallest.is_finite() { most } else { least })
    }

    /// Formats a value.
    pub(crate) fn text(self, value: f64, decimals: usize) -> String {
        let scaled = nudged(self.scaled(value));
        match self.notation {
            Notation::Fixed { .. } if scaled.abs() >= LARGEST_FIXED => typeset(&format!("{scaled:.3e}")),
            Notation::Fixed { .. } => typeset(&format!("{scaled:.decimals$}")),
            Notation::Scientific => typeset(&format!("{scaled:.decimals$e}")),
        }
    }

    /// Formats a difference, with its sign.
    pub(crate) fn signed(self, value: f64, decimals: usize) -> String {
        let text = self.text(value, decimals);
        let is_zero = !text.contains(|c: char| c.is_ascii_digit() && c != '0');
        if text.starts_with('−') || is_zero { text } else { format!("+{text}") }
    }
}

/// Numbers from this size on have an exponent.
const LARGEST_FIXED: f64 = 1e9;

/// Moves a number away from 0 by a millionth of a millionth. So a mean of 4.875 that floating-point numbers hold as
/// 4.874999999999999 is rounded as a reader would round it.
fn nudged(number: f64) -> f64 {
    number * (1.0 + 1e-12)
}

/// How the numbers of a column look: all have the same unit and the same number of decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rounding {
    pub(crate) unit: Unit,
    decimals: usize,
}

impl Rounding {
    /// Returns the rounding of a column with these means.
    pub(crate) fn of(metric: Metric, means: impl IntoIterator<Item = f64>) -> Self {
        let unit = Unit::of(metric);
        Self { unit, decimals: unit.decimals(means) }
    }

    /// Formats a value.
    pub(crate) fn text(self, value: f64) -> String {
        self.unit.text(value, self.decimals)
    }

    /// Formats a difference, with its sign.
    pub(crate) fn signed(self, value: f64) -> String {
        self.unit.signed(value, self.decimals)
    }

    /// Formats a value with its interval, if there is one: `91.02 [90.80, 91.24]`.
    pub(crate) fn with_interval(self, value: f64, interval: Option<Interval>) -> String {
        let ends = interval.map(|ends| format!(" [{}, {}]", self.text(ends.low), self.text(ends.high)));
        self.text(value) + &ends.unwrap_or_default()
    }

    /// Formats a difference with its interval, if there is one: `−0.31 [−0.62, 0.00]`.
    pub(crate) fn signed_with_interval(self, value: f64, interval: Option<Interval>) -> String {
        let ends = interval.map(|ends| format!(" [{}, {}]", self.signed(ends.low), self.signed(ends.high)));
        self.signed(value) + &ends.unwrap_or_default()
    }
}

/// Whether a metric counts parts of a model. Such a metric does not vary by chance.
pub(crate) fn is_count(metric: Metric) -> bool {
    matches!(metric.unit(), "parameters" | "multiply-adds/image")
}

/// Formats a number with a typographic minus sign, and without a minus sign before zero.
pub(crate) fn typeset(number: &str) -> String {
    match number.strip_prefix('-') {
        Some(digits) if !digits.contains(|c: char| c.is_ascii_digit() && c != '0') => digits.to_owned(),
        Some(digits) => format!("−{}", digits.replace('-', "−")),
        None => number.replace('-', "−"),
    }
}

/// Describes a quantity in words: `test accuracy, deployed`.
pub(crate) fn words(quantity: &Quantity) -> String {
    let form = quantity.form.map(|form| format!(", {}", form_in_words(form)));
    format!("{}{}", words_without_form(quantity), form.unwrap_or_default())
}

/// Describes a quantity in words, without the form: `test accuracy`.
pub(crate) fn words_without_form(quantity: &Quantity) -> String {
    let name = quantity.metric.title();
    let split = match quantity.split {
        None => "",
        Some(Split::Train) => "training ",
        Some(Split::Validation) => "validation ",
        Some(Split::Test) => "test ",
    };
    let total = if quantity.epoch == EpochRule::Sum { "total " } else { "" };
    format!("{total}{split}{name}")
}

/// Names a form behind a quantity. The word "training" alone could mean the training set.
pub(crate) fn form_in_words(form: Form) -> &'static str {
    match form {
        Form::Training => "training form",
        Form::Deployed => "deployed",
    }
}

/// Adds the unit to a heading: `params, deployed (M)`.
pub(crate) fn with_unit(heading: &str, unit: &str) -> String {
    if unit.is_empty() { heading.to_owned() } else { format!("{heading} ({unit})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_follow_the_smallest_value_of_a_column() {
        let params = Unit::of(Metric::Params);
        assert_eq!(params.decimals([22.4e6, 118.9e6]), 2);
        assert_eq!(params.decimals([22.4e6, 0.48e6]), 3);
        assert_eq!(params.decimals([0.0]), 2);
        assert_eq!(Unit::of(Metric::Throughput).decimals([671.0]), 0);
        assert_eq!(Unit::of(Metric::Throughput).decimals([45.0]), 1);
    }

    #[test]
    fn values_are_scaled_and_zero_has_no_sign() {
        let accuracy = Unit::of(Metric::Accuracy);
        assert_eq!(accuracy.text(0.91114, 2), "91.11");
        assert_eq!(accuracy.signed(-0.0031, 2), "−0.31");
        assert_eq!(accuracy.signed(0.0031, 2), "+0.31");
        assert_eq!(accuracy.signed(-0.00001, 2), "0.00");
        // 0.70875 - 0.66 is 0.048750000000000071, and 0.8288 - 0.780025 is 0.048774999999999968.
        assert_eq!([accuracy.text(0.70875, 2), accuracy.signed(0.70875 - 0.66, 2)], ["70.88", "+4.88"]);
        assert_eq!(accuracy.signed(-0.071_249_999_999_999_97, 2), "−7.13");
        assert_eq!(Unit::of(Metric::Loss).text(-1e308, 3), "−1.000e308");
        assert_eq!(Unit::of(Metric::MaxAbsDiff).text(1.21e-6, 1), "1.2e−6");
    }
}
