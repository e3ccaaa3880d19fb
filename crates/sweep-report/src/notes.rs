//! Notes that readers need for a table: what ± means, what a delta is compared with, which form was measured.
//!
//! A note appears only if the table shows what it explains.

use std::collections::BTreeMap;

use sweep_protocol::{Form, Metric, PlanRecord, RunId, ThroughputRecord, median};
use sweep_statistics::{PairedDifference, fewest_pairs};

use crate::declaration::{Quantity, TableDeclaration};
use crate::group::Group;
use crate::paper::PaperTable;
use crate::table::{Cell, CellValue, Column, Delta, Table};
use crate::unit::{Unit, is_count, words, words_without_form};

/// Rounds disagree if their median absolute deviation is larger than this share of their median.
const MOST_SPREAD: f64 = 0.05;

/// Maximum number of rows that a note names.
const MOST_ROWS: usize = 3;

/// Maximum number of seeds in a note; larger numbers are shown as "more than" this number.
const MOST_SAID: usize = 1000;

/// Makes the heading of a column without a label. The form is part of it only if the columns differ in form; otherwise
/// a note names the form.
pub(crate) fn heading(table: &TableDeclaration, quantity: &Quantity) -> String {
    let forms = table.columns.iter().map(|column| column.form);
    if common_form(forms).is_some() { words_without_form(quantity) } else { words(quantity) }
}

/// Returns the notes of a table that shows only runs with the labels in `only`.
pub(crate) fn of(
    table: &Table,
    only: &BTreeMap<String, String>,
    plan: &PlanRecord,
    paper: Option<&PaperTable>,
) -> Vec<String> {
    let places: Vec<String> = only.iter().map(|(axis, label)| format!("{axis}={label}")).collect();
    let filter = (!places.is_empty()).then(|| format!("The table shows only runs with {}.", places.join(" ")));
    // A value without a form was measured by a command, which may have no forms.
    let is_clear =
        |column: &Column| column.quantity.form.is_some() || column.quantity.metric.is_of_a_form() == Some(false);
    let form = common_form(table.columns.iter().map(|column| column.quantity.form));
    let is_measured = cells(table).any(|(_, cell)| matches!(cell.value, CellValue::Measured(_)));
    let form = form
        .filter(|_| is_measured && table.columns.iter().all(is_clear))
        .map(|form| format!("All values were measured with the {} form.", form.name()));
    let spread = "Values are means over n seeds, ± their sample standard deviation (SD); \
                  values without ± are from one seed or do not vary.";
    let citation = paper
        .filter(|_| table.columns.iter().any(|column| column.paper))
        .map(|paper| format!("The paper's numbers are from {} ({}), page {}.", paper.id, paper.source, paper.page));
    let mut notes: Vec<String> = filter.into_iter().chain(form).collect();
    notes.extend(cells(table).any(|(_, cell)| has_spread(cell)).then(|| spread.to_owned()));
    notes.extend(about_deltas(table, plan));
    notes.extend(citation);
    notes
}

/// Explains the marks of a table. `best` and `tied` are the words for the two marks. Returns `None` if there are no
/// marks.
pub(crate) fn about_marks(table: &Table, best: &str, tied: &str) -> Option<String> {
    if !cells(table).any(|(_, cell)| cell.best) {
        return None;
    }
    let rest = if cells(table).any(|(_, cell)| cell.tied) {
        format!(
            "; {tied}: not significantly different from it: the 95% interval of the paired difference (t, for all rows \
             of the column together) contains 0, or there is no interval{}",
            if has_ratios(table) { "; for throughput, the interval of the ratio contains 1" } else { "" }
        )
    } else if cells(table).any(|(column, cell)| cell.best && !is_count(column.quantity.metric)) {
        format!(
            "; all others differ significantly from it (95%, paired t{}, for all rows of the column together)",
            if has_ratios(table) { " or ratio of the same rounds" } else { "" }
        )
    } else {
        "; counts are compared directly".to_owned()
    };
    Some(format!("{best}: the best mean of a column among complete rows{rest}."))
}

/// Metrics that say which epochs a configuration chose, and the beginning of a note about each.
pub(crate) const CHOSEN: [(Metric, &str); 2] = [
    (
        Metric::EpochOfWeights,
        "Values of the deployed form are those of the best epoch on the validation images, and values of the training \
         form are those of the last epoch. The best epochs were",
    ),
    (Metric::EpochsTrained, "A training could stop early. The last epoch was"),
];

/// Says which epochs were chosen by the configuration of the runs. `value` returns a run's value of a metric.
pub(crate) fn about_chosen_epochs(
    groups: &[Group<'_>],
    value: impl Fn(RunId, Metric) -> Option<f64>,
) -> impl Iterator<Item = String> {
    CHOSEN.into_iter().filter_map(move |(metric, beginning)| {
        let values = groups.iter().flat_map(|group| &group.runs).filter_map(|run| value(run.run, metric));
        let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let epochs = if least < most { format!("{least} to {most}") } else { format!("{least}") };
        (least <= most).then(|| format!("{beginning} {epochs}."))
    })
}

/// Names the rows of a column whose seeds have values of different epochs: a run may have lost or left out a value.
/// `epoch` returns the epoch of a run's value. Returns `None` if there are no such rows.
pub(crate) fn about_epochs(
    column: &str,
    groups: &[Group<'_>],
    epoch: impl Fn(RunId) -> Option<Option<u32>>,
) -> Option<String> {
    let of_row = |group: &Group<'_>| {
        let mut seeds: BTreeMap<Option<u32>, Vec<String>> = BTreeMap::new();
        for run in &group.runs {
            if let Some(epoch) = epoch(run.run) {
                seeds.entry(epoch).or_default().push(run.seed.to_string());
            }
        }
        let part = |(epoch, seeds): (&Option<u32>, &Vec<String>)| {
            let epoch = epoch.map_or_else(|| "no epoch".to_owned(), |epoch| format!("epoch {epoch}"));
            let plural = if seeds.len() == 1 { "" } else { "s" };
            format!("{epoch} (seed{plural} {})", seeds.join(", "))
        };
        let parts: Vec<String> = seeds.iter().map(part).collect();
        (parts.len() > 1).then(|| format!("{}: {}", group.name(), parts.join(", ")))
    };
    let rows: Vec<String> = groups.iter().filter_map(of_row).collect();
    let more = rows.len().checked_sub(MOST_ROWS).filter(|more| *more > 0);
    let mut named: Vec<String> = rows.into_iter().take(MOST_ROWS).collect();
    named.extend(more.map(|more| format!("{more} more rows")));
    let text = format!("The seeds of a row have values of {column} from different epochs: {}.", named.join("; "));
    (!named.is_empty()).then_some(text)
}

fn about_deltas(table: &Table, plan: &PlanRecord) -> Vec<String> {
    let mut notes = about_ratios(table, plan);
    notes.extend(about_differences(table, plan));
    notes
}

/// Whether a column shows ratios of throughputs.
fn has_ratios(table: &Table) -> bool {
    cells(table).any(|(_, cell)| is_ratio(cell))
}

fn about_ratios(table: &Table, plan: &PlanRecord) -> Vec<String> {
    let ratios: Vec<_> = cells(table)
        .filter_map(|(_, cell)| match &cell.delta {
            Some(Delta::Ratio(ratio)) => Some(ratio),
            _ => None,
        })
        .collect();
    let Some(first) = ratios.first() else { return Vec::new() };
    let family = match first.comparisons {
        1 => String::new(),
        several => format!(", for the {several} comparisons of the column together (Bonferroni)"),
    };
    let interval = match ratios.iter().any(|ratio| ratio.interval.is_some()) {
        true => format!(", and the 95% interval of this median from order statistics{family}"),
        false => ". There are too few rounds for an interval".to_owned(),
    };
    vec![format!(
        "÷ baseline is the ratio to the row with {} in the same round: the median over {} rounds{interval}.",
        plan.baseline, first.rounds
    )]
}

/// Says where and how the throughput of a table was measured, and which rows are uncertain.
pub(crate) fn about_throughput(table: &Table, record: &ThroughputRecord) -> Vec<String> {
    if !table.columns.iter().any(|column| column.quantity.metric == Metric::Throughput) {
        return Vec::new();
    }
    let machine = &record.machine;
    let rounds = record.networks.values().map(|times| times.seconds.len()).max().unwrap_or(0);
    let (threads, processor) = (machine.threads, machine.processor.as_deref().unwrap_or("an unknown processor"));
    let plural = if threads == 1 { "" } else { "s" };
    let clock = median(record.clock_mhz.iter().map(|clock| f64::from(*clock)).collect());
    let clock = clock.map(|clock| format!(" at {clock:.0} MHz")).unwrap_or_default();
    let mut notes = vec![format!(
        "Throughput was measured on {processor}{clock} ({}, {threads} thread{plural}): the median over {rounds} \
         rounds. Each round timed every network once. Runs with the same network share its throughput.",
        machine.arithmetic
    )];
    let restless = record
        .networks
        .values()
        .filter(|times| times.throughput().is_some_and(|(centre, spread)| spread > MOST_SPREAD * centre));
    let restless = restless.count();
    if restless > 0 {
        notes.push(format!(
            "The rounds of {restless} of {} networks disagree: half of them are more than {:.0} % away from their \
             median. Measure again when the machine does nothing else.",
            record.networks.len(),
            100.0 * MOST_SPREAD
        ));
    }
    notes
}

fn about_differences(table: &Table, plan: &PlanRecord) -> Vec<String> {
    let is_of_differences = |i: usize| table.columns[i].delta && !table.rows.iter().any(|row| is_ratio(&row.cells[i]));
    if !(0..table.columns.len()).any(is_of_differences) {
        return Vec::new();
    }
    let baseline = format!("Δ is the difference to the row with {}, paired by seed", plan.baseline);
    let differences = || (0..table.columns.len()).flat_map(|i| differences(table, i)).map(|(_, difference)| difference);
    let most = differences().map(|difference| difference.summary.n).max().unwrap_or(0);
    if most == 0 {
        return vec![format!("{baseline}. No comparable values have been measured yet.")];
    }
    if most < 2 {
        let chance = "One pair of seeds gives no interval and no p: a difference may be chance.";
        return vec![format!("{baseline}. {chance}")];
    }
    let comparisons =
        differences().filter(|difference| difference.p.is_some()).map(|difference| difference.comparisons);
    let Some(comparisons) = comparisons.max() else {
        return vec![format!("{baseline}. No difference varies between seeds, so there is no interval and no p.")];
    };
    let family = match comparisons {
        1 => String::new(),
        several => format!(", both for the {several} comparisons of the column together (Bonferroni)"),
    };
    let mut notes = vec![format!(
        "{baseline}: mean, 95% interval and p of the paired t-test{family}. p is below 0.05 exactly if the \
         interval excludes 0."
    )];
    let fewest = fewest_pairs(comparisons);
    if most < fewest {
        let plural = if comparisons == 1 { "comparison" } else { "comparisons" };
        notes.push(format!(
            "The t-test assumes normally distributed differences. {most} pairs cannot confirm that. A sign-flip test \
             does not assume it. For {comparisons} {plural} it needs at least {fewest} pairs to reach p < 0.05."
        ));
    }
    notes.extend((0..table.columns.len()).filter_map(|i| about_constants(table, i)));
    notes.extend((0..table.columns.len()).filter_map(|i| about_pairs(table, i)));
    notes
}

/// Names the rows of a column whose difference is the same in every seed, if other rows have an interval.
fn about_constants(table: &Table, i: usize) -> Option<String> {
    let varies = differences(table, i).any(|(_, difference)| difference.p.is_some());
    let constant: Vec<(String, &PairedDifference)> =
        differences(table, i).filter(|(_, difference)| difference.p.is_none() && difference.summary.n > 1).collect();
    if !varies || constant.is_empty() {
        return None;
    }
    let rows: Vec<&str> = constant.iter().map(|(row, _)| row.as_str()).collect();
    let counts = match constant.iter().all(|(_, difference)| difference.is_constant()) {
        true => " From three seeds on it counts as significant unless it is 0.",
        false => "",
    };
    Some(format!(
        "{}: the difference of row {} is the same in every seed, so it has no interval and no p.{counts}",
        table.columns[i].label,
        rows.join(", row ")
    ))
}

/// Explains which differences a column can show with its seeds, and how many seeds the other differences would need.
fn about_pairs(table: &Table, i: usize) -> Option<String> {
    let column = &table.columns[i];
    let unit = Unit::of(column.quantity.metric);
    let untold: Vec<(String, &PairedDifference)> =
        differences(table, i).filter(|(_, difference)| difference.p.is_some() && !difference.is_told()).collect();
    let least: Vec<f64> = untold.iter().filter_map(|(_, difference)| difference.least_told()).collect();
    let decimals = unit.decimals(least.iter().copied());
    let text = |value: f64| unit.text(value, decimals);
    let smallest = least.iter().copied().reduce(f64::min)?;
    let largest = least.iter().copied().reduce(f64::max)?;
    let range = match (text(smallest), text(largest)) {
        (low, high) if low == high => low,
        (low, high) => format!("{low} to {high}"),
    };
    let needed = |difference: &PairedDifference| difference.pairs_needed().filter(|pairs| *pairs <= MOST_SAID);
    let said = |pairs: Option<usize>| pairs.map_or(format!("more than {MOST_SAID}"), |pairs| pairs.to_string());
    let order = |(_, difference): &&(String, &PairedDifference)| needed(difference).unwrap_or(usize::MAX);
    let (few, many) = (untold.iter().min_by_key(order)?, untold.iter().max_by_key(order)?);
    let seeds = match (needed(few.1), needed(many.1)) {
        (few, many) if few == many => said(few),
        (least, most) => format!("{} (row {}) to {} (row {})", said(least), few.0, said(most), many.0),
    };
    Some(format!(
        "{}: for the rows whose interval contains 0, only a difference larger than {range}{} would be significant at \
         this deviation. With a power of 80%, the differences shown would need {seeds} seeds.",
        column.label,
        if unit.difference.is_empty() { String::new() } else { format!(" {}", unit.difference) },
    ))
}

/// Returns the differences of a column with the labels of their rows.
fn differences(table: &Table, i: usize) -> impl Iterator<Item = (String, &PairedDifference)> {
    table.rows.iter().filter_map(move |row| match &row.cells[i].delta {
        Some(Delta::Difference(comparison)) => Some((row.labels.join("/"), &comparison.difference)),
        _ => None,
    })
}

fn is_ratio(cell: &Cell) -> bool {
    matches!(cell.delta, Some(Delta::Ratio(_)))
}

fn cells(table: &Table) -> impl Iterator<Item = (&Column, &Cell)> {
    table.rows.iter().flat_map(|row| table.columns.iter().zip(&row.cells))
}

/// Whether a cell shows a standard deviation.
pub(crate) fn has_spread(cell: &Cell) -> bool {
    matches!(&cell.value, CellValue::Measured(summary) if summary.sd.is_some_and(|sd| sd > 0.0))
}

/// Returns the form that all columns with a form share, if there is one.
fn common_form(forms: impl Iterator<Item = Option<Form>>) -> Option<Form> {
    let mut forms = forms.flatten();
    let first = forms.next()?;
    forms.all(|form| form == first).then_some(first)
}
