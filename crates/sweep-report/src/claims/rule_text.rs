//! A rule in words, for the tables that show claims. This module knows rules. It does not know values.

use sweep_protocol::Metric;

use super::declared::{AsPrintedRule, BoundedRule, ClaimDeclaration, Direction, MonotoneRule, RowLabels, Rule};
use super::registry::Scope;
use super::values::{name_of, name_of_pair};
use crate::unit::{Unit, typeset, words};

/// Describes the rule of a claim: `test accuracy, deployed: |2 − 1| ≤ 2 points, 3 seeds`.
pub(super) fn rule_text(claim: &ClaimDeclaration, scope: Scope<'_>) -> String {
    let quantity = claim.rule.quantity().map(|of| format!("{}: ", words(of))).unwrap_or_default();
    let seeds = claim.planned_n.map(|n| format!(", {n} seeds")).unwrap_or_default();
    format!("{quantity}{}{seeds}", comparison(&claim.rule, scope))
}

fn comparison(rule: &Rule, scope: Scope<'_>) -> String {
    let name = |row: &RowLabels| name_of(row, scope.plan);
    let pair = |rows: [&RowLabels; 2], sign: char| name_of_pair(rows, sign, scope.plan);
    match rule {
        Rule::Order(rule) => rule.rows.iter().map(name).collect::<Vec<_>>().join(" > "),
        Rule::Monotone(rule) => monotone(rule, scope),
        Rule::Ratio(rule) => bounded(&pair([&rule.row, &rule.baseline], '÷'), rule, ""),
        Rule::Difference(rule) => {
            bounded(&pair([&rule.row, &rule.baseline], '−'), rule, &difference_unit(rule.of.metric))
        }
        Rule::Value(rule) => {
            let unit = with_space(&Unit::of(rule.of.metric).symbol);
            format!("{} = {} ± {}{unit}", name(&rule.row), number(rule.value), number(rule.margin))
        }
        Rule::Equivalence(rule) => {
            let rows = pair([&rule.row, &rule.baseline], '−');
            format!("|{rows}| ≤ {}{}", number(rule.margin), difference_unit(rule.of.metric))
        }
        Rule::AsPrinted(rule) => as_printed(rule, scope),
    }
}

fn monotone(rule: &MonotoneRule, scope: Scope<'_>) -> String {
    let direction = match rule.direction {
        Direction::Rising => "rises",
        Direction::Falling => "falls",
    };
    let only =
        if rule.only.is_empty() { String::new() } else { format!(" (only {})", name_of(&rule.only, scope.plan)) };
    format!("{direction} over {}{only}", rule.axis)
}

fn bounded(compared: &str, rule: &BoundedRule, unit: &str) -> String {
    match (rule.at_least, rule.at_most) {
        (Some(low), Some(high)) => format!("{} ≤ {compared} ≤ {}{unit}", number(low), number(high)),
        (Some(low), None) => format!("{compared} ≥ {}{unit}", number(low)),
        (None, Some(high)) => format!("{compared} ≤ {}{unit}", number(high)),
        (None, None) => compared.to_owned(),
    }
}

fn as_printed(rule: &AsPrintedRule, scope: Scope<'_>) -> String {
    let margin = rule.margin.map(|margin| format!(" ± {}", number(margin))).unwrap_or_default();
    let table = scope.declaration.tables.iter().find(|table| table.id == rule.table);
    let title = table.map_or(&*rule.table, |table| table.title.as_deref().unwrap_or(&table.id));
    format!("{} of each row of “{title}” as printed{margin}", rule.column)
}

fn difference_unit(metric: Metric) -> String {
    with_space(&Unit::of(metric).difference)
}

fn with_space(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" {unit}") }
}

fn number(value: f64) -> String {
    typeset(&value.to_string())
}
