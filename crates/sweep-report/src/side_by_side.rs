//! Two runs, or two rows of runs, side by side: what they measured, over epochs too, and the images on which they
//! disagree.
//!
//! This module knows values and predictions. It does not know plans, tables or folders.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sweep_protocol::{Form, Measurement, Metric, Predictions, RunId, SeriesKey, Split, Status};
use sweep_statistics::{McNemar, PairedDifference, Summary};

use crate::declaration::{EpochRule, Quantity};
use crate::unit::{Rounding, Unit, with_unit, words};

/// Number of images that are named: those with the most disagreements.
const NAMED: usize = 10;

/// One of the two sides: runs that differ only in their seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// The runs, in the order of their seeds.
    pub runs: Vec<SideRun>,
}

/// A run of one side.
#[derive(Clone, Debug, PartialEq)]
pub struct SideRun {
    /// Its id.
    pub run: RunId,
    /// Its seed.
    pub seed: u64,
    /// Its status.
    pub status: Status,
    /// Its values.
    pub measurements: Vec<Measurement>,
    /// What it predicted.
    pub predictions: Vec<Predictions>,
}

/// Two sides, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideBySide {
    /// The epoch at which values are compared; absent if the last ones are.
    pub at_epoch: Option<u32>,
    /// Each quantity that a run of either side has measured.
    pub quantities: Vec<ComparedQuantity>,
    /// The images of each split and form that both sides predicted.
    pub images: Vec<ComparedImages>,
}

/// A quantity of both sides. Numbers are in base units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedQuantity {
    /// The quantity in words, with its unit.
    pub name: String,
    /// Number of runs with a value.
    pub n: [usize; 2],
    /// Epochs of the values.
    pub epochs: [BTreeSet<u32>; 2],
    /// Means over these runs.
    pub means: [Option<f64>; 2],
    /// The second side minus the first, on shared seeds; absent if they share none.
    pub difference: Option<PairedDifference>,
    /// Mean of each side by epoch, over the runs that have a value there.
    pub curves: [BTreeMap<u32, f64>; 2],
    #[serde(skip)]
    metric: Metric,
    #[serde(skip)]
    rounding: Rounding,
    #[serde(skip)]
    summaries: [Option<Summary>; 2],
}

/// The images that both sides predicted, in pairs of runs with the same seed, or of the only run of each side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedImages {
    /// The images.
    pub split: Split,
    /// The form of the model.
    pub form: Option<Form>,
    /// McNemar's test of each pair, the first side first. By the seed of the first side.
    pub pairs: BTreeMap<u64, McNemar>,
    /// The images on which most pairs disagree, with what each run predicted.
    pub disagreements: Vec<Disagreement>,
}

/// An image on which runs disagree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// Its place in the set, counted from 0.
    pub image: usize,
    /// Its class.
    pub class: u32,
    /// The classes that the runs of each side predicted, in the order of the pairs.
    pub predicted: [Vec<u32>; 2],
}

/// Compares two sides by their last values, or by those of an epoch. Values of runs that are not finished count, since
/// a comparison may be wanted before they are.
pub fn side_by_side(sides: [&Side; 2], at_epoch: Option<u32>) -> SideBySide {
    let all = sides.iter().flat_map(|side| &side.runs).flat_map(|run| &run.measurements);
    let known: BTreeSet<SeriesKey> = all.map(Measurement::series).collect();
    let quantities = known.into_iter().map(|series| compared(sides, series, at_epoch));
    let quantities = quantities.filter(|found| found.n != [0, 0]).collect();
    let images = images(sides, at_epoch);
    SideBySide { at_epoch, quantities, images }
}

fn compared(sides: [&Side; 2], series: SeriesKey, at_epoch: Option<u32>) -> ComparedQuantity {
    let chosen = sides.map(|side| {
        let of_run = |run: &SideRun| {
            let mut own = run.measurements.iter().filter(|m| m.series() == series && m.value.is_finite());
            let value = match at_epoch {
                Some(epoch) => own.rfind(|m| m.epoch == Some(epoch)),
                None => own.max_by_key(|m| m.epoch),
            };
            value.map(|m| (run.seed, (m.epoch, m.value)))
        };
        side.runs.iter().filter_map(of_run).collect::<BTreeMap<u64, (Option<u32>, f64)>>()
    });
    let values = chosen.each_ref().map(|found| found.iter().map(|(seed, (_, value))| (*seed, *value)).collect());
    let summaries =
        values.each_ref().map(|found: &BTreeMap<u64, f64>| Summary::of(&found.values().copied().collect::<Vec<_>>()));
    let means = summaries.map(|found| found.map(|found| found.mean));
    let quantity = Quantity { metric: series.0, split: series.1, form: series.2, epoch: EpochRule::Last };
    ComparedQuantity {
        name: with_unit(&words(&quantity), &Unit::of(series.0).symbol),
        n: chosen.each_ref().map(BTreeMap::len),
        epochs: chosen.each_ref().map(|found| found.values().filter_map(|(epoch, _)| *epoch).collect()),
        means,
        difference: PairedDifference::of(&values[1], &values[0]),
        curves: sides.map(|side| curve(side, series)),
        metric: series.0,
        rounding: Rounding::of(series.0, means.into_iter().flatten()),
        summaries,
    }
}

/// Returns the mean of a side by epoch.
fn curve(side: &Side, series: SeriesKey) -> BTreeMap<u32, f64> {
    let mut at: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for m in side.runs.iter().flat_map(|run| &run.measurements).filter(|m| m.series() == series) {
        if let Some(epoch) = m.epoch {
            at.entry(epoch).or_default().push(m.value);
        }
    }
    at.into_iter().filter_map(|(epoch, values)| Some((epoch, Summary::of(&values)?.mean))).collect()
}

impl ComparedQuantity {
    /// Formats the mean of a side: `82.37 ± 0.91`; a dash without values.
    pub fn mean_text(&self, side: usize) -> String {
        let Some(Some(summary)) = self.summaries.get(side) else { return "—".to_owned() };
        let sd = summary.sd.filter(|sd| *sd > 0.0).map(|sd| format!(" ± {}", self.rounding.text(sd)));
        self.rounding.text(summary.mean) + &sd.unwrap_or_default()
    }

    /// Formats the difference with its interval: `−1.30 [−3.20, 0.60]`; a dash if there is none.
    pub fn difference_text(&self) -> String {
        let of_means = || self.means[1].zip(self.means[0]).map(|(second, first)| self.rounding.signed(second - first));
        match &self.difference {
            Some(found) => self.rounding.signed_with_interval(found.summary.mean, found.summary.interval),
            None => of_means().map_or_else(|| "—".to_owned(), |text| format!("{text} (no seed in common)")),
        }
    }

    /// Formats a value of a curve.
    pub fn text(&self, value: f64) -> String {
        self.rounding.text(value)
    }

    /// Whether it is an accuracy, which people follow over epochs.
    pub fn is_accuracy(&self) -> bool {
        self.metric == Metric::Accuracy
    }
}

/// Compares what both sides predicted; nothing if one of them predicted at another epoch than the one that is asked
/// for.
fn images(sides: [&Side; 2], at_epoch: Option<u32>) -> Vec<ComparedImages> {
    let all = || sides.into_iter().flat_map(|side| &side.runs).flat_map(|run| &run.predictions);
    if at_epoch.is_some() && all().any(|found| found.epoch() != at_epoch) {
        return Vec::new();
    }
    let kinds: BTreeSet<(Split, Option<Form>)> = all().map(|found| (found.split(), found.form())).collect();
    kinds.into_iter().filter_map(|kind| images_of(sides, kind)).collect()
}

/// Compares what both sides predicted for the same images. `None` if no pair of runs did.
fn images_of([first, second]: [&Side; 2], (split, form): (Split, Option<Form>)) -> Option<ComparedImages> {
    let of = |run: &SideRun| {
        let found = run.predictions.iter().find(|found| (found.split(), found.form()) == (split, form));
        found.cloned()
    };
    let partner = |run: &SideRun| match (first.runs.as_slice(), second.runs.as_slice()) {
        // Two single runs are compared whatever their seeds are.
        ([_], [other]) => Some(other),
        _ => second.runs.iter().find(|other| other.seed == run.seed),
    };
    let pair = |run: &SideRun| Some((run.seed, [of(run)?, of(partner(run)?)?]));
    let pairs: Vec<(u64, [Predictions; 2])> = first.runs.iter().filter_map(pair).collect();
    let (_, [model, _]) = pairs.first()?;
    let is_same = |other: &Predictions| (other.classes(), other.truth_text()) == (model.classes(), model.truth_text());
    if !pairs.iter().flat_map(|(_, both)| both).all(is_same) {
        return None;
    }
    let tests = pairs.iter().filter_map(|(seed, [a, b])| Some((*seed, McNemar::of(&a.correct(), &b.correct())?)));
    let predicted: Vec<[Vec<(u32, u32)>; 2]> =
        pairs.iter().map(|(_, both)| both.each_ref().map(|found| found.pairs().collect())).collect();
    let disagreement = |image: usize| {
        let of_side = |side: usize| predicted.iter().map(|both| both[side][image].1).collect::<Vec<u32>>();
        let both = [of_side(0), of_side(1)];
        let count = both[0].iter().zip(&both[1]).filter(|(a, b)| a != b).count();
        (count > 0).then(|| (count, Disagreement { image, class: predicted[0][0][image].0, predicted: both }))
    };
    let mut found: Vec<(usize, Disagreement)> = (0..model.images()).filter_map(disagreement).collect();
    found.sort_by_key(|(count, disagreement)| (std::cmp::Reverse(*count), disagreement.image));
    let disagreements = found.into_iter().take(NAMED).map(|(_, disagreement)| disagreement).collect();
    Some(ComparedImages { split, form, pairs: tests.collect(), disagreements })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, values: &[(u32, f64)], predicted: &[u32]) -> SideRun {
        let measurement = |(epoch, value): &(u32, f64)| Measurement {
            metric: Metric::Accuracy,
            split: Some(Split::Test),
            form: Some(Form::Deployed),
            epoch: Some(*epoch),
            value: *value,
        };
        let key = (Split::Test, Some(Form::Deployed), None);
        SideRun {
            run: RunId::of("{}", seed),
            seed,
            status: Status::Succeeded,
            measurements: values.iter().map(measurement).collect(),
            predictions: vec![Predictions::new(key, 3, [&[0, 1, 2, 0], predicted]).unwrap()],
        }
    }

    #[test]
    fn rows_are_paired_by_seed_and_images_are_counted_in_pairs() {
        let first = Side {
            runs: vec![run(0, &[(1, 0.5), (2, 0.75)], &[0, 1, 2, 0]), run(1, &[(1, 0.5), (2, 0.5)], &[0, 1, 2, 1])],
        };
        let second =
            Side { runs: vec![run(0, &[(1, 0.25), (2, 0.5)], &[0, 1, 0, 1]), run(1, &[(1, 0.25)], &[0, 1, 0, 1])] };
        let found = side_by_side([&first, &second], None);
        let [accuracy] = found.quantities.as_slice() else { panic!("{found:?}") };
        assert_eq!((accuracy.n, accuracy.mean_text(0).as_str()), ([2, 2], "62.50 ± 17.68"));
        assert_eq!(accuracy.epochs[1], BTreeSet::from([1, 2]), "the second run is not as far");
        assert_eq!(accuracy.curves[1], BTreeMap::from([(1, 0.25), (2, 0.5)]));
        let at = side_by_side([&first, &second], Some(2));
        assert_eq!((at.quantities[0].n, at.quantities[0].difference_text().as_str()), ([2, 1], "−25.00"));
        let [images] = found.images.as_slice() else { panic!("{found:?}") };
        assert_eq!((images.pairs[&0].only_first, images.pairs[&0].only_second), (2, 0));
        let named: Vec<usize> = images.disagreements.iter().map(|found| found.image).collect();
        assert_eq!(named, [2, 3]);
        assert_eq!(images.disagreements[0].predicted, [vec![2, 2], vec![0, 0]]);
    }

    #[test]
    fn single_runs_of_different_seeds_have_no_interval() {
        let side = |seed, value| Side { runs: vec![run(seed, &[(1, value)], &[0, 1, 2, 0])] };
        let found = side_by_side([&side(0, 0.5), &side(7, 0.75)], None);
        assert_eq!(found.quantities[0].difference_text(), "+25.00 (no seed in common)");
        assert_eq!(found.images[0].pairs.len(), 1);
    }
}
