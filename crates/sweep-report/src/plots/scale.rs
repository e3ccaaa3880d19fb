//! Maps values to positions along one side of a panel, with ticks at round numbers.
//!
//! This module knows numbers and labels. It does not know pictures.

/// Wanted number of ticks.
const TICKS: f64 = 7.0;

/// Maximum number of epochs for which each epoch has a tick.
const MOST_COUNTED: f64 = 12.0;

/// The scale of one side of a panel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<Tick>,
    pub(super) kind: Kind,
}

/// Meaning of the positions along a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers. Grid lines help to read them.
    Numbers,
    /// Labels, one unit apart.
    Labels,
}

/// A labelled position.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

impl Scale {
    /// Creates a scale around all values, with a margin on both sides. It does not exceed `bounds`: for example, a
    /// fraction is at most one.
    pub(super) fn around(values: &[f64], bounds: (f64, f64)) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let spread = if high > low { high - low } else { (0.2 * high.abs()).max(1e-9) };
        let air = 0.08 * spread + if high > low { 0.0 } else { spread / 2.0 };
        Self::numbers((low - air).max(bounds.0.min(low)), (high + air).min(bounds.1.max(high)))
    }

    /// Creates a scale from zero to above all values.
    pub(super) fn from_zero(values: &[f64]) -> Self {
        let high = values.iter().copied().fold(0.0, f64::max);
        Self::numbers(0.0, if high > 0.0 { 1.1 * high } else { 1.0 })
    }

    /// Creates a scale for the numbers 1, 2, … `last`.
    pub(super) fn counted(last: u32) -> Self {
        let last = f64::from(last.max(1));
        let air = (0.02 * last).max(0.1);
        let step = if last <= MOST_COUNTED { 1.0 } else { round_step(last).round() };
        let mut ticks: Vec<Tick> = Vec::new();
        let mut at = step;
        while at <= last {
            ticks.push(Tick { at, label: format!("{at}") });
            at += step;
        }
        if step > 1.0 {
            ticks.insert(0, Tick { at: 1.0, label: "1".to_owned() });
        }
        Self { low: 1.0 - air, high: last + air, ticks, kind: Kind::Numbers }
    }

    /// Creates a scale with one position per label.
    pub(super) fn labels(labels: &[String]) -> Self {
        let ticks = labels.iter().enumerate().map(|(i, label)| Tick { at: i as f64, label: label.clone() }).collect();
        Self { low: -0.5, high: labels.len() as f64 - 0.5, ticks, kind: Kind::Labels }
    }

    /// Returns the position of a value: 0 at the low end, 1 at the high end.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn numbers(low: f64, high: f64) -> Self {
        let step = round_step(high - low);
        let decimals = (-(step * 1.000_001).log10().floor()).max(0.0) as usize;
        // A step of 2.5 needs one more digit than its size suggests.
        let digits = step / 10_f64.powf(step.log10().floor());
        let decimals = if (digits - 2.5).abs() < 0.1 && step < 10.0 { decimals + 1 } else { decimals };
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let tick = |i: i64| Tick {
            at: i as f64 * step,
            label: crate::unit::typeset(&format!("{:.decimals$}", i as f64 * step)),
        };
        Self { low, high, ticks: (first..=last).map(tick).collect(), kind: Kind::Numbers }
    }
}

/// Returns the step that divides a length into about [`TICKS`] parts. It is 1, 2, 2.5 or 5 times a power of ten.
fn round_step(length: f64) -> f64 {
    let rough = length / TICKS;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|digits| digits * power);
    steps.into_iter().find(|step| *step >= 0.9 * rough).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers_within_the_scale() {
        let inside = (f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!(labels(&Scale::around(&[87.3, 91.1], inside)), ["87", "88", "89", "90", "91"]);
        assert_eq!(labels(&Scale::around(&[0.012, 0.03], inside)), ["0.015", "0.020", "0.025", "0.030"]);
        assert_eq!(labels(&Scale::from_zero(&[671.0])), ["0", "100", "200", "300", "400", "500", "600", "700"]);
        assert_eq!(
            labels(&Scale::around(&[99.0, 100.0], (0.0, 100.0))),
            ["99.0", "99.2", "99.4", "99.6", "99.8", "100.0"]
        );
    }

    #[test]
    fn equal_values_still_have_a_scale() {
        let scale = Scale::around(&[5.0], (f64::NEG_INFINITY, f64::INFINITY));
        assert!(scale.low < 5.0 && scale.high > 5.0 && scale.ticks.len() > 1);
    }

    #[test]
    fn epochs_are_counted_from_one() {
        assert_eq!(labels(&Scale::counted(1)), ["1"]);
        assert_eq!(labels(&Scale::counted(3)), ["1", "2", "3"]);
        assert_eq!(labels(&Scale::counted(100)), ["1", "20", "40", "60", "80", "100"]);
    }
}
