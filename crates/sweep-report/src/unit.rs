//! How numbers are shown: base units in, scaled text out, the same text in every spelling.
//!
//! Knows units, no metric by name: a new metric with a known unit needs nothing here.

use sweep_protocol::{Metric, Split};

use crate::declaration::{EpochRule, Quantity};

/// How values of one metric are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unit {
    /// What a value is multiplied by.
    factor: f64,
    /// Printed in headings; empty when there is none.
    pub(crate) symbol: &'static str,
    /// Printed in headings of differences.
    pub(crate) difference: &'static str,
    notation: Notation,
}

/// How many digits a value has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Notation {
    /// So many decimals that the smallest value of a column has three digits, within these bounds.
    Fixed { least: usize, most: usize },
    /// `1.2e-6`.
    Scientific,
}

impl Unit {
    /// The unit in which a metric is shown.
    pub(crate) fn of(metric: Metric) -> Self {
        let unit = metric.unit();
        let (factor, symbol, (least, most)) = match unit {
            "fraction" => return Self::new(100.0, "%", (2, 2)).with_difference("points"),
            "parameters" | "multiply-adds/image" => (1e-6, "M", (2, 4)),
            "images/s" => (1.0, unit, (0, 1)),
            "s" => (1.0, unit, (1, 2)),
            "logits" => return Self { notation: Notation::Scientific, ..Self::new(1.0, unit, (0, 0)) },
            _ => (1.0, unit, (3, 5)),
        };
        Self::new(factor, symbol, (least, most))
    }

    fn new(factor: f64, symbol: &'static str, (least, most): (usize, usize)) -> Self {
        Self { factor, symbol, difference: symbol, notation: Notation::Fixed { least, most } }
    }

    fn with_difference(self, difference: &'static str) -> Self {
        Self { difference, ..self }
    }

    /// A value in the unit that is shown.
    pub(crate) fn scaled(self, value: f64) -> f64 {
        value * self.factor
    }

    /// A shown value (as the paper prints it) in the unit that is stored.
    pub(crate) fn stored(self, shown: f64) -> f64 {
        shown / self.factor
    }

    /// Decimals for a column with these values.
    pub(crate) fn decimals(self, values: impl IntoIterator<Item = f64>) -> usize {
        let Notation::Fixed { least, most } = self.notation else { return 1 };
        let sizes = values.into_iter().map(|value| self.scaled(value).abs()).filter(|size| *size > 0.0);
        let smallest = sizes.fold(f64::INFINITY, f64::min);
        let enough = |decimals: &usize| smallest * 10_f64.powf(*decimals as f64) >= 100.0;
        (least..most).find(enough).unwrap_or(if smallest.is_finite() { most } else { least })
    }

    /// A value as it is shown.
    pub(crate) fn text(self, value: f64, decimals: usize) -> String {
        let scaled = self.scaled(value);
        match self.notation {
            Notation::Fixed { .. } => typeset(&format!("{scaled:.decimals$}")),
            Notation::Scientific => typeset(&format!("{scaled:.decimals$e}")),
        }
    }

    /// A difference as it is shown, with its sign.
    pub(crate) fn signed(self, value: f64, decimals: usize) -> String {
        let text = self.text(value, decimals);
        let is_zero = !text.contains(|c: char| c.is_ascii_digit() && c != '0');
        if text.starts_with('−') || is_zero { text } else { format!("+{text}") }
    }
}

/// Whether a metric counts parts of a model: it does not vary by chance.
pub(crate) fn is_count(metric: Metric) -> bool {
    matches!(metric.unit(), "parameters" | "multiply-adds/image")
}

/// A number with a true minus, and no minus before a zero.
pub(crate) fn typeset(number: &str) -> String {
    match number.strip_prefix('-') {
        Some(digits) if !digits.contains(|c: char| c.is_ascii_digit() && c != '0') => digits.to_owned(),
        Some(digits) => format!("−{}", digits.replace('-', "−")),
        None => number.replace('-', "−"),
    }
}

/// A quantity in words: `accuracy, test, deployed form`.
pub(crate) fn words(quantity: &Quantity) -> String {
    let form = quantity.form.map(|form| format!(", {} form", form.name()));
    format!("{}{}", words_without_form(quantity), form.unwrap_or_default())
}

/// A quantity in words, where the form is said elsewhere: `accuracy, test`.
pub(crate) fn words_without_form(quantity: &Quantity) -> String {
    let name = quantity.metric.title();
    let split = quantity.split.map(Split::name).map(|split| format!(", {split}"));
    let total = if quantity.epoch == EpochRule::Sum { "total " } else { "" };
    format!("{total}{name}{}", split.unwrap_or_default())
}

/// A heading with its unit: `params, deployed form (M)`.
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
        assert_eq!(Unit::of(Metric::MaxAbsDiff).text(1.21e-6, 1), "1.2e−6");
    }
}
