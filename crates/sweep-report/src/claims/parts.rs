//! What a rule compares: one part for each comparison, with an estimate and the bounds that it must keep.
//!
//! This module knows rules and values. It does not decide verdicts.

use sweep_protocol::Metric;
use sweep_statistics::Interval;

use super::declared::{
    AsPrintedRule, BoundedRule, ClaimDeclaration, Direction, EquivalenceRule, MonotoneRule, RowLabels, Rule, Test,
};
use super::estimate::{Estimate, NoEstimate};
use super::values::{Origin, Source, Values, name_of, name_of_pair};
use crate::declaration::{ColumnDeclaration, Quantity};
use crate::group::axis_of;
use crate::unit::{Unit, is_count};

/// One comparison of a claim.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    /// Name of the rows: `full − no-local`.
    pub(crate) name: String,
    /// The compared metric.
    pub(crate) metric: Metric,
    /// The estimate, or the reason why there is none.
    pub(crate) estimate: Result<Estimate, NoEstimate>,
    /// Bounds that it must keep, in the unit of the estimate.
    pub(crate) bounds: Bounds,
    /// The estimate of rows that do not differ: 0 for differences, 1 for ratios. `None` if no rows are compared.
    pub(crate) neutral: Option<f64>,
}

/// Bounds of an estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// The lower bound; −∞ without one.
    pub(crate) low: f64,
    /// The upper bound; ∞ without one.
    pub(crate) high: f64,
    /// Whether a count on a bound keeps it.
    pub(crate) edge: Edge,
}

/// Whether a bound itself is allowed. It matters for counts only, since they may be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The bound is allowed.
    Inside,
    /// The bound is not allowed.
    Outside,
}

impl Bounds {
    const ABOVE: f64 = f64::INFINITY;

    fn above(low: f64) -> Self {
        Self { low, high: Self::ABOVE, edge: Edge::Outside }
    }

    fn below(high: f64) -> Self {
        Self { low: -Self::ABOVE, high, edge: Edge::Outside }
    }

    fn around(centre: f64, margin: f64) -> Self {
        Self { low: centre - margin, high: centre + margin, edge: Edge::Inside }
    }

    fn declared(at_least: Option<f64>, at_most: Option<f64>) -> Self {
        let (low, high) = (at_least.unwrap_or(-Self::ABOVE), at_most.unwrap_or(Self::ABOVE));
        Self { low, high, edge: Edge::Inside }
    }

    /// Whether a whole interval keeps the bounds.
    pub(crate) fn contain(self, ends: Interval) -> bool {
        match self.edge {
            Edge::Inside => ends.low >= self.low && ends.high <= self.high,
            Edge::Outside => ends.low > self.low && ends.high < self.high,
        }
    }

    /// Whether a whole interval is beyond one of the bounds.
    pub(crate) fn exclude(self, ends: Interval) -> bool {
        match self.edge {
            Edge::Inside => ends.high < self.low || ends.low > self.high,
            Edge::Outside => ends.high <= self.low || ends.low >= self.high,
        }
    }

    /// Whether there are two bounds, so that the estimate is compared with a number and its margin.
    pub(crate) fn is_closed(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }

    /// Returns the finite bound nearest to a number.
    pub(crate) fn nearest(self, value: f64) -> Option<f64> {
        let finite = [self.low, self.high].into_iter().filter(|bound| bound.is_finite());
        finite.min_by(|a, b| (a - value).abs().total_cmp(&(b - value).abs()))
    }

    /// Returns the direction that these bounds state: above or below what rows without a difference have. `None` if
    /// they state none.
    fn direction(self, neutral: f64) -> Option<Self> {
        if self.low >= neutral {
            Some(Self::above(neutral))
        } else if self.high <= neutral {
            Some(Self::below(neutral))
        } else {
            None
        }
    }
}

impl Part {
    /// Reduces the part to its direction, which does not depend on the scale. `None` if it has none.
    pub(crate) fn into_direction(self) -> Option<Self> {
        let bounds = self.bounds.direction(self.neutral?)?;
        Some(Self { bounds, ..self })
    }
}

/// Returns the parts of a claim.
pub(crate) fn of(claim: &ClaimDeclaration, source: Source<'_>, origin: Origin) -> Vec<Part> {
    let compared = Compared { source, origin, test: claim.test };
    match &claim.rule {
        Rule::Order(rule) => compared.order(&rule.rows.iter().collect::<Vec<_>>(), &rule.of),
        Rule::Monotone(rule) => compared.monotone(rule),
        Rule::Ratio(rule) => vec![compared.ratio(rule)],
        Rule::Difference(rule) => vec![compared.difference(rule)],
        Rule::Value(rule) => {
            let unit = Unit::of(rule.of.metric);
            vec![Part {
                name: name_of(&rule.row, source.plan),
                metric: rule.of.metric,
                estimate: source.values(&rule.row, &rule.of, origin).estimate(),
                bounds: Bounds::around(unit.stored(rule.value), unit.stored(rule.margin)),
                neutral: None,
            }]
        }
        Rule::Equivalence(rule) => vec![compared.equivalence(rule)],
        Rule::AsPrinted(rule) => as_printed(rule, source, origin),
    }
}

/// Compares two rows after another.
#[derive(Clone, Copy)]
struct Compared<'a> {
    source: Source<'a>,
    origin: Origin,
    test: Test,
}

impl Compared<'_> {
    fn values(&self, row: &RowLabels, of: &Quantity) -> Values {
        self.source.values(row, of, self.origin)
    }

    fn name(&self, rows: [&RowLabels; 2], sign: char) -> String {
        name_of_pair(rows, sign, self.source.plan)
    }

    fn order(&self, rows: &[&RowLabels], of: &Quantity) -> Vec<Part> {
        rows.windows(2)
            .filter_map(|pair| match pair {
                [greater, smaller] => Some(self.greater(greater, smaller, of)),
                _ => None,
            })
            .collect()
    }

    /// The part that one row has a greater value than another.
    fn greater(&self, row: &RowLabels, baseline: &RowLabels, of: &Quantity) -> Part {
        let (own, base) = (self.values(row, of), self.values(baseline, of));
        // Networks that were timed in the same rounds are compared by their ratio.
        if has_rounds(&own, &base) {
            let name = self.name([row, baseline], '÷');
            let estimate = ratio(self.test, &own, &base);
            return Part { name, metric: of.metric, estimate, bounds: Bounds::above(1.0), neutral: Some(1.0) };
        }
        let name = self.name([row, baseline], '−');
        let estimate = difference(self.test, &own, &base);
        Part { name, metric: of.metric, estimate, bounds: Bounds::above(0.0), neutral: Some(0.0) }
    }

    fn monotone(&self, rule: &MonotoneRule) -> Vec<Part> {
        let labels = axis_of(self.source.plan, &rule.axis).map(|axis| axis.labels.clone()).unwrap_or_default();
        let row = |label: &String| {
            let mut row = rule.only.clone();
            row.insert(rule.axis.clone(), label.clone());
            row
        };
        let mut rows: Vec<RowLabels> = labels.iter().map(row).collect();
        if rule.direction == Direction::Rising {
            rows.reverse();
        }
        self.order(&rows.iter().collect::<Vec<_>>(), &rule.of)
    }

    fn ratio(&self, rule: &BoundedRule) -> Part {
        Part {
            name: self.name([&rule.row, &rule.baseline], '÷'),
            metric: rule.of.metric,
            estimate: ratio(self.test, &self.values(&rule.row, &rule.of), &self.values(&rule.baseline, &rule.of)),
            bounds: Bounds::declared(rule.at_least, rule.at_most),
            neutral: Some(1.0),
        }
    }

    fn difference(&self, rule: &BoundedRule) -> Part {
        let unit = Unit::of(rule.of.metric);
        let stored = |bound: Option<f64>| bound.map(|bound| unit.stored(bound));
        let (own, base) = (self.values(&rule.row, &rule.of), self.values(&rule.baseline, &rule.of));
        Part {
            name: self.name([&rule.row, &rule.baseline], '−'),
            metric: rule.of.metric,
            estimate: difference(self.test, &own, &base),
            bounds: Bounds::declared(stored(rule.at_least), stored(rule.at_most)),
            neutral: Some(0.0),
        }
    }

    fn equivalence(&self, rule: &EquivalenceRule) -> Part {
        let (own, base) = (self.values(&rule.row, &rule.of), self.values(&rule.baseline, &rule.of));
        Part {
            name: self.name([&rule.row, &rule.baseline], '−'),
            metric: rule.of.metric,
            estimate: difference(self.test, &own, &base),
            bounds: Bounds::around(0.0, Unit::of(rule.of.metric).stored(rule.margin)),
            neutral: None,
        }
    }
}

/// Compares the rows of a table with the numbers that the paper prints for them.
fn as_printed(rule: &AsPrintedRule, source: Source<'_>, origin: Origin) -> Vec<Part> {
    let declared = source.declaration.tables.iter().find(|table| table.id == rule.table);
    let column = |table: &crate::TableDeclaration| {
        table
            .columns
            .iter()
            .find(|column| column.reference.as_ref() == Some(&rule.column))
            .map(ColumnDeclaration::quantity)
    };
    let Some((table, of)) = declared.and_then(|table| Some((table, column(table)?))) else { return Vec::new() };
    let Some((printed, link)) = source.printed(table).zip(table.paper.as_ref()) else { return Vec::new() };
    let measured = if origin == Origin::Runs { source.of_table(table, &of) } else { Default::default() };
    let unit = Unit::of(of.metric);
    let part = |(label, id): (&String, &String)| {
        let row = printed.rows.iter().find(|row| row.id == *id)?;
        let number = row.values.get(&rule.column).copied()?;
        let counted = || {
            source.count_of(row, &of).map(Estimate::Exact).ok_or_else(|| NoEstimate::Missing("not counted".to_owned()))
        };
        let estimate = match origin {
            Origin::Counts => counted(),
            Origin::Runs => measured.get(label).map_or_else(|| Err(NoEstimate::nothing()), Values::estimate),
        };
        let bounds = match rule.margin {
            None if is_count(of.metric) => cut_off(number, printed.decimals(&rule.column), unit),
            margin => Bounds::around(unit.stored(number), unit.stored(margin.unwrap_or(0.0))),
        };
        Some(Part { name: label.clone(), metric: of.metric, estimate, bounds, neutral: None })
    };
    link.rows.iter().filter_map(part).collect()
}

/// Returns the bounds of counts that are printed as this number if they are cut off after these decimals.
fn cut_off(number: f64, decimals: i32, unit: Unit) -> Bounds {
    let step = 10_f64.powi(-decimals);
    // The printed decimal number is not exact in binary.
    let rounding = step * 1e-6;
    Bounds { low: unit.stored(number - rounding), high: unit.stored(number + step - rounding), edge: Edge::Inside }
}

fn has_rounds(own: &Values, base: &Values) -> bool {
    matches!((own, base), (Values::Sample(own), Values::Sample(base)) if own.rounds.is_some() && base.rounds.is_some())
}

/// The difference of two rows: the first minus the second.
fn difference(test: Test, own: &Values, base: &Values) -> Result<Estimate, NoEstimate> {
    match (own, base) {
        (Values::Missing(why), _) | (_, Values::Missing(why)) => Err(NoEstimate::Missing(why.clone())),
        (Values::Count(own), Values::Count(base)) => Ok(Estimate::Exact(own - base)),
        (Values::Sample(own), Values::Sample(base)) => {
            Estimate::of_difference(test, &own.values, &base.values).ok_or_else(NoEstimate::nothing)
        }
        _ => Err(NoEstimate::nothing()),
    }
}

/// The ratio of two rows: the first over the second.
fn ratio(test: Test, own: &Values, base: &Values) -> Result<Estimate, NoEstimate> {
    match (own, base) {
        (Values::Missing(why), _) | (_, Values::Missing(why)) => Err(NoEstimate::Missing(why.clone())),
        (Values::Count(own), Values::Count(base)) if *base > 0.0 => Ok(Estimate::Exact(own / base)),
        (Values::Sample(own), Values::Sample(base)) => {
            if let (Some(own), Some(base)) = (&own.rounds, &base.rounds) {
                return Ok(Estimate::Rounds(own.clone(), base.clone()));
            }
            let not_positive = own.values.iter().chain(&base.values).find(|(_, value)| **value <= 0.0);
            match not_positive {
                Some((seed, _)) => Err(NoEstimate::Unsuited(format!(
                    "a ratio needs values above 0, and one of seed {seed} is not; claim a difference instead"
                ))),
                None => Estimate::of_ratio(test, &own.values, &base.values).ok_or_else(NoEstimate::nothing),
            }
        }
        _ => Err(NoEstimate::nothing()),
    }
}
