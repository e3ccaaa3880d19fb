//! A table as CSV for programs: one line per cell, in base units, not rounded.
//!
//! This module formats a computed table; it computes nothing.

use sweep_protocol::{FRONT_COLUMNS, IMAGE_COLUMNS, TABLE_COLUMNS, axis_column};
use sweep_statistics::{Certainty, Comparison, Dominance, EffectSize, Interval, PairedDifference, Standing, Summary};

use crate::analysis::{Analysis, Classes, Effects, Found, Front};
use crate::table::{Cell, CellValue, Column, Delta, Row, Table};
use crate::unit::Unit;

/// Formats one line per cell, after a header line.
pub(super) fn table(table: &Table) -> String {
    let axes = table.axes.iter().map(|axis| axis_column(axis));
    // Only tables of runs that stored their predictions have these columns, so that those of earlier runs stay as they
    // are.
    let has_images = table.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.images.is_some());
    let more: &[&str] = if has_images { &IMAGE_COLUMNS } else { &[] };
    let mut out = line(axes.chain(TABLE_COLUMNS.iter().chain(more).map(|name| (*name).to_owned())));
    for row in &table.rows {
        for (column, cell) in table.columns.iter().zip(&row.cells) {
            let mut fields = cell_fields(row, column, cell);
            if has_images {
                fields.extend(ends(cell.images.as_ref().and_then(|noise| noise.mean.interval)));
            }
            out += &line(row.labels.iter().cloned().chain(fields));
        }
    }
    out
}

/// Formats one line per effect, or per row of a front, after a header line.
pub(super) fn analysis(analysis: &Analysis) -> String {
    let lines = match analysis {
        Analysis::Effects(effects) => effect_lines(effects),
        Analysis::Front(front) => front_lines(front),
        Analysis::Classes(classes) => class_lines(classes),
    };
    lines.into_iter().map(|fields| line(fields.into_iter())).collect()
}

fn effect_lines(effects: &Effects) -> Vec<Vec<String>> {
    let header = ["kind", "axes", "labels", "n", "mean", "low95", "high95", "p", "p_adjusted", "comparisons"];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    let Found::Computed(found) = &effects.found else { return lines };
    let place = |axis: usize, point: usize| [&effects.axes[axis].name, &effects.axes[axis].labels[point]];
    let mut add = |kind: &str, places: &[[&String; 2]], summary: &Summary, effect: Option<&PairedDifference>| {
        let joined = |i: usize| places.iter().map(|place| place[i].as_str()).collect::<Vec<_>>().join(" × ");
        let mut fields = vec![kind.to_owned(), joined(0), joined(1), summary.n.to_string(), summary.mean.to_string()];
        fields.extend(ends(summary.interval));
        fields.extend([effect.and_then(|effect| effect.p), effect.and_then(|effect| effect.p_adjusted)].map(number));
        fields.push(effect.map(|effect| effect.comparisons.to_string()).unwrap_or_default());
        lines.push(fields);
    };
    for mean in &found.marginal_means {
        add("marginal mean", &[place(mean.axis, mean.point)], &mean.summary, None);
    }
    for main in &found.main_effects {
        add("main effect", &[place(main.axis, main.point)], &main.effect.summary, Some(&main.effect));
    }
    for both in &found.interactions {
        let places = [0, 1].map(|i| place(both.axes[i], both.points[i]));
        add("interaction", &places, &both.effect.summary, Some(&both.effect));
    }
    lines
}

fn front_lines(front: &Front) -> Vec<Vec<String>> {
    let name = |place: &usize| front.rows[*place].labels.join("/");
    let names = |places: &[usize]| places.iter().map(name).collect::<Vec<_>>().join(";");
    let header = ["n", "mean", "sd"].iter().chain(&FRONT_COLUMNS).map(|name| (*name).to_owned());
    let axes = front.axes.iter().map(|axis| axis_column(axis));
    let mut lines = vec![axes.chain(header).collect::<Vec<_>>()];
    for row in &front.rows {
        let (standing, by, challengers): (&str, &[Dominance], &[usize]) = match &row.standing {
            None => ("", &[], &[]),
            Some(Standing::Front { challengers }) => ("front", &[], challengers),
            Some(Standing::Dominated { by }) => ("dominated", by, &[]),
        };
        let of = |wanted: Certainty| {
            let found = by.iter().filter(|found| found.certainty == wanted).map(|found| found.by);
            names(&found.collect::<Vec<_>>())
        };
        let mut fields = row.labels.clone();
        fields.push(row.value.map_or(0, |value| value.n).to_string());
        fields.extend([row.value.map(|value| value.mean), row.value.and_then(|value| value.sd), row.cost].map(number));
        fields.extend([standing.to_owned(), of(Certainty::Told), of(Certainty::MayBeChance), names(challengers)]);
        lines.push(fields);
    }
    lines
}

/// One line for each row and class, and one for each average over classes.
fn class_lines(classes: &Classes) -> Vec<Vec<String>> {
    let header = ["kind", "class", "images", "n", "mean", "sd"].map(str::to_owned);
    let axes = classes.axes.iter().map(|axis| axis_column(axis));
    let mut lines = vec![axes.chain(header).collect::<Vec<_>>()];
    for row in &classes.rows {
        let mut add = |kind: &str, class: Option<usize>, found: Option<Summary>| {
            let images = class.and_then(|class| classes.images.get(class)).map(ToString::to_string);
            let mut fields = row.labels.clone();
            fields.push(kind.to_owned());
            fields.extend([class.map(|class| class.to_string()).unwrap_or_default(), images.unwrap_or_default()]);
            fields.push(found.map_or(0, |found| found.n).to_string());
            fields.extend([found.map(|found| found.mean), found.and_then(|found| found.sd)].map(number));
            lines.push(fields);
        };
        add("accuracy", None, row.accuracy);
        add("balanced accuracy", None, row.balanced_accuracy);
        add("macro-F1", None, row.macro_f1);
        row.recalls.iter().enumerate().for_each(|(class, found)| add("recall", Some(class), *found));
    }
    lines
}

fn cell_fields(row: &Row, column: &Column, cell: &Cell) -> Vec<String> {
    let quantity = &column.quantity;
    let epoch = match quantity.epoch {
        crate::declaration::EpochRule::Last => "last",
        crate::declaration::EpochRule::Sum => "sum",
    };
    let mut fields = vec![
        quantity.metric.name().to_owned(),
        quantity.split.map_or("", |split| split.name()).to_owned(),
        quantity.form.map_or("", |form| form.name()).to_owned(),
        epoch.to_owned(),
    ];
    let (summary, missing) = match &cell.value {
        CellValue::Measured(summary) => (Some(summary), ""),
        CellValue::Missing(reason) => (None, reason.as_str()),
    };
    fields.push(summary.map_or(0, |summary| summary.n).to_string());
    fields.push(row.planned.to_string());
    fields.push(number(summary.map(|summary| summary.mean)));
    fields.push(number(summary.and_then(|summary| summary.sd)));
    fields.extend(ends(summary.and_then(|summary| summary.interval)));
    fields.push(cell.best.to_string());
    fields.push(cell.tied.to_string());
    fields.push(missing.to_owned());
    let comparison = match &cell.delta {
        Some(Delta::Difference(comparison)) => Some(comparison.as_ref()),
        _ => None,
    };
    let difference = comparison.map(|comparison| &comparison.difference);
    fields.push(match &cell.delta {
        Some(Delta::Baseline) => "baseline".to_owned(),
        _ => number(difference.map(|difference| difference.summary.mean)),
    });
    fields.push(difference.map(|difference| difference.summary.n.to_string()).unwrap_or_default());
    fields.extend(ends(difference.and_then(|difference| difference.summary.interval)));
    fields.push(number(difference.and_then(|difference| difference.p)));
    fields.push(number(difference.and_then(|difference| difference.p_adjusted)));
    fields.push(difference.map(|difference| difference.comparisons.to_string()).unwrap_or_default());
    fields.push(number(difference.and_then(|difference| difference.sign_flip).map(|test| test.p)));
    fields.push(number(cell.paper.map(|printed| Unit::of(quantity.metric).stored(printed))));
    let ratio = match &cell.delta {
        Some(Delta::Ratio(ratio)) => Some(ratio),
        _ => None,
    };
    fields.push(number(ratio.map(|ratio| ratio.median)));
    fields.push(ratio.map(|ratio| ratio.rounds.to_string()).unwrap_or_default());
    fields.extend(ends(ratio.and_then(|ratio| ratio.interval)));
    fields.extend(comparison_fields(comparison));
    let equivalence = cell.equivalence;
    fields.push(number(column.margin));
    fields.push(equivalence.map(|found| found.verdict.name().to_owned()).unwrap_or_default());
    fields.push(number(equivalence.and_then(|found| found.p)));
    fields
}

/// Returns what compares two rows beside their difference.
fn comparison_fields(comparison: Option<&Comparison>) -> [String; 9] {
    let welch = comparison.and_then(|comparison| comparison.welch);
    let [welch_low, welch_high] = ends(welch.map(|welch| welch.interval));
    let effect = |of: fn(&Comparison) -> Option<EffectSize>| number(comparison.and_then(of).map(|effect| effect.d));
    [
        number(comparison.and_then(|comparison| comparison.p_holm)),
        number(welch.map(|welch| welch.p)),
        welch_low,
        welch_high,
        effect(|comparison| comparison.effect_of_differences),
        effect(|comparison| comparison.effect_of_pairs),
        effect(|comparison| comparison.effect_of_samples),
        number(comparison.and_then(|comparison| comparison.superiority)),
        number(comparison.map(|comparison| comparison.paired_superiority)),
    ]
}

fn ends(interval: Option<Interval>) -> [String; 2] {
    [number(interval.map(|ends| ends.low)), number(interval.map(|ends| ends.high))]
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn line(fields: impl Iterator<Item = String>) -> String {
    fields.map(|field| quoted(&field)).collect::<Vec<_>>().join(",") + "\n"
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    /// Parses the fields of a CSV text as defined in RFC 4180.
    fn fields(csv: &str) -> Vec<Vec<String>> {
        let (mut lines, mut line, mut field, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut chars = csv.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if is_quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => line.push(std::mem::take(&mut field)),
                '\n' if !is_quoted => {
                    line.push(std::mem::take(&mut field));
                    lines.push(std::mem::take(&mut line));
                }
                c => field.push(c),
            }
        }
        lines
    }

    proptest! {
        #[test]
        fn a_line_gives_back_its_fields(words in proptest::collection::vec(any::<String>(), 1..6)) {
            let two = line(words.iter().cloned()) + &line(words.iter().map(|word| format!("\"{word},\r\n")));
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word},\r\n")).collect();
            prop_assert_eq!(fields(&two), vec![words, quoted]);
        }
    }
}
