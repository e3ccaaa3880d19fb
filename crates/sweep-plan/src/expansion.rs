//! The rows of an experiment in plan order: all products, minus exclusions, plus included rows.
//!
//! This module refuses expansions that make no plan: no rows, too many rows, a repeated row, or a baseline without a
//! row.

use std::collections::BTreeSet;

use sweep_protocol::{Coordinates, ExclusionRecord};

use crate::document::{Node, WHOLE_FILE};
use crate::error::Faults;
use crate::experiment::{CEILING, Experiment};
use crate::grid::Grid;
use crate::profile::DEFAULT_PROFILE;
use crate::row::Row;
use crate::selection::Include;

/// All rows, and what was excluded.
#[derive(Debug)]
pub(crate) struct Expansion<'a> {
    pub(crate) rows: Vec<Row<'a>>,
    /// The exclusions, in the order of the excludes.
    pub(crate) exclusions: Vec<ExclusionRecord>,
    excluded_rows: usize,
}

impl<'a> Expansion<'a> {
    pub(crate) fn of(experiment: &'a Experiment) -> Self {
        let (mut rows, mut excluded_rows) = (Vec::new(), 0);
        let (mut seen, mut matched) = (BTreeSet::new(), Vec::new());
        for grid in &experiment.grids {
            for number in 0..grid.size() {
                let row = Row { grid: grid.overlay.as_ref(), points: grid.row(number), last: None };
                let excludes = experiment.excludes.iter().enumerate();
                let matching: Vec<_> =
                    excludes.filter_map(|(at, e)| Some((at, e.matching(&row, &experiment.axes)?))).collect();
                if matching.is_empty() {
                    rows.push(row);
                } else {
                    excluded_rows += 1;
                    matched.extend(matching.into_iter().filter(|place| seen.insert(place.clone())));
                }
            }
        }
        rows.extend(experiment.includes.iter().map(Include::row));
        matched.sort_by_key(|(at, _)| *at);
        let exclusion = |(at, coordinates): (usize, Coordinates)| ExclusionRecord {
            coordinates,
            reason: experiment.excludes[at].reason.clone(),
        };
        Self { rows, exclusions: matched.into_iter().map(exclusion).collect(), excluded_rows }
    }
}

/// Checks the expansion of a whole file. `root` provides the limit and the positions of faults.
pub(crate) fn check(experiment: &Experiment, root: &Node, faults: &mut Faults) {
    let seeds = experiment.seeds.len() as u64;
    let products = experiment.grids.iter().map(Grid::size).fold(0, u64::saturating_add);
    let most = products.saturating_add(experiment.includes.len() as u64).saturating_mul(seeds);
    if most > CEILING {
        let message = format!("the products have too many runs: a plan can hold at most {CEILING}");
        let help = format!("{} runs: name fewer points or seeds", formula(experiment, 0));
        return faults.add(&WHOLE_FILE, message, help);
    }
    let expansion = Expansion::of(experiment);
    let place = |key: &str| root.get(key).map_or(WHOLE_FILE, |entry| entry.key_span.clone());
    if expansion.rows.is_empty() {
        let help = "narrow a `where`: an exclude removes every row that matches all of its axes".to_owned();
        return faults.add(&place("exclude"), "every row is excluded", help);
    }
    check_limit(experiment, &expansion, root, faults);
    check_repeats(experiment, &expansion, faults);
    if !expansion.rows.iter().any(|row| row.has(&experiment.baseline)) {
        let message = format!("no row matches the baseline {}", experiment.baseline);
        let help = match experiment.profile.as_str() {
            DEFAULT_PROFILE => "name labels that occur together in a row and are not excluded".to_owned(),
            profile => format!("give profile `{profile}` its own `baseline`, or add the missing point to it"),
        };
        faults.add(&experiment.baseline_span, message, help);
    }
}

fn check_limit(experiment: &Experiment, expansion: &Expansion<'_>, root: &Node, faults: &mut Faults) {
    let runs = expansion.rows.len() * experiment.seeds.len();
    let Some(limit) = root.get("limits").and_then(|limits| limits.node.get("max_runs")) else { return };
    let most = limit.node.value().as_u64().unwrap_or(CEILING);
    if runs as u64 > most {
        let message = format!("{runs} runs, but `max_runs` is {most}");
        let formula = formula(experiment, expansion.excluded_rows);
        faults.add(
            &limit.node.span,
            message,
            format!("{formula} = {runs}: name fewer points or seeds, or raise `max_runs`"),
        );
    }
}

/// Refuses an included row with the same coordinates as another row.
fn check_repeats(experiment: &Experiment, expansion: &Expansion<'_>, faults: &mut Faults) {
    let products = expansion.rows.len() - experiment.includes.len();
    for (at, include) in experiment.includes.iter().enumerate() {
        let coordinates = include.row().coordinates(&experiment.axes);
        let is_same = |row: &Row<'_>| row.points.len() == coordinates.0.len() && row.has(&coordinates);
        if expansion.rows[..products + at].iter().any(is_same) {
            let help = "give this row another label, or exclude the other row".to_owned();
            faults.add(&include.span, format!("the plan already has the row {coordinates}"), help);
        }
    }
}

/// Explains the number of runs as a formula.
fn formula(experiment: &Experiment, excluded_rows: usize) -> String {
    let mut rows: Vec<_> = experiment.grids.iter().map(Grid::formula).collect();
    if !experiment.includes.is_empty() {
        rows.push(format!("{} included", experiment.includes.len()));
    }
    let mut rows = rows.join(" + ");
    if excluded_rows > 0 {
        rows += &format!(" - {excluded_rows} excluded");
    }
    match experiment.seeds.len() {
        1 => rows,
        seeds => format!("({rows}) × {seeds} seeds"),
    }
}
