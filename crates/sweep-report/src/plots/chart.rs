//! A plot as data: the marks that its picture shows, in the shown units. A page draws them anew, with values under the
//! pointer.
//!
//! This module knows marks and texts. It does not know where a mark is placed in a picture.

use serde::Serialize;

use super::over_axis::{Mark, OverAxis};
use super::panel::Legend;
use super::seeds::Seeds;
use crate::style::AxisStyle;
use crate::unit::Rounding;

/// A plot as data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chart {
    /// How its marks are drawn.
    pub kind: ChartKind,
    /// The horizontal axis.
    pub x: ChartAxis,
    /// The vertical axis.
    pub y: ChartAxis,
    /// Names of the axes whose labels name the series; empty for a single series.
    pub legend: String,
    /// The series, in the order of their colours.
    pub series: Vec<ChartSeries>,
}

/// How the marks of a plot are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChartKind {
    /// Lines through means, with error bars.
    Line,
    /// Bars from zero.
    Bars,
    /// Labelled dots.
    Scatter,
    /// Lines over epochs.
    Curves,
}

/// An axis of a plot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChartAxis {
    /// What it shows, with the unit.
    pub label: String,
    /// The labels of a horizontal axis without numbers. The positions of marks count from 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Declared limits and spacing.
    #[serde(flatten)]
    pub style: AxisStyle,
}

/// The marks of one series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChartSeries {
    /// Its labels, joined by `/`.
    pub name: String,
    /// The marks of the mean over seeds.
    pub marks: Vec<ChartMark>,
    /// The curves of single seeds, without texts. Only for [`ChartKind::Curves`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<Vec<(f64, f64)>>,
}

/// One mark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChartMark {
    /// Horizontal position.
    pub x: f64,
    /// Vertical position.
    pub y: f64,
    /// Ends of the error bar, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<(f64, f64)>,
    /// What the mark shows, as the report formats it.
    pub text: String,
    /// Whether it is a mean over fewer seeds than planned.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hollow: bool,
    /// Whether another dot is significantly better. Only for [`ChartKind::Scatter`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pale: bool,
}

impl ChartAxis {
    pub(super) fn of(label: impl Into<String>, style: AxisStyle) -> Self {
        Self { label: label.into(), labels: Vec::new(), style }
    }
}

impl Chart {
    /// Returns the data of a line or bar plot.
    pub(super) fn over_axis(
        kind: ChartKind,
        data: &OverAxis,
        (x, y): (ChartAxis, ChartAxis),
        rounding: Rounding,
    ) -> Self {
        let mark = |mark: &Mark| ChartMark {
            x: mark.x as f64,
            y: mark.mean,
            ends: mark.ends(),
            text: value_text(rounding, (mark.mean, mark.sd), mark.seeds),
            hollow: !mark.seeds.is_complete(),
            pale: false,
        };
        let series = data.series.iter().zip(names(&data.legend)).map(|(series, name)| ChartSeries {
            name,
            marks: series.points.iter().map(mark).collect(),
            seeds: Vec::new(),
        });
        Self {
            kind,
            x: ChartAxis { labels: data.labels.clone(), ..x },
            y,
            legend: data.legend.heading.clone(),
            series: series.collect(),
        }
    }
}

/// Returns the names of all series. A single series has no name.
pub(super) fn names(legend: &Legend) -> impl Iterator<Item = String> {
    legend.entries.iter().map(|entry| entry.label.clone()).chain(std::iter::repeat(String::new()))
}

/// Formats a mean with its deviation: `81.60 ± 3.03 %`, or `81.60 ± 3.03 % (2 of 3)`.
pub(super) fn value_text(rounding: Rounding, (mean, sd): (f64, Option<f64>), seeds: Seeds) -> String {
    let text = |value: f64| rounding.text(rounding.unit.stored(value));
    let sd = sd.map(|sd| format!(" ± {}", text(sd))).unwrap_or_default();
    format!("{}{sd} {}", text(mean), rounding.unit.symbol).trim_end().to_owned() + &seeds.suffix()
}
