//! Decides the verdict of a claim from its parts.
//!
//! A claim holds if each part holds. Each part may then be tested at the full level: a false claim needs one false
//! part, and that part holds by chance with the probability of one test (an intersection-union test; Berger, 1982). A
//! claim is contradicted if one part is excluded, and any of them might be by chance. So that uses Holm's method, whose
//! first step is Bonferroni's.

use super::estimate::{Estimate, Level, NoEstimate};
use super::judged::{JudgedPart, Outcome, Verdict};
use super::parts::Part;
use crate::unit::Unit;

/// Larger numbers of seeds are not said exactly.
const MOST_SEEDS: usize = 1000;

/// How a claim is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Confidence of the verdict.
    pub(crate) level: f64,
    /// Number of seeds that the claim needs.
    pub(crate) planned_n: Option<usize>,
    /// Whether the values have the scale that the claim is about.
    pub(crate) reach: Reach,
}

/// How far a verdict reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The claim itself.
    Claim,
    /// Its direction, since the values are from another scale.
    Direction,
}

/// A verdict with its reason.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) reason: String,
    pub(crate) seeds_needed: Option<usize>,
    pub(crate) parts: Vec<JudgedPart>,
}

/// Decides a claim by its parts.
pub(crate) fn decide(parts: Vec<Part>, terms: Terms) -> Decision {
    let without = |verdict, reason: String| Decision { verdict, reason, seeds_needed: None, parts: Vec::new() };
    if parts.is_empty() {
        return without(Verdict::NotMeasured, "there are no rows to compare in this profile".to_owned());
    }
    let parts = match terms.reach {
        Reach::Claim => parts,
        Reach::Direction => match parts.into_iter().map(Part::into_direction).collect() {
            Some(parts) => parts,
            None => return without(Verdict::NotComparable, "a number holds for its scale only".to_owned()),
        },
    };
    let comparisons = parts.len();
    let judged: Vec<JudgedPart> = parts.iter().map(|part| judged(part, comparisons, terms)).collect();
    let seeds_needed = seeds_needed(&parts, &judged, terms);
    let (verdict, reason) = conclude(&parts, &judged, terms);
    let seeds_needed = seeds_needed.filter(|_| verdict == Verdict::Inconclusive);
    let reason = match seeds_needed {
        Some(n) if n > MOST_SEEDS => format!("{reason}; more than {MOST_SEEDS} seeds would decide it"),
        Some(n) => format!("{reason}; about {n} seeds would decide it"),
        None => reason,
    };
    Decision { verdict, reason, seeds_needed, parts: judged }
}

fn conclude(parts: &[Part], judged: &[JudgedPart], terms: Terms) -> (Verdict, String) {
    if let Some((part, why)) = parts.iter().find_map(|part| Some((part, part.estimate.as_ref().err()?))) {
        let verdict = match why {
            NoEstimate::Missing(_) => Verdict::NotMeasured,
            NoEstimate::Unsuited(_) => Verdict::Inconclusive,
        };
        return (verdict, format!("{}: {}", part.name, why.why()));
    }
    let fewest = parts.iter().filter_map(|part| part.estimate.as_ref().ok()?.seeds()).min();
    if let (Some(n), Some(planned)) = (fewest, terms.planned_n)
        && n < planned
    {
        return (Verdict::Inconclusive, format!("{n} of {planned} planned seeds have values"));
    }
    let (verdict, reason) = by_parts(parts, judged, terms);
    match (fewest, terms.planned_n) {
        // Going on until a claim holds would find it sooner or later.
        (Some(n), Some(planned)) if n > planned => {
            (verdict, format!("{reason}; judged with {n} seeds, {planned} were planned"))
        }
        _ => (verdict, reason),
    }
}

/// Concludes from parts that all have values.
fn by_parts(parts: &[Part], judged: &[JudgedPart], terms: Terms) -> (Verdict, String) {
    let with = |outcome: Outcome| parts.iter().zip(judged).filter(move |(_, judged)| judged.outcome == outcome);
    if let Some((part, judged)) = with(Outcome::Fails).next() {
        let verdict = match terms.reach {
            Reach::Claim => Verdict::Contradicted,
            Reach::Direction => Verdict::ContradictedElsewhere,
        };
        return (verdict, said(part, judged));
    }
    if let Some((part, judged)) = with(Outcome::Undecided).next() {
        return (Verdict::Inconclusive, said(part, judged));
    }
    let verdict = match terms.reach {
        Reach::Claim => Verdict::Reproduced,
        Reach::Direction => Verdict::DirectionReproduced,
    };
    let weakest = parts.iter().zip(judged).min_by(|a, b| slack(a.0).total_cmp(&slack(b.0)));
    let rest = match parts.len() {
        1 => String::new(),
        2 => "both comparisons hold; closest: ".to_owned(),
        n => format!("all {n} comparisons hold; closest: "),
    };
    (verdict, rest + &weakest.map(|(part, judged)| said(part, judged)).unwrap_or_default())
}

/// Returns how far an estimate is from its nearest bound, to find the closest part.
fn slack(part: &Part) -> f64 {
    let centre = part.estimate.as_ref().ok().and_then(Estimate::centre);
    centre.and_then(|centre| Some((part.bounds.nearest(centre)? - centre).abs())).unwrap_or(f64::INFINITY)
}

/// Judges one part of several.
fn judged(part: &Part, comparisons: usize, terms: Terms) -> JudgedPart {
    // Two bounds are two one-sided tests, each at the level (TOST). One bound keeps the two-sided interval of the
    // tables, so a claim never holds where a table shows no difference.
    let confidence = if part.bounds.is_closed() { 2.0 * terms.level - 1.0 } else { terms.level };
    let holding = Level { confidence, comparisons: 1 };
    let excluding = Level { confidence: terms.level, comparisons };
    let estimate = part.estimate.as_ref().ok();
    let interval = estimate.and_then(|estimate| estimate.interval(holding));
    let outcome = match estimate {
        None => Outcome::Missing,
        Some(_) if interval.is_some_and(|ends| part.bounds.contain(ends)) => Outcome::Holds,
        Some(estimate) if estimate.interval(excluding).is_some_and(|ends| part.bounds.exclude(ends)) => Outcome::Fails,
        Some(_) => Outcome::Undecided,
    };
    let finite = |bound: f64| bound.is_finite().then(|| shown(part, bound));
    JudgedPart {
        name: part.name.clone(),
        value: estimate.and_then(Estimate::centre).map(|value| shown(part, value)),
        interval: interval
            .map(|ends| sweep_statistics::Interval { low: shown(part, ends.low), high: shown(part, ends.high) }),
        n: estimate.and_then(Estimate::n),
        at_least: finite(part.bounds.low),
        at_most: finite(part.bounds.high),
        outcome,
    }
}

/// Whether the estimate of a part is a ratio, which has no unit.
fn is_ratio(part: &Part) -> bool {
    part.neutral == Some(1.0)
}

fn shown(part: &Part, value: f64) -> f64 {
    if is_ratio(part) { value } else { Unit::of(part.metric).scaled(value) }
}

/// Returns the number of seeds that would decide the parts that are undecided.
fn seeds_needed(parts: &[Part], judged: &[JudgedPart], terms: Terms) -> Option<usize> {
    let undecided = parts.iter().zip(judged).filter(|(_, judged)| judged.outcome == Outcome::Undecided);
    let level = Level { confidence: terms.level, comparisons: 1 };
    let needed = undecided.map(|(part, _)| {
        let estimate = part.estimate.as_ref().ok()?;
        estimate.seeds_needed(part.bounds.nearest(estimate.centre()?)?, level)
    });
    needed.collect::<Option<Vec<usize>>>()?.into_iter().max()
}

/// Describes the numbers of a part: `full − no-local: +0.20 [−5.83, +6.23] points`.
fn said(part: &Part, judged: &JudgedPart) -> String {
    let unit = Unit::of(part.metric);
    let compares =
        part.neutral.is_some() || judged.at_least.zip(judged.at_most).is_some_and(|(a, b)| a < 0.0 && b > 0.0);
    let symbol = match (is_ratio(part), compares) {
        (true, _) => String::new(),
        (_, true) => format!(" {}", &*unit.difference),
        _ => format!(" {}", &*unit.symbol),
    };
    let is_exact = matches!(part.estimate, Ok(Estimate::Exact(_)));
    // Counts are compared to the last printed digit, and ratios are near 1.
    let digits = if is_exact { 4 } else { 2 + usize::from(is_ratio(part)) };
    let text = |value: f64| {
        let text = crate::unit::typeset(&format!("{value:.digits$}"));
        if !is_ratio(part) && compares && value > 0.0 { format!("+{text}") } else { text }
    };
    let value = judged.value.map(text).unwrap_or_default();
    let varies = judged.interval.filter(|ends| ends.low < ends.high);
    let interval = match (varies, judged.n) {
        (Some(ends), _) => format!(" [{}, {}]", text(ends.low), text(ends.high)),
        (None, Some(1)) => " (one seed says nothing about chance)".to_owned(),
        (None, Some(_)) if judged.interval.is_none() => " (the same in every seed, so there is no interval)".to_owned(),
        _ => String::new(),
    };
    format!("{}: {value}{}{interval}", part.name, symbol.trim_end())
}
