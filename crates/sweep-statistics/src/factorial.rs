//! Effects of axes in a complete grid: marginal means, main effects and two-way interactions.
//!
//! Each seed was trained in every cell, so seeds are blocks. An effect is computed within each seed and then averaged
//! over seeds. Its t-interval is exact for normal values, whatever the cells of a seed have in common; an analysis of
//! variance would have to assume that all pairs of cells have the same correlation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::paired_difference::PairedDifference;
use crate::pairs::size_of;
use crate::summary::Summary;

/// The cells of a grid: values by seed, for the place of a point on each axis, counted from 0.
pub type Cells = BTreeMap<Vec<usize>, BTreeMap<u64, f64>>;

/// The effects of all axes of a complete grid. Axes and points are counted from 0, and the first point of each axis is
/// what the others are compared with. All effects together are one family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Factorial {
    /// Number of seeds.
    pub seeds: usize,
    /// Mean of each point of each axis, over all points of the other axes.
    pub marginal_means: Vec<MarginalMean>,
    /// Difference of each point to the first of its axis.
    pub main_effects: Vec<MainEffect>,
    /// How the difference of a point changes with the point of another axis.
    pub interactions: Vec<Interaction>,
}

/// Mean of a point over all points of the other axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarginalMean {
    /// The axis.
    pub axis: usize,
    /// The point.
    pub point: usize,
    /// Mean over the seeds. Its interval is for this mean alone.
    pub summary: Summary,
}

/// Main effect of a point: its marginal mean minus that of the first point of its axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MainEffect {
    /// The axis.
    pub axis: usize,
    /// The point, from 1 on.
    pub point: usize,
    /// The effect. It is an average over the other axes: with an interaction, it holds for no single cell.
    pub effect: PairedDifference,
}

/// Interaction of two points: how much the difference of `points[0]` to the first point of `axes[0]` grows if `axes[1]`
/// goes from its first point to `points[1]`. It is a difference of differences, averaged over all other axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interaction {
    /// Both axes, the smaller first.
    pub axes: [usize; 2],
    /// A point of each, from 1 on.
    pub points: [usize; 2],
    /// The interaction.
    pub effect: PairedDifference,
}

/// Why a grid has no effects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unbalanced {
    /// The grid has no axis.
    NoAxis,
    /// An axis has fewer than two points.
    NoChoice {
        /// The axis.
        axis: usize,
    },
    /// A cell is not in the grid.
    UnknownCell {
        /// Its points.
        points: Vec<usize>,
    },
    /// A cell of the grid is missing.
    MissingCell {
        /// Its points.
        points: Vec<usize>,
    },
    /// A cell lacks a seed that another cell has.
    MissingSeed {
        /// The points of the cell.
        points: Vec<usize>,
        /// The seed.
        seed: u64,
    },
    /// A value is not finite.
    NotFinite {
        /// The points of the cell.
        points: Vec<usize>,
        /// The seed.
        seed: u64,
    },
    /// There are fewer than two seeds.
    TooFewSeeds {
        /// Number of seeds.
        seeds: usize,
    },
    /// The values are so large that their sums overflow.
    Overflow,
}

impl fmt::Display for Unbalanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAxis => write!(f, "the grid has no axis"),
            Self::NoChoice { axis } => write!(f, "axis {axis} has fewer than two points"),
            Self::UnknownCell { points } => write!(f, "cell {points:?} is not in the grid"),
            Self::MissingCell { points } => write!(f, "cell {points:?} is missing"),
            Self::MissingSeed { points, seed } => write!(f, "cell {points:?} lacks seed {seed}"),
            Self::NotFinite { points, seed } => write!(f, "cell {points:?} has no finite value for seed {seed}"),
            Self::TooFewSeeds { seeds } => write!(f, "{seeds} seeds do not show how much results vary"),
            Self::Overflow => write!(f, "the sums of the values overflow"),
        }
    }
}

impl std::error::Error for Unbalanced {}

impl Factorial {
    /// Computes all effects. `points` has the number of points of each axis.
    ///
    /// # Errors
    ///
    /// Returns why the grid is not complete and balanced: the first reason that is found, in the order of the variants.
    pub fn of(points: &[usize], cells: &Cells) -> Result<Self, Unbalanced> {
        let seeds = balanced_seeds(points, cells)?;
        if seeds.len() < 2 {
            return Err(Unbalanced::TooFewSeeds { seeds: seeds.len() });
        }
        Grid { points, cells, seeds }.factorial().ok_or(Unbalanced::Overflow)
    }
}

/// Checks a grid. Returns its seeds.
fn balanced_seeds(points: &[usize], cells: &Cells) -> Result<BTreeSet<u64>, Unbalanced> {
    if points.is_empty() {
        return Err(Unbalanced::NoAxis);
    }
    if let Some(axis) = points.iter().position(|count| *count < 2) {
        return Err(Unbalanced::NoChoice { axis });
    }
    let is_known = |cell: &[usize]| cell.len() == points.len() && cell.iter().zip(points).all(|(at, count)| at < count);
    if let Some(cell) = cells.keys().find(|cell| !is_known(cell)) {
        return Err(Unbalanced::UnknownCell { points: cell.clone() });
    }
    // The cells are sorted like the grid, so the first gap is the first missing cell.
    let mut expected = Some(vec![0; points.len()]);
    for cell in cells.keys().map(Some).chain([None]) {
        if expected.as_ref() != cell {
            let missing = expected.unwrap_or_default();
            return Err(Unbalanced::MissingCell { points: missing });
        }
        expected = expected.and_then(|cell| next_cell(cell, points));
    }
    let seeds: BTreeSet<u64> = cells.values().flat_map(BTreeMap::keys).copied().collect();
    for (cell, values) in cells {
        if let Some(seed) = seeds.iter().copied().find(|seed| !values.contains_key(seed)) {
            return Err(Unbalanced::MissingSeed { points: cell.clone(), seed });
        }
    }
    for (cell, values) in cells {
        if let Some(seed) = values.iter().find_map(|(seed, value)| (!value.is_finite()).then_some(*seed)) {
            return Err(Unbalanced::NotFinite { points: cell.clone(), seed });
        }
    }
    Ok(seeds)
}

/// Returns the cell after this one, the last axis first; `None` after the last.
fn next_cell(mut cell: Vec<usize>, points: &[usize]) -> Option<Vec<usize>> {
    for axis in (0..points.len()).rev() {
        cell[axis] += 1;
        if cell[axis] < points[axis] {
            return Some(cell);
        }
        cell[axis] = 0;
    }
    None
}

/// A grid that is complete and balanced.
struct Grid<'a> {
    points: &'a [usize],
    cells: &'a Cells,
    seeds: BTreeSet<u64>,
}

impl Grid<'_> {
    fn factorial(&self) -> Option<Factorial> {
        let choices: Vec<(usize, usize)> = self
            .points
            .iter()
            .enumerate()
            .flat_map(|(axis, count)| (1..*count).map(move |point| (axis, point)))
            .collect();
        let crossed: Vec<_> = choices
            .iter()
            .flat_map(|first| choices.iter().filter(|second| second.0 > first.0).map(move |second| (*first, *second)))
            .collect();
        let family = choices.len() + crossed.len();
        let main_effects = choices.iter().map(|&(axis, point)| {
            let effect = self.effect(&[(1.0, &[(axis, point)]), (-1.0, &[(axis, 0)])])?;
            Some(MainEffect { axis, point, effect: effect.among(family) })
        });
        let interactions = crossed.iter().map(|&((a, i), (b, j))| {
            let effect = self.effect(&[
                (1.0, &[(a, i), (b, j)]),
                (-1.0, &[(a, 0), (b, j)]),
                (-1.0, &[(a, i), (b, 0)]),
                (1.0, &[(a, 0), (b, 0)]),
            ])?;
            Some(Interaction { axes: [a, b], points: [i, j], effect: effect.among(family) })
        });
        Some(Factorial {
            seeds: self.seeds.len(),
            marginal_means: self.marginal_means()?,
            main_effects: main_effects.collect::<Option<_>>()?,
            interactions: interactions.collect::<Option<_>>()?,
        })
    }

    fn marginal_means(&self) -> Option<Vec<MarginalMean>> {
        let all = self.points.iter().enumerate().flat_map(|(axis, count)| (0..*count).map(move |point| (axis, point)));
        all.map(|(axis, point)| {
            let summary = Summary::of(&self.means(&[(axis, point)]))?;
            Some(MarginalMean { axis, point, summary })
        })
        .collect()
    }

    /// Returns a sum of marginal means with these weights, computed within each seed.
    fn effect(&self, terms: &[(f64, &[(usize, usize)])]) -> Option<PairedDifference> {
        let mut values = vec![0.0; self.seeds.len()];
        let mut size = 0.0_f64;
        for (weight, fixed) in terms {
            let means = self.means(fixed);
            size = size.max(size_of(&means));
            values.iter_mut().zip(means).for_each(|(value, mean)| *value += weight * mean);
        }
        PairedDifference::of_differences(&values, size)
    }

    /// Returns the mean of each seed over all cells that have these points on these axes.
    fn means(&self, fixed: &[(usize, usize)]) -> Vec<f64> {
        let is_chosen = |cell: &[usize]| fixed.iter().all(|(axis, point)| cell[*axis] == *point);
        let chosen: Vec<_> = self.cells.iter().filter(|(cell, _)| is_chosen(cell)).map(|(_, values)| values).collect();
        let of_seed =
            |seed: &u64| chosen.iter().filter_map(|values| values.get(seed)).sum::<f64>() / chosen.len() as f64;
        self.seeds.iter().map(of_seed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(points: &[usize], value: impl Fn(&[usize], u64) -> f64) -> Cells {
        let mut cells = Cells::new();
        let mut cell = Some(vec![0; points.len()]);
        while let Some(at) = cell {
            cells.insert(at.clone(), (0..4).map(|seed| (seed, value(&at, seed))).collect());
            cell = next_cell(at, points);
        }
        cells
    }

    #[test]
    fn effects_of_a_grid_without_noise_are_its_parts() {
        // Axis 0 adds 0, 1, 5; axis 1 adds 0, 10; both second points together add 4 more. Seeds add themselves.
        let cells = grid(&[3, 2], |at, seed| {
            [0.0, 1.0, 5.0][at[0]] + [0.0, 10.0][at[1]] + if at == [1, 1] { 4.0 } else { 0.0 } + seed as f64
        });
        let found = Factorial::of(&[3, 2], &cells).unwrap();
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
        assert_eq!((found.seeds, found.marginal_means.len(), found.main_effects.len()), (4, 5, 3));
        let effects: Vec<f64> = found.main_effects.iter().map(|main| main.effect.summary.mean).collect();
        // The average over axis 1 has half of the interaction, that over axis 0 a third.
        assert!(close(effects[0], 3.0) && close(effects[1], 5.0) && close(effects[2], 10.0 + 4.0 / 3.0), "{effects:?}");
        let interactions: Vec<f64> = found.interactions.iter().map(|both| both.effect.summary.mean).collect();
        assert!(interactions.len() == 2 && close(interactions[0], 4.0) && close(interactions[1], 0.0));
        assert!(close(found.marginal_means[0].summary.mean, 6.5));
        // The same for each seed: there is no interval.
        assert_eq!(found.interactions[0].effect.p, None);
        assert_eq!(found.interactions[0].effect.comparisons, 5);
    }

    #[test]
    fn each_reason_is_given() {
        let full = grid(&[2, 2], |at, seed| (at[0] + 2 * at[1]) as f64 * seed as f64);
        let reason = |points: &[usize], change: &dyn Fn(&mut Cells)| {
            let mut cells = full.clone();
            change(&mut cells);
            Factorial::of(points, &cells).unwrap_err()
        };
        assert_eq!(reason(&[], &|_| ()), Unbalanced::NoAxis);
        assert_eq!(reason(&[2, 1], &|_| ()), Unbalanced::NoChoice { axis: 1 });
        assert_eq!(reason(&[2, 3], &|_| ()), Unbalanced::MissingCell { points: vec![0, 2] });
        assert_eq!(reason(&[3, 2], &|_| ()), Unbalanced::MissingCell { points: vec![2, 0] });
        assert_eq!(reason(&[2, 2, 2], &|_| ()), Unbalanced::UnknownCell { points: vec![0, 0] });
        assert_eq!(reason(&[2, 2], &Cells::clear), Unbalanced::MissingCell { points: vec![0, 0] });
        let without = |cells: &mut Cells| cells.retain(|at, _| *at != [1, 0]);
        assert_eq!(reason(&[2, 2], &without), Unbalanced::MissingCell { points: vec![1, 0] });
        let lacking = |cells: &mut Cells| cells.get_mut([1, 1].as_slice()).unwrap().retain(|seed, _| *seed != 2);
        assert_eq!(reason(&[2, 2], &lacking), Unbalanced::MissingSeed { points: vec![1, 1], seed: 2 });
        let endless = |cells: &mut Cells| *cells.get_mut([0, 1].as_slice()).unwrap().get_mut(&3).unwrap() = f64::NAN;
        assert_eq!(reason(&[2, 2], &endless), Unbalanced::NotFinite { points: vec![0, 1], seed: 3 });
        let single = |cells: &mut Cells| cells.values_mut().for_each(|values| values.retain(|seed, _| *seed == 1));
        assert_eq!(reason(&[2, 2], &single), Unbalanced::TooFewSeeds { seeds: 1 });
        let none = |cells: &mut Cells| cells.values_mut().for_each(BTreeMap::clear);
        assert_eq!(reason(&[2, 2], &none), Unbalanced::TooFewSeeds { seeds: 0 });
        let huge =
            |cells: &mut Cells| cells.values_mut().flat_map(BTreeMap::values_mut).for_each(|value| *value = f64::MAX);
        assert_eq!(reason(&[2, 2], &huge), Unbalanced::Overflow);
        assert_eq!(reason(&[2, 2], &lacking).to_string(), "cell [1, 1] lacks seed 2");
    }
}
