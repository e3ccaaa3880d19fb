//! How much of a difference in accuracy could come from the choice of the test images.
//!
//! Seeds say how much trainings differ, but all trainings of a sweep are tested on the same images. Whether these
//! images favour one network is another question. The runs that stored their predictions answer it. This module knows
//! groups of runs and what they predicted. It does not know output formats.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sweep_protocol::{Metric, Predictions};
use sweep_statistics::{AccuracyDifference, McNemar, Resampling};

use crate::declaration::Quantity;
use crate::group::Group;
use crate::measured::Measured;
use crate::samples::Sample;
use crate::table::Table;
use crate::unit::Unit;

/// How images are drawn again. The ends of an interval vary by about 2% of its width between seeds, which is less than
/// a note shows; a table of many rows costs this many draws of the test set for each.
const RESAMPLING: Resampling = Resampling { resamples: 2_000, seed: 20_210_505 };

/// What the test images contribute to a difference in accuracy between two rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageNoise {
    /// McNemar's exact test between the networks of each seed: this row first, the baseline second.
    pub by_seed: BTreeMap<u64, McNemar>,
    /// The mean difference over these seeds, with its interval over other test sets of the same size.
    pub mean: AccuracyDifference,
}

/// A row and its baseline: the runs and their values.
pub(crate) type Compared<'a> = [(&'a Group<'a>, &'a Sample); 2];

impl ImageNoise {
    /// Compares a row with its baseline, paired by seed. `None` for other metrics than accuracy, and unless each run
    /// that the difference is made of stored its predictions of the same images.
    pub(crate) fn between(measured: &Measured<'_>, [own, base]: Compared<'_>, quantity: &Quantity) -> Option<Self> {
        if quantity.metric != Metric::Accuracy {
            return None;
        }
        let seeds = own.1.values.keys().filter(|seed| base.1.values.contains_key(*seed));
        let of = |group: &Group<'_>, seed: u64| {
            let run = group.runs.iter().find(|run| run.seed == seed)?;
            measured.predictions(run.run, quantity)
        };
        let pair = |&seed: &u64| Some((seed, [of(own.0, seed)?, of(base.0, seed)?]));
        let pairs: Vec<(u64, [&Predictions; 2])> = seeds.map(pair).collect::<Option<_>>()?;
        let first = pairs.first()?.1[0];
        let is_same =
            |other: &&Predictions| (other.classes(), other.truth_text()) == (first.classes(), first.truth_text());
        if !pairs.iter().flat_map(|(_, both)| both).all(is_same) {
            return None;
        }
        let correct: Vec<[Vec<bool>; 2]> = pairs.iter().map(|(_, both)| both.map(Predictions::correct)).collect();
        let test = |((seed, _), [own, base]): (&(u64, _), &[Vec<bool>; 2])| Some((*seed, McNemar::of(own, base)?));
        let by_seed = pairs.iter().zip(&correct).map(test).collect::<Option<_>>()?;
        let correct: Vec<(&[bool], &[bool])> =
            correct.iter().map(|[own, base]| (own.as_slice(), base.as_slice())).collect();
        Some(Self { by_seed, mean: AccuracyDifference::over_seeds(&correct, RESAMPLING)? })
    }
}

/// Says for each column of differences how far other test images could move them.
pub(crate) fn notes(table: &Table) -> Vec<String> {
    (0..table.columns.len()).filter_map(|i| note(table, i)).collect()
}

fn note(table: &Table, i: usize) -> Option<String> {
    let column = &table.columns[i];
    let found: Vec<&AccuracyDifference> =
        table.rows.iter().filter_map(|row| row.cells.get(i)?.images.as_ref()).map(|noise| &noise.mean).collect();
    let halves: Vec<f64> =
        found.iter().filter_map(|mean| mean.interval).map(|ends| (ends.high - ends.low) / 2.0).collect();
    let unit = Unit::of(column.quantity.metric);
    let text = |value: f64| unit.text(value, unit.decimals(halves.iter().copied()));
    let (least, most) = (halves.iter().copied().reduce(f64::min)?, halves.iter().copied().reduce(f64::max)?);
    let range = match (text(least), text(most)) {
        (least, most) if least == most => least,
        (least, most) => format!("{least} to {most}"),
    };
    Some(format!(
        "{}: the choice of the {} test images alone could move these differences by {range} {} in either direction \
         (half of the 95% interval; images are drawn again {} times from seed {}, the same ones for all seeds of a \
         row). The intervals over seeds do not contain this.",
        column.label,
        found.first()?.images,
        unit.difference,
        RESAMPLING.resamples,
        RESAMPLING.seed,
    ))
}
