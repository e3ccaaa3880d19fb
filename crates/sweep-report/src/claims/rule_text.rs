//! A rule in words, for the tables that show claims. This module knows rules. It does not know values.

use sweep_protocol::Metric;

use super::declared::{AsPrintedRule, BoundedRule, ClaimDeclaration, Direction, MonotoneRule, RowLabels, Rule};
use super::parts::name_of;
use crate::declaration::Declaration;
use crate::unit::{Unit, typeset, words};

/// Describes the rule of a claim: `test accuracy, deployed: |2 − 1| ≤ 2 points, 3 seeds`.
pub(super) fn rule_text(claim: &ClaimDeclaration, declaration: &Declaration) -> String {
    let quantity = claim.rule.quantity().map(|of| format!("{}: ", words(of))).unwrap_or_default();
    let seeds = match claim.planned_n {
        None => String::new(),
        Some(1) => ", 1 seed".to_owned(),
        Some(n) => format!(", {n} seeds"),
    };
    format!("{quantity}{}{seeds}", comparison(&claim.rule, declaration))
}

fn comparison(rule: &Rule, declaration: &Declaration) -> String {
    match rule {
        Rule::Order(rule) => rule.rows.iter().map(name_of).collect::<Vec<_>>().join(" > "),
        Rule::Monotone(rule) => monotone(rule),
        Rule::Ratio(rule) => bounded(&between(&rule.row, "÷", &rule.baseline), rule, ""),
        Rule::Difference(rule) => {
            bounded(&between(&rule.row, "−", &rule.baseline), rule, &difference_unit(rule.of.metric))
        }
        Rule::Value(rule) => {
            let unit = with_space(&Unit::of(rule.of.metric).symbol);
            format!("{} = {} ± {}{unit}", name_of(&rule.row), number(rule.value), number(rule.margin))
        }
        Rule::Equivalence(rule) => {
            let rows = between(&rule.row, "−", &rule.baseline);
            format!("|{rows}| ≤ {}{}", number(rule.margin), difference_unit(rule.of.metric))
        }
        Rule::AsPrinted(rule) => as_printed(rule, declaration),
    }
}

fn monotone(rule: &MonotoneRule) -> String {
    let direction = match rule.direction {
        Direction::Rising => "rises",
        Direction::Falling => "falls",
    };
    let only = if rule.only.is_empty() { String::new() } else { format!(" (only {})", name_of(&rule.only)) };
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

fn as_printed(rule: &AsPrintedRule, declaration: &Declaration) -> String {
    let margin = rule.margin.map(|margin| format!(" ± {}", number(margin))).unwrap_or_default();
    let table = declaration.tables.iter().find(|table| table.id == rule.table);
    let title = table.map_or(&*rule.table, |table| table.title.as_deref().unwrap_or(&table.id));
    format!("{} of each row of “{title}” as printed{margin}", rule.column)
}

fn between(row: &RowLabels, sign: &str, baseline: &RowLabels) -> String {
    format!("{} {sign} {}", name_of(row), name_of(baseline))
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
