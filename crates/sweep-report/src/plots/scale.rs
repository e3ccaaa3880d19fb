//! Maps values to positions along one side of a panel, with ticks at round numbers.
//!
//! This module knows numbers, labels and the declared limits of axes. It does not know pictures.

use crate::style::AxisStyle;

/// Wanted number of ticks.
const TICKS: f64 = 7.0;

/// Smallest number of ticks of a logarithmic scale.
const FEWEST_TICKS: usize = 3;

/// Largest number of steps from 0 to an end of a scale. With more, the labels of two ticks need more digits than a
/// floating-point number has.
const MOST_STEPS: f64 = 1e12;

/// Numbers from this size on have an exponent.
const LARGEST_FIXED: f64 = 1e7;

/// Maximum number of epochs for which each epoch has a tick.
const MOST_COUNTED: f64 = 12.0;

/// The scale of one side of a panel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<Tick>,
    pub(super) kind: Kind,
    spacing: Spacing,
}

/// Which steps along a scale have equal lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spacing {
    /// Equal differences.
    Linear,
    /// Equal ratios.
    Logarithmic,
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
    /// Creates a scale around all values that the axis shows, with a margin on both sides. Without declared limits, it
    /// does not exceed `bounds`: for example, a fraction is at most one.
    pub(super) fn around(values: &[f64], bounds: (f64, f64), style: &AxisStyle) -> Self {
        let shown = || values.iter().copied().filter(|value| style.shows(*value));
        let low = shown().fold(f64::INFINITY, f64::min);
        let high = shown().fold(f64::NEG_INFINITY, f64::max);
        if style.log {
            // The margin of a logarithmic scale is a factor.
            let air = if high > low { (high / low).powf(0.08) } else { 1.5 };
            return Self::within((low / air, (high * air).min(bounds.1.max(high))), style);
        }
        let spread = if high > low { high - low } else { (0.2 * high.abs()).max(1e-9) };
        let air = 0.08 * spread + if high > low { 0.0 } else { spread / 2.0 };
        Self::within(((low - air).max(bounds.0.min(low)), (high + air).min(bounds.1.max(high))), style)
    }

    /// Creates a scale from the smallest to the largest value.
    pub(super) fn between(values: &[f64]) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        Self::within((low, high), &AxisStyle { min: Some(low), ..AxisStyle::default() })
    }

    /// Creates a scale that includes zero and all values.
    pub(super) fn from_zero(values: &[f64], style: &AxisStyle) -> Self {
        let (low, high) =
            values.iter().fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(*value), high.max(*value)));
        let high = if high > 0.0 || low < 0.0 { 1.1 * high } else { 1.0 };
        Self::within((1.1 * low, high), style)
    }

    /// Creates a scale for the numbers 1, 2, … `last`.
    pub(super) fn counted(last: u32, style: &AxisStyle) -> Self {
        let last = f64::from(last.max(1));
        let air = (0.02 * last).max(0.1);
        let ends = (1.0 - air, last + air);
        if style.log {
            return Self::within((0.9, 1.1 * last), style);
        }
        if *style != AxisStyle::default() {
            let mut scale = Self::within(ends, style);
            // Only whole numbers are counted.
            scale.ticks.retain(|tick| (tick.at - tick.at.round()).abs() < 1e-9 && tick.at >= 1.0);
            scale.ticks.iter_mut().for_each(|tick| tick.label = format!("{}", tick.at.round()));
            return scale;
        }
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
        Self { low: ends.0, high: ends.1, ticks, kind: Kind::Numbers, spacing: Spacing::Linear }
    }

    /// Creates a scale with one position per label.
    pub(super) fn labels(labels: &[String]) -> Self {
        let ticks = labels.iter().enumerate().map(|(i, label)| Tick { at: i as f64, label: label.clone() }).collect();
        Self { low: -0.5, high: labels.len() as f64 - 0.5, ticks, kind: Kind::Labels, spacing: Spacing::Linear }
    }

    /// Returns the position of a value: 0 at the low end, 1 at the high end.
    pub(super) fn share(&self, value: f64) -> f64 {
        match self.spacing {
            Spacing::Linear => (value - self.low) / (self.high - self.low),
            Spacing::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    /// Returns the value of the scale that is nearest to a value.
    pub(super) fn nearest(&self, value: f64) -> f64 {
        value.max(self.low).min(self.high)
    }

    /// Creates a scale with these ends, unless the style declares others.
    fn within((low, high): (f64, f64), style: &AxisStyle) -> Self {
        let (mut low, mut high) = (style.min.unwrap_or(low), style.max.unwrap_or(high));
        // One declared end may be beyond all values.
        if low >= high {
            let length = low.abs().max(high.abs()).max(1.0);
            (low, high) = match (style.min, style.log) {
                (Some(_), true) => (low, 10.0 * low),
                (Some(_), false) => (low, low + length),
                (None, true) => (high / 10.0, high),
                (None, false) => (high - length, high),
            };
        }
        if style.log { Self::logarithmic(low, high) } else { Self::numbers(low, high) }
    }

    fn numbers(low: f64, high: f64) -> Self {
        let step = round_step(high - low);
        // Numbers that differ less than floating-point numbers can tell, or too much, have no round ticks between them.
        let is_countable = step.is_normal() && (low / step).abs().max((high / step).abs()) < MOST_STEPS;
        if !is_countable {
            let ticks = [low, high].map(|at| Tick { at, label: crate::unit::typeset(&format!("{at:e}")) }).into();
            return Self { low, high, ticks, kind: Kind::Numbers, spacing: Spacing::Linear };
        }
        let decimals = (-(step * 1.000_001).log10().floor()).max(0.0) as usize;
        // A step of 2.5 needs one more digit than its size suggests.
        let digits = step / 10_f64.powf(step.log10().floor());
        let decimals = if (digits - 2.5).abs() < 0.1 && step < 10.0 { decimals + 1 } else { decimals };
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let tick = |i: i64| Tick {
            at: i as f64 * step,
            label: match high.abs().max(low.abs()) >= LARGEST_FIXED {
                true => short(i as f64 * step),
                false => crate::unit::typeset(&format!("{:.decimals$}", i as f64 * step)),
            },
        };
        let ticks = (first..=last).map(tick).collect();
        Self { low, high, ticks, kind: Kind::Numbers, spacing: Spacing::Linear }
    }

    /// Creates a logarithmic scale between two positive numbers. Its ticks are powers of ten, or more numbers if it is
    /// short.
    fn logarithmic(low: f64, high: f64) -> Self {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let every = ((last - first + TICKS as i32) / (TICKS as i32 + 1)).max(1);
        // Multiples, so that 1 is a tick if any of them is near it.
        let first = first.div_euclid(every) * every;
        let inside = |at: &f64| *at >= low * (1.0 - 1e-9) && *at <= high * (1.0 + 1e-9);
        let marks = |digits: &[f64]| -> Vec<Tick> {
            let powers = (first..=last).step_by(every as usize).map(|power| 10_f64.powi(power));
            let all = powers.flat_map(|power| digits.iter().map(move |digit| digit * power));
            all.filter(inside).map(|at| Tick { at, label: plain(at) }).collect()
        };
        let choices = [marks(&[1.0]), marks(&[1.0, 2.0, 5.0]), Self::numbers(low, high).ticks];
        let ticks = choices.into_iter().find(|ticks| ticks.len() >= FEWEST_TICKS);
        let ticks = ticks.unwrap_or_else(|| Self::numbers(low, high).ticks);
        Self { low, high, ticks, kind: Kind::Numbers, spacing: Spacing::Logarithmic }
    }
}

/// Formats a large number of a tick with an exponent: `2.5e8`.
fn short(number: f64) -> String {
    if number.abs() < 0.5 {
        "0".to_owned()
    } else {
        crate::unit::typeset(&format!("{:e}", (number * 1e-3).round() * 1e3))
    }
}

/// Formats the number of a tick with as many digits as it has: `0.02`, `5000`, `1e−6`.
fn plain(number: f64) -> String {
    let text = if (1e-4..1e6).contains(&number) {
        // A tick is a digit times a power of ten, so a few digits hide only the rounding of the product.
        let decimals = (-number.log10().floor()).max(0.0) as usize;
        format!("{number:.decimals$}")
    } else {
        format!("{number:.0e}")
    };
    crate::unit::typeset(&text)
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

    const PLAIN: AxisStyle = AxisStyle { log: false, min: None, max: None };
    const LOG: AxisStyle = AxisStyle { log: true, ..PLAIN };
    const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

    #[test]
    fn ticks_are_round_numbers_within_the_scale() {
        assert_eq!(labels(&Scale::around(&[87.3, 91.1], ANY, &PLAIN)), ["87", "88", "89", "90", "91"]);
        assert_eq!(labels(&Scale::around(&[0.012, 0.03], ANY, &PLAIN)), ["0.015", "0.020", "0.025", "0.030"]);
        assert_eq!(labels(&Scale::from_zero(&[671.0], &PLAIN)), ["0", "100", "200", "300", "400", "500", "600", "700"]);
        assert_eq!(
            labels(&Scale::around(&[99.0, 100.0], (0.0, 100.0), &PLAIN)),
            ["99.0", "99.2", "99.4", "99.6", "99.8", "100.0"]
        );
    }

    #[test]
    fn extreme_numbers_still_have_a_scale() {
        for values in [[5e-324, 2.5e-323], [-1e308, 1e308], [1e300, 1.000_000_1e300], [0.0, 1e-320], [1e17, 2e17]] {
            for scale in [Scale::around(&values, ANY, &PLAIN), Scale::from_zero(&values, &PLAIN)] {
                assert!((2..=20).contains(&scale.ticks.len()), "{values:?} {scale:?}");
                assert!(labels(&scale).iter().all(|label| label.chars().count() < 25), "{values:?} {scale:?}");
            }
        }
        let tiny = AxisStyle { max: Some(5e-324), ..PLAIN };
        assert_eq!(Scale::from_zero(&[3.0], &tiny).ticks.len(), 2);
    }

    #[test]
    fn bars_below_zero_have_room() {
        let scale = Scale::from_zero(&[-0.2, 0.5], &PLAIN);
        assert!(scale.low < -0.2 && scale.high > 0.5, "{scale:?}");
        assert!(Scale::from_zero(&[-2.0, -1.0], &PLAIN).high.abs() < 1e-9);
    }

    #[test]
    fn equal_values_still_have_a_scale() {
        let scale = Scale::around(&[5.0], ANY, &PLAIN);
        assert!(scale.low < 5.0 && scale.high > 5.0 && scale.ticks.len() > 1);
    }

    #[test]
    fn epochs_are_counted_from_one() {
        assert_eq!(labels(&Scale::counted(1, &PLAIN)), ["1"]);
        assert_eq!(labels(&Scale::counted(3, &PLAIN)), ["1", "2", "3"]);
        assert_eq!(labels(&Scale::counted(100, &PLAIN)), ["1", "20", "40", "60", "80", "100"]);
    }

    #[test]
    fn a_logarithmic_scale_has_a_few_round_ticks_and_equal_ratios() {
        let scale = Scale::around(&[0.003, 40.0, 0.0, -1.0], ANY, &LOG);
        assert_eq!(labels(&scale), ["0.01", "0.1", "1", "10"]);
        assert!((scale.share(1.0) - scale.share(0.1) - (scale.share(10.0) - scale.share(1.0))).abs() < 1e-12);
        assert!((scale.share(scale.low)).abs() < 1e-12 && (scale.share(scale.high) - 1.0).abs() < 1e-12);
        assert_eq!(labels(&Scale::around(&[3.0, 80.0], ANY, &LOG)), ["5", "10", "20", "50", "100"]);
        assert_eq!(labels(&Scale::around(&[52.0, 59.0], ANY, &LOG)), ["52", "54", "56", "58"]);
        assert_eq!(labels(&Scale::around(&[1e-9, 1e9], ANY, &LOG)).len(), 7);
        assert_eq!(labels(&Scale::counted(100, &LOG)), ["1", "10", "100"]);
        assert_eq!(labels(&Scale::counted(9, &LOG)), ["1", "2", "5"]);
        assert!(Scale::around(&[5.0], ANY, &LOG).ticks.len() >= FEWEST_TICKS);
    }

    #[test]
    fn declared_ends_are_the_ends() {
        let scale = Scale::around(&[3.0, 8.0], ANY, &AxisStyle { min: Some(0.0), max: Some(10.0), ..PLAIN });
        assert_eq!((scale.low.to_bits(), scale.high.to_bits()), (0.0_f64.to_bits(), 10.0_f64.to_bits()));
        assert_eq!(labels(&scale), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(labels(&Scale::counted(9, &AxisStyle { max: Some(4.0), ..PLAIN })), ["1", "2", "3", "4"]);
        // A limit beyond all values leaves a scale, not one that runs backwards.
        for style in [AxisStyle { min: Some(50.0), ..PLAIN }, AxisStyle { max: Some(-50.0), ..PLAIN }] {
            let scale = Scale::around(&[3.0, 8.0], ANY, &style);
            assert!(scale.low < scale.high && !scale.ticks.is_empty(), "{scale:?}");
        }
        let beyond = Scale::counted(9, &AxisStyle { max: Some(0.1), ..LOG });
        assert!(beyond.low > 0.0 && beyond.low < beyond.high, "{beyond:?}");
    }
}
