//! Checks that a declaration fits its experiment and the paper. It reports all faults together, before anything is
//! computed.

use std::collections::{BTreeMap, BTreeSet};

use sweep_protocol::{ExperimentRows, Form, Metric, PlanRecord, SeriesKey, Split, check_name, nearest};

use crate::declaration::{ColumnDeclaration, Declaration, EpochRule, PlotDeclaration, Quantity, TableDeclaration};
use crate::error::Fault;
use crate::group::{Group, Grouping, axis_of};
use crate::paper::PaperTable;
use crate::style::AxisKind;
use crate::unit::words;
use crate::{PaperLink, PaperNumbers, PaperRow, ReportError, claims};

/// Refuses a declaration that names something which its experiment or the paper does not have. The check needs only the
/// plan, so it can be done before any run.
///
/// # Errors
/// When the declaration has faults. The error holds all of them.
pub fn check(declaration: &Declaration, plan: &PlanRecord, paper: &PaperNumbers) -> Result<(), ReportError> {
    let mut faults = repeated_or_bad_ids(declaration);
    for table in &declaration.tables {
        let place = format!("table `{}`", table.id);
        faults.extend(grouping_faults((&place, "rows"), &Grouping { axes: &table.rows, only: &table.only }, plan));
        faults.extend(table.columns.is_empty().then(|| Fault::NoColumns { place: place.clone() }));
        faults.extend(paper_faults(&place, table, plan, paper));
        faults.extend(table.columns.iter().filter_map(|column| unmeasurable(&place, &column.quantity(), plan)));
        faults.extend(table.columns.iter().filter_map(|column| margin_fault(&place, column)));
        faults.extend(table.columns.iter().filter_map(|column| delta_fault(&place, table, column, plan)));
    }
    faults.extend(analysis_faults(declaration, plan));
    for plot in &declaration.plots {
        let place = format!("plot `{}`", plot.id());
        let (axes, only) = axes_of(plot);
        faults.extend(grouping_faults((&place, axes_key(plot)), &Grouping { axes: &axes, only }, plan));
        faults.extend(quantities_of(plot).into_iter().filter_map(|quantity| unmeasurable(&place, quantity, plan)));
        let (x, y) = axis_kinds(plot);
        let style = |(key, reason)| Fault::Style { place: place.clone(), key, reason };
        faults.extend(plot.style().faults(x, y).into_iter().map(style));
    }
    faults.extend(claims::faults(declaration, plan));
    if faults.is_empty() { Ok(()) } else { Err(ReportError::Declaration { faults }) }
}

fn analysis_faults(declaration: &Declaration, plan: &PlanRecord) -> Vec<Fault> {
    let mut faults = Vec::new();
    for effects in &declaration.effects {
        let place = format!("effects `{}`", effects.id);
        let grouping = Grouping { axes: &effects.axes, only: &effects.only };
        faults.extend(grouping_faults((&place, "axes"), &grouping, plan));
        faults.extend(unmeasurable(&place, &effects.quantity, plan));
    }
    for classes in &declaration.classes {
        let place = format!("classes `{}`", classes.id);
        faults.extend(grouping_faults((&place, "rows"), &Grouping { axes: &classes.rows, only: &classes.only }, plan));
    }
    for front in &declaration.fronts {
        let place = format!("front `{}`", front.id);
        faults.extend(grouping_faults((&place, "rows"), &Grouping { axes: &front.rows, only: &front.only }, plan));
        faults.extend([&front.cost, &front.value].into_iter().filter_map(|of| unmeasurable(&place, of, plan)));
    }
    faults
}

/// Returns the axes that define a plot's groups, and its filter.
pub(crate) fn axes_of(plot: &PlotDeclaration) -> (Vec<String>, &BTreeMap<String, String>) {
    match plot {
        PlotDeclaration::Line(plot) | PlotDeclaration::Bars(plot) => {
            (plot.series.iter().chain([&plot.axis]).cloned().collect(), &plot.only)
        }
        PlotDeclaration::Scatter(plot) => (plot.label.clone(), &plot.only),
        PlotDeclaration::Curves(plot) => (plot.series.clone(), &plot.only),
    }
}

/// Returns the key that names further axes of a plot.
fn axes_key(plot: &PlotDeclaration) -> &'static str {
    match plot {
        PlotDeclaration::Line(_) | PlotDeclaration::Bars(_) | PlotDeclaration::Curves(_) => "series",
        PlotDeclaration::Scatter(_) => "label",
    }
}

/// Returns the quantities that a plot shows.
fn quantities_of(plot: &PlotDeclaration) -> Vec<&Quantity> {
    match plot {
        PlotDeclaration::Line(plot) | PlotDeclaration::Bars(plot) => vec![&plot.y],
        PlotDeclaration::Scatter(plot) => vec![&plot.x, &plot.y],
        PlotDeclaration::Curves(plot) => vec![&plot.y],
    }
}

/// As [`check`], and checks that the rows have the values that the declaration needs.
pub(crate) fn check_rows(
    declaration: &Declaration,
    rows: &ExperimentRows,
    paper: &PaperNumbers,
) -> Result<(), ReportError> {
    check(declaration, &rows.plan, paper)?;
    let Some(part) = &rows.part else { return Ok(()) };
    let needed = declaration.whole_series();
    let mut lacking = needed.difference(&part.whole);
    let is_measured = |series: &&SeriesKey| rows.measurements.iter().any(|row| row.measurement.series() == **series);
    match lacking.find(is_measured) {
        Some((metric, split, form)) => {
            let quantity = Quantity { metric: *metric, split: *split, form: *form, epoch: EpochRule::Sum };
            Err(ReportError::LastOnly { what: words(&quantity), all_values: part.all_values })
        }
        None => Ok(()),
    }
}

/// Returns a fault if a column shows differences to a baseline that the experiment or the table does not have.
fn delta_fault(place: &str, table: &TableDeclaration, column: &ColumnDeclaration, plan: &PlanRecord) -> Option<Fault> {
    let (place, metric) = (place.to_owned(), column.metric);
    if !column.delta {
        return None;
    }
    if plan.baseline.0.is_empty() {
        return Some(Fault::NoBaseline { place, metric });
    }
    let differs = |(axis, label): (&String, &String)| {
        let baseline = plan.baseline.get(axis).filter(|baseline| baseline != label)?;
        Some((format!("{axis}={label}"), format!("{axis}={baseline}")))
    };
    let (shown, baseline) = table.only.iter().find_map(differs)?;
    Some(Fault::HiddenBaseline { place, metric, shown, baseline })
}

/// Largest margin of a fraction. A larger one is a slip.
const LARGEST_MARGIN: f64 = 0.2;

/// Returns a fault if a margin cannot be tested.
fn margin_fault(place: &str, column: &ColumnDeclaration) -> Option<Fault> {
    let margin = column.margin?;
    let why = match column.delta {
        _ if !(margin.is_finite() && margin > 0.0) => "must be a number above 0",
        // A fraction: 0.5 would be half of all images, and was meant to be half a point.
        true if column.metric.unit() == "fraction" && margin > LARGEST_MARGIN => {
            "is a fraction and not a number of points: half a point is 0.005"
        }
        true => return None,
        false => "needs `delta = true`, since it bounds the difference to the baseline",
    };
    Some(Fault::Margin { place: place.to_owned(), metric: column.metric, why })
}

/// Returns what the axes of a plot show.
fn axis_kinds(plot: &PlotDeclaration) -> (AxisKind, AxisKind) {
    match plot {
        PlotDeclaration::Line(_) => (AxisKind::Labels, AxisKind::Numbers),
        PlotDeclaration::Bars(_) => (AxisKind::Labels, AxisKind::FromZero),
        PlotDeclaration::Scatter(_) | PlotDeclaration::Curves(_) => (AxisKind::Numbers, AxisKind::Numbers),
    }
}

/// Returns a fault if no run ever measures this quantity.
pub(crate) fn unmeasurable(place: &str, quantity: &Quantity, plan: &PlanRecord) -> Option<Fault> {
    let Quantity { metric, split, form, .. } = *quantity;
    if plan.metric(metric).is_none() {
        let known: Vec<String> = Metric::all().map(|known| known.name().to_owned()).collect();
        let declared = plan.metrics.iter().map(|record| record.name.clone());
        let known: Vec<String> = declared.chain(known).collect();
        let near = nearest(metric.name(), known.iter().map(String::as_str)).map(str::to_owned);
        return Some(Fault::UnknownMetric { place: place.to_owned(), metric, near, known: known.join(", ") });
    }
    let why = match (metric.is_of_a_form(), form, metric.is_of_images(), split) {
        (None, ..) | (.., None, _) => return None,
        (_, None, ..) | (.., None) if plan.commands => return None,
        (Some(true), None, ..) => "is measured for each form: add form = \"deployed\" or form = \"training\"",
        (Some(false), Some(_), ..) => "compares both forms: leave form out",
        (.., Some(true), None) => "is measured on images: add split = \"test\", \"validation\" or \"train\"",
        (.., Some(false), Some(_)) => "does not depend on images: leave split out",
        (_, Some(Form::Deployed), _, Some(Split::Train | Split::Validation)) => {
            "is measured for the deployed form only on test images: write form = \"training\" for this split"
        }
        _ => return None,
    };
    Some(Fault::Unmeasurable { place: place.to_owned(), metric, why })
}

fn repeated_or_bad_ids(declaration: &Declaration) -> Vec<Fault> {
    let tables = declaration.tables.iter().map(|table| (format!("table `{}`", table.id), table.id.as_str()));
    let plots = declaration.plots.iter().map(|plot| (format!("plot `{}`", plot.id()), plot.id()));
    let effects = declaration.effects.iter().map(|effects| (format!("effects `{}`", effects.id), effects.id.as_str()));
    let fronts = declaration.fronts.iter().map(|front| (format!("front `{}`", front.id), front.id.as_str()));
    let classes = declaration.classes.iter().map(|classes| (format!("classes `{}`", classes.id), classes.id.as_str()));
    let mut seen = BTreeSet::from(["report".to_owned()]);
    let mut faults = Vec::new();
    for (place, id) in tables.chain(effects).chain(fronts).chain(classes).chain(plots) {
        if let Err(reason) = check_name(id) {
            faults.push(Fault::BadId { place, reason });
        // Some file systems do not distinguish `A` from `a`.
        } else if !seen.insert(id.to_lowercase()) {
            faults.push(Fault::RepeatedId { place });
        }
    }
    faults
}

pub(crate) fn grouping_faults(
    (place, key): (&str, &'static str),
    grouping: &Grouping<'_>,
    plan: &PlanRecord,
) -> Vec<Fault> {
    let known_axes = || listed(plan.axes.iter().map(|axis| axis.name.as_str()));
    let mut faults = Vec::new();
    for axis in grouping.axes.iter().chain(grouping.only.keys()) {
        if axis_of(plan, axis).is_none() {
            faults.push(Fault::UnknownAxis { place: place.to_owned(), axis: axis.clone(), known: known_axes() });
        }
    }
    let repeated = grouping.axes.iter().enumerate().filter(|(i, axis)| grouping.axes[..*i].contains(axis));
    faults.extend(repeated.map(|(_, axis)| Fault::RepeatedAxis { place: place.to_owned(), axis: axis.clone(), key }));
    for (name, label) in grouping.only {
        if let Some(axis) = axis_of(plan, name).filter(|axis| !axis.labels.contains(label)) {
            let known = listed(axis.labels.iter().map(String::as_str));
            let (place, axis) = (place.to_owned(), name.clone());
            faults.push(Fault::UnknownLabel { place, axis, label: label.clone(), known });
        }
    }
    if faults.is_empty() {
        let mixed = grouping.groups(plan).into_iter().find_map(|group| {
            let axis = group.mixed_axis()?.to_owned();
            Some(Fault::Mixed { place: place.to_owned(), group: group.name(), axis, key })
        });
        faults.extend(mixed);
    }
    faults
}

fn paper_faults(place: &str, table: &TableDeclaration, plan: &PlanRecord, paper: &PaperNumbers) -> Vec<Fault> {
    let references: Vec<&String> = table.columns.iter().filter_map(|column| column.reference.as_ref()).collect();
    let Some(link) = &table.paper else {
        let fault = Fault::NoPaper { place: place.to_owned() };
        return if references.is_empty() { Vec::new() } else { vec![fault] };
    };
    let unknown = |what, name: &str, known: &[String]| {
        let fault = || Fault::UnknownReference {
            place: place.to_owned(),
            what,
            name: name.to_owned(),
            known: listed(known.iter().map(String::as_str)),
        };
        (!known.iter().any(|word| word == name)).then(fault)
    };
    let files: Vec<String> = paper.tables.keys().cloned().collect();
    let Some(printed) = paper.tables.get(&link.file) else {
        return unknown("paper file", &link.file, &files).into_iter().collect();
    };
    let grouping = Grouping { axes: &table.rows, only: &table.only };
    let ours: Vec<String> = grouping.groups(plan).iter().map(Group::name).collect();
    let theirs: Vec<String> = printed.rows.iter().map(|row| row.id.clone()).collect();
    let columns = references.into_iter().filter_map(|column| unknown("paper column", column, &printed.columns));
    let rows = link.rows.values().chain(link.excused.keys()).filter_map(|row| unknown("paper row", row, &theirs));
    // A profile may leave out points that the paper has, so a single label that is not planned is no fault. It is a
    // fault if no label is planned.
    let axes_known = table.rows.iter().all(|axis| axis_of(plan, axis).is_some());
    let linked = !axes_known || link.rows.keys().any(|label| ours.contains(label));
    let labels = link.rows.keys().filter_map(|label| unknown("row", label, &ours)).filter(|_| !linked);
    columns.chain(rows).chain(labels).chain(unmatched(place, link, printed)).collect()
}

/// Returns a fault for each row of the paper's table that is neither matched nor excused, or both, or excused without a
/// reason.
fn unmatched(place: &str, link: &PaperLink, printed: &PaperTable) -> Vec<Fault> {
    let fault = |row: &PaperRow| {
        let is_matched = link.rows.values().any(|matched| *matched == row.id);
        let why = match (is_matched, link.excused.get(&row.id)) {
            (true, None) => return None,
            (false, Some(reason)) if !reason.trim().is_empty() => return None,
            (false, None) => "is neither matched nor excused",
            (true, Some(_)) => "is both matched and excused",
            (false, Some(_)) => "is excused without a reason",
        };
        let (place, row, file) = (place.to_owned(), row.id.clone(), link.file.clone());
        Some(Fault::UnmatchedPaperRow { place, row, file, why })
    };
    printed.rows.iter().filter_map(fault).collect()
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
