//! An analysis as text in columns, before it is formatted as Markdown, LaTeX or for a terminal.
//!
//! This module scales and rounds; it knows no markup.

use std::collections::BTreeSet;

use sweep_statistics::{
    Certainty, Factorial, Interaction, MainEffect, MarginalMean, PairedDifference, Standing, Summary,
};

use super::classes;
use super::sheet::{Sheet, Text, count, p_text};
use crate::analysis::{Analysis, Effects, Found, Front, FrontRow, GridAxis};
use crate::unit::{Rounding, with_unit, words};

/// An analysis as its readers see it.
pub(crate) struct Section {
    /// Name of its files, without extension.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) sheets: Vec<Sheet>,
    /// How to read the sheets, or why there are none.
    pub(super) notes: Vec<String>,
}

impl Section {
    pub(crate) fn of(analysis: &Analysis) -> Self {
        let (sheets, notes) = match analysis {
            Analysis::Effects(effects) => of_effects(effects),
            Analysis::Front(front) => of_front(front),
            Analysis::Classes(classes) => classes::sheets(classes),
        };
        Self { id: analysis.id().to_owned(), title: analysis.title().to_owned(), sheets, notes }
    }
}

fn sheet(header: &[&str], words: usize, rows: Vec<Vec<String>>) -> Sheet {
    let header = header.iter().map(|text| (*text).to_owned()).collect();
    let rows = rows.into_iter().map(|row| row.into_iter().map(Text::from).collect()).collect();
    Sheet { header, words, rows, row_notes: Vec::new() }
}

/// Formats an effect with its interval and its p.
fn effect_text(effect: &PairedDifference, rounding: Rounding) -> String {
    let p = effect.p_adjusted.map(|p| format!(", {}", p_text(p)));
    rounding.signed_with_interval(effect.summary.mean, effect.summary.interval) + &p.unwrap_or_default()
}

fn of_effects(effects: &Effects) -> (Vec<Sheet>, Vec<String>) {
    let what = words(&effects.quantity);
    let found = match &effects.found {
        Found::Computed(found) => found,
        Found::Missing(why) => return (Vec::new(), vec![format!("No effects on {what}: {why}.")]),
    };
    let means = found.marginal_means.iter().map(|mean| mean.summary.mean);
    let rounding = Rounding::of(effects.quantity.metric, means);
    let unit = rounding.unit;
    let difference = |name: &str| with_unit(name, &unit.difference) + " [95%], p";
    let mean = with_unit("mean", &unit.symbol) + " [95%]";
    let mut sheets =
        vec![sheet(&["axis", "label", &mean, &difference("main effect")], 2, main(effects, found, rounding))];
    if !found.interactions.is_empty() {
        let rows = interactions(effects, found, rounding);
        sheets.push(sheet(&["axes", "labels", &difference("interaction")], 2, rows));
    }
    (sheets, effect_notes(effects, found, &what))
}

/// Returns a row for each label of each axis.
fn main(effects: &Effects, found: &Factorial, rounding: Rounding) -> Vec<Vec<String>> {
    let row = |mean: &MarginalMean| {
        let GridAxis { name, labels } = &effects.axes[mean.axis];
        let is_it = |main: &&MainEffect| (main.axis, main.point) == (mean.axis, mean.point);
        let effect = found.main_effects.iter().find(is_it);
        let effect = effect.map_or_else(|| "reference".to_owned(), |main| effect_text(&main.effect, rounding));
        let Summary { mean: value, interval, .. } = mean.summary;
        vec![name.clone(), labels[mean.point].clone(), rounding.with_interval(value, interval), effect]
    };
    found.marginal_means.iter().map(row).collect()
}

fn interactions(effects: &Effects, found: &Factorial, rounding: Rounding) -> Vec<Vec<String>> {
    let row = |interaction: &Interaction| {
        let [first, second] = [0, 1].map(|i| &effects.axes[interaction.axes[i]]);
        let [own, other] = interaction.points;
        vec![
            format!("{} × {}", first.name, second.name),
            format!("{} × {}", first.labels[own], second.labels[other]),
            effect_text(&interaction.effect, rounding),
        ]
    };
    found.interactions.iter().map(row).collect()
}

fn effect_notes(effects: &Effects, found: &Factorial, what: &str) -> Vec<String> {
    let all = found.main_effects.iter().map(|main| &main.effect);
    let all = all.chain(found.interactions.iter().map(|interaction| &interaction.effect));
    if all.clone().all(|effect| effect.p.is_none()) {
        let why = match found.seeds {
            1 => "There is one seed, so no effect has an interval.",
            _ => "It does not vary between seeds.",
        };
        return vec![format!("Of {what}, over all combinations of the labels. {why}")];
    }
    let tests = all.count();
    let seeds = found.seeds;
    let mut notes = vec![format!(
        "Of {what}, over all combinations of the labels; {seeds} seeds. A mean is over all labels of the other axes. \
         The reference of an axis is the label of the baseline, or else the first one. A main effect is the \
         difference to the reference. Effects are computed within each seed. Their intervals and p hold for all \
         {tests} effects together; those of the means hold for one."
    )];
    if !found.interactions.is_empty() {
        notes.push(
            "An interaction is how much the effect of the first label grows if the second axis goes from its \
             reference to the second label."
                .to_owned(),
        );
        let told = found.interactions.iter().filter(|found| found.effect.p_adjusted.is_some_and(|p| p < 0.05));
        let axes = |found: &Interaction| found.axes.map(|axis| effects.axes[axis].name.as_str()).join(" and ");
        let told: BTreeSet<String> = told.map(axes).collect();
        let told: Vec<String> = told.into_iter().collect();
        notes.push(match told.is_empty() {
            true => "No interaction is told from chance.".to_owned(),
            false => format!("Interactions are told of {}: there a main effect may hold for no row.", told.join("; ")),
        });
    }
    notes
}

fn of_front(front: &Front) -> (Vec<Sheet>, Vec<String>) {
    let [cost_words, value_words] = [&front.cost, &front.value].map(words);
    if let Some(why) = &front.missing {
        return (Vec::new(), vec![format!("No front of {value_words} over {cost_words}: {why}.")]);
    }
    let cost = Rounding::of(front.cost.metric, front.rows.iter().filter_map(|row| row.cost));
    let value = Rounding::of(front.value.metric, front.rows.iter().filter_map(|row| Some(row.value?.mean)));
    let mut header = front.axes.clone();
    header.extend([
        "standing".to_owned(),
        "n".to_owned(),
        with_unit(&cost_words, &cost.unit.symbol),
        with_unit(&value_words, &value.unit.symbol),
    ]);
    let row = |row: &FrontRow| {
        let shown =
            |found: Option<f64>, rounding: Rounding| found.map_or_else(|| "—".to_owned(), |found| rounding.text(found));
        let mut texts: Vec<Text> = row.labels.iter().cloned().map(Text::from).collect();
        texts.push(Text::from(standing(front, row)));
        texts.push(Text::from(count(row.n, row.planned)));
        texts.push(Text::from(shown(row.cost, cost)));
        let mean = shown(row.value.map(|value| value.mean), value);
        texts.push(Text::from(mean));
        texts
    };
    let rows = front.rows.iter().map(row).collect();
    let sheet = Sheet { header, words: front.axes.len() + 1, rows, row_notes: Vec::new() };
    let note = "A row is on the front if no other row is at least as good in cost and mean, and better in one of them. \
                Costs count as exact. “Perhaps” and “not certain” mean that a difference in the value may be \
                chance: all pairs of rows are compared together, at the 95% level. Rows that lack a run are not \
                compared.";
    let mut notes = vec![note.to_owned()];
    if front.varying_cost {
        notes.push(format!(
            "{cost_words} varies between the seeds of a row. The order of its means may be chance, and no standing \
             takes account of that."
        ));
    }
    (vec![sheet], notes)
}

/// Largest number of rows that a standing names.
const MOST_NAMES: usize = 3;

/// Says where a row stands.
fn standing(front: &Front, row: &FrontRow) -> String {
    let named = |places: Vec<usize>| {
        let mut names: Vec<String> =
            places.iter().take(MOST_NAMES).map(|place| front.rows[*place].labels.join("/")).collect();
        names.extend((places.len() > MOST_NAMES).then(|| format!("{} more", places.len() - MOST_NAMES)));
        names.join(", ")
    };
    match &row.standing {
        None if row.planned == 0 => "excluded".to_owned(),
        None => "incomplete".to_owned(),
        Some(Standing::Front { challengers }) if challengers.is_empty() => "front".to_owned(),
        Some(Standing::Front { challengers }) => {
            format!("front, not certain against {}", named(challengers.clone()))
        }
        Some(Standing::Dominated { by }) => {
            let of = |wanted: Certainty| {
                named(by.iter().filter(|found| found.certainty == wanted).map(|found| found.by).collect())
            };
            match (of(Certainty::Told), of(Certainty::MayBeChance)) {
                (told, chance) if told.is_empty() => format!("perhaps dominated by {chance}"),
                (told, chance) if chance.is_empty() => format!("dominated by {told}"),
                (told, chance) => format!("dominated by {told}, perhaps by {chance}"),
            }
        }
    }
}
