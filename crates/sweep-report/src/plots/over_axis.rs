//! The data of line and bar plots: a quantity over the points of an axis, by series.

use std::collections::BTreeMap;

use super::Source;
use super::palette::{Look, series};
use super::panel::{Legend, LegendEntry};
use super::seeds::{Completeness, Seeds};
use crate::declaration::AxisPlot;
use crate::group::{Group, Grouping, axis_of};
use crate::samples::Sample;
use crate::unit::Unit;

/// A quantity over an axis, in the shown unit.
pub(super) struct OverAxis {
    /// Labels of the horizontal axis at which runs are planned, in order.
    pub(super) labels: Vec<String>,
    /// The series, in the order of their labels.
    pub(super) series: Vec<Series>,
    /// The legend; empty for a single series.
    pub(super) legend: Legend,
}

/// One series.
#[derive(Default)]
pub(super) struct Series {
    pub(super) points: Vec<Mark>,
}

/// One value.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    /// Position on the horizontal axis, counted from 0.
    pub(super) x: usize,
    pub(super) mean: f64,
    /// Standard deviation. Absent for one seed, and if the values do not vary.
    pub(super) sd: Option<f64>,
    pub(super) seeds: Seeds,
}

impl Mark {
    /// Returns the look of its series; hollow if seeds are missing.
    pub(super) fn look(self, series: Look) -> Look {
        Look { hollow: series.hollow || !self.seeds.is_complete(), ..series }
    }

    /// Returns the ends of the error bar: one deviation below and one above the mean.
    pub(super) fn ends(self) -> Option<(f64, f64)> {
        self.sd.map(|sd| (self.mean - sd, self.mean + sd))
    }
}

impl OverAxis {
    /// Collects everything that the plot shows. Returns `None` if nothing has been measured.
    pub(super) fn of(source: &Source<'_>, plot: &AxisPlot) -> Option<Self> {
        let axes: Vec<String> = plot.series.iter().chain([&plot.axis]).cloned().collect();
        let groups = Grouping { axes: &axes, only: &plot.only }.groups(source.plan);
        let has_runs = |label: &str| {
            let is_its = |group: &Group<'_>| group.labels.last() == Some(&Some(label)) && group.excluded.is_none();
            groups.iter().any(is_its)
        };
        let axis = axis_of(source.plan, &plot.axis)?;
        let labels: Vec<String> = axis.labels.iter().filter(|label| has_runs(label)).cloned().collect();
        let unit = Unit::of(plot.y.metric);
        let mut by_name: BTreeMap<usize, (String, Series)> = BTreeMap::new();
        let mut names: Vec<String> = Vec::new();
        for group in &groups {
            let (label, own) = group.labels.split_last()?;
            let name = own.iter().map(|label| label.unwrap_or("–")).collect::<Vec<_>>().join("/");
            let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            });
            let sample = Sample::of(source.measured, group, &plot.y);
            let x = labels.iter().position(|known| Some(known.as_str()) == *label);
            if let (Some(x), Some(summary)) = (x, sample.summary()) {
                let sd = summary.sd.filter(|sd| *sd > 0.0).map(|sd| unit.scaled(sd));
                let seeds = Seeds { measured: summary.n, planned: sample.planned };
                let mark = Mark { x, mean: unit.scaled(summary.mean), sd, seeds };
                by_name.entry(place).or_insert((name, Series::default())).1.points.push(mark);
            }
        }
        let (names, series): (Vec<String>, Vec<Series>) = by_name.into_values().unzip();
        let legend = legend(&plot.series, &names);
        (!series.is_empty()).then_some(Self { labels, series, legend })
    }

    /// Returns whether any mark lacks seeds.
    pub(super) fn completeness(&self) -> Completeness {
        self.series.iter().flat_map(|series| &series.points).map(|mark| mark.seeds).collect()
    }

    /// Returns the position and the mean of all marks.
    pub(super) fn marks(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|series| &series.points).map(|mark| (mark.x as f64, mark.mean))
    }

    /// Returns all values that the vertical axis must include, with the ends of error bars.
    pub(super) fn values(&self) -> Vec<f64> {
        let marks = self.series.iter().flat_map(|series| &series.points);
        marks
            .flat_map(|mark| {
                let (low, high) = mark.ends().unwrap_or((mark.mean, mark.mean));
                [low, high]
            })
            .collect()
    }
}

/// Creates a legend for two or more series; empty for fewer.
pub(super) fn legend(axes: &[String], names: &[String]) -> Legend {
    if names.len() < 2 {
        return Legend::default();
    }
    let entry = |(i, label): (usize, &String)| LegendEntry { label: label.clone(), look: series(i) };
    Legend { heading: axes.join("/"), entries: names.iter().enumerate().map(entry).collect() }
}
