//! The look of a plot: the table `style` of a declared plot, and the values that it allows.
//!
//! This module knows sizes and limits. It does not know how a plot is drawn.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Smallest and largest sizes of a picture, in pixels of CSS.
const WIDTHS: [u32; 2] = [240, 1600];
const HEIGHTS: [u32; 2] = [160, 1600];
/// Smallest and largest font size, in pixels of CSS.
const FONT_SIZES: [f64; 2] = [6.0, 32.0];
/// Letters of this share of the width or of the height leave room for the plot.
const FONT_SHARES: [f64; 2] = [20.0, 12.0];
/// Largest size of a limit, and smallest distance of two limits relative to them. Ticks need some digits.
const LARGEST_LIMIT: f64 = 1e12;
const SMALLEST_DISTANCE: f64 = 1e-6;

/// How a plot looks. Sizes are in pixels of CSS: an inch has 96. A PNG has two pixels for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlotStyle {
    /// Width of the picture: 240 to 1600.
    pub width: u32,
    /// Height of the picture: 160 to 1600.
    pub height: u32,
    /// Size of the letters of axis labels: 6 to 32, and at most a twentieth of the width and a twelfth of the height.
    /// The title is a sixth larger; other words are a twelfth smaller.
    pub font_size: f64,
    /// Whether the picture shows the `title` of the plot. The report shows it above the picture in any case.
    pub title: bool,
    /// The horizontal axis. Only for numbers: in scatter plots and learning curves.
    pub x: AxisStyle,
    /// The vertical axis. Bars start at zero, so they allow only `max`.
    pub y: AxisStyle,
}

impl Default for PlotStyle {
    fn default() -> Self {
        Self { width: 600, height: 400, font_size: 12.0, title: true, x: AxisStyle::default(), y: AxisStyle::default() }
    }
}

/// Limits and spacing of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AxisStyle {
    /// Whether the axis is logarithmic. Values of 0 or less then have no place, and a note counts them.
    pub log: bool,
    /// Lower end of the axis, in the shown unit. Default: below all values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Upper end of the axis, in the shown unit. Default: above all values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// What an axis shows. It decides which keys of its style make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AxisKind {
    /// Numbers.
    Numbers,
    /// Numbers from zero on, as lengths.
    FromZero,
    /// Labels of points.
    Labels,
}

/// A key of a style whose value is not allowed, with what is wrong and what to write.
pub(crate) type StyleFault = (String, String);

impl PlotStyle {
    /// Returns the faults of the style, for axes of these kinds.
    pub(crate) fn faults(&self, x: AxisKind, y: AxisKind) -> Vec<StyleFault> {
        let size = |key: &str, value: u32, [least, most]: [u32; 2]| {
            let fault = || (key.to_owned(), format!("{value} is not from {least} to {most}"));
            (!(least..=most).contains(&value)).then(fault)
        };
        let mut faults: Vec<StyleFault> =
            [size("width", self.width, WIDTHS), size("height", self.height, HEIGHTS)].into_iter().flatten().collect();
        if faults.is_empty() {
            let room = f64::min(f64::from(self.width) / FONT_SHARES[0], f64::from(self.height) / FONT_SHARES[1]);
            let most = FONT_SIZES[1].min(room);
            // Written so that a number which is not a number is a fault too.
            if !(FONT_SIZES[0]..=most).contains(&self.font_size) {
                let told = format!(
                    "{} is not from {} to {most:.1}, the largest size for {}x{} pixels",
                    self.font_size, FONT_SIZES[0], self.width, self.height
                );
                faults.push(("font_size".to_owned(), told));
            }
        }
        faults.extend(self.x.faults("x", x));
        faults.extend(self.y.faults("y", y));
        faults
    }
}

impl AxisStyle {
    fn faults(&self, name: &str, kind: AxisKind) -> Vec<StyleFault> {
        let fault = |key: &str, told: &str| (format!("{name}.{key}"), told.to_owned());
        let mut faults = Vec::new();
        let refused = match kind {
            AxisKind::Numbers => None,
            AxisKind::FromZero => {
                Some(("bars start at zero; leave it out, or write kind = \"line\"", &["log", "min"][..]))
            }
            AxisKind::Labels => Some(("this axis shows labels, not numbers; leave it out", &["log", "min", "max"][..])),
        };
        let given = [("log", self.log), ("min", self.min.is_some()), ("max", self.max.is_some())];
        if let Some((why, keys)) = refused {
            let refused = given.iter().filter(|(key, given)| *given && keys.contains(key));
            faults.extend(refused.map(|(key, _)| fault(key, why)));
        }
        for (key, limit) in [("min", self.min), ("max", self.max)] {
            let Some(limit) = limit else { continue };
            // Written so that a number which is not a number is a fault too.
            if !(-LARGEST_LIMIT..=LARGEST_LIMIT).contains(&limit) {
                faults.push(fault(key, &format!("{limit:e} is not a number from -1e12 to 1e12")));
            } else if limit <= 0.0 && (self.log || (kind == AxisKind::FromZero && key == "max")) {
                faults.push(fault(key, &format!("{limit} has no place on this axis; write a number above 0")));
            }
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && faults.is_empty()
            && max - min <= SMALLEST_DISTANCE * min.abs().max(max.abs())
        {
            faults
                .push(fault("max", &format!("{max} is not clearly above the lower end {min}; write a larger number")));
        }
        faults
    }

    /// Whether the axis has a place for a value at all.
    pub(crate) fn has_place(&self, value: f64) -> bool {
        !self.log || value > 0.0
    }

    /// Whether the axis shows a value.
    pub(crate) fn shows(&self, value: f64) -> bool {
        self.has_place(value) && self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(style: &str, x: AxisKind, y: AxisKind) -> Vec<String> {
        let style: PlotStyle = toml::from_str(style).unwrap();
        style.faults(x, y).into_iter().map(|(key, told)| format!("{key}: {told}")).collect()
    }

    #[test]
    fn every_fault_has_its_key_and_a_remedy() {
        use AxisKind::{FromZero, Labels, Numbers};
        assert_eq!(told("", Labels, FromZero), Vec::<String>::new());
        assert_eq!(told("width = 100\nheight = 9000", Numbers, Numbers).len(), 2);
        assert!(told("font_size = nan", Numbers, Numbers)[0].starts_with("font_size: NaN is not from 6 to 30.0"));
        assert!(
            told("font_size = 15\nwidth = 240", Numbers, Numbers)[0].contains("to 12.0, the largest size for 240x400")
        );
        assert_eq!(told("x.log = true\nx.min = 1\nx.max = 2", Labels, Numbers).len(), 3);
        assert_eq!(told("y.log = true\ny.max = 2", Labels, FromZero).len(), 1);
        assert!(told("y.max = 0.0", Labels, FromZero)[0].contains("above 0"));
        assert!(told("y = { log = true, min = 0.0 }", Numbers, Numbers)[0].starts_with("y.min: 0 has no place"));
        assert!(told("y.min = inf", Numbers, Numbers)[0].starts_with("y.min: inf is not a number"));
        assert!(told("y = { min = 3.0, max = 3.0 }", Numbers, Numbers)[0].contains("not clearly above"));
        assert_eq!(told("y = { min = -3.0, max = 3.0 }", Numbers, Numbers), Vec::<String>::new());
    }

    #[test]
    fn an_axis_shows_what_is_within_its_limits() {
        let axis = AxisStyle { log: true, min: Some(0.5), max: None };
        assert!(axis.shows(0.5) && axis.shows(1e9) && !axis.shows(0.4) && !axis.shows(0.0) && !axis.has_place(-1.0));
        assert!(!axis.has_place(f64::NAN));
    }
}
