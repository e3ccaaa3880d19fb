//! `weights figure`: FC3 of a RepMLP block before and after merging, as a picture and as numbers.
//!
//! The weights come from `repmlp-interop`, the picture from `sweep-report`; this file only joins them.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::Result;
use repmlp_interop::{Fc3Point, Fc3Slice, log_ratios};
use sweep_protocol::{create_folders, write_atomically};
use sweep_report::{HeatMaps, HeatPanel, Rendering, ReportError};

use super::{print, weights};
use crate::cli::WeightsFigureArgs;
use crate::exit::Exit;
use crate::paper::{PaperCells, PaperFigure, figure4};
use crate::program::Program;

/// Name of the files, without extension.
const FILES: &str = "fc3";

/// The shown values of one form: (h, w).
type Values = Vec<Vec<Option<f64>>>;

pub(crate) async fn run(arguments: WeightsFigureArgs, program: &Program) -> Result<Exit> {
    let Some((import, model)) = weights::complete(&arguments.weights, program).await? else { return Ok(Exit::Data) };
    let network = (&model.model, model.task);
    let slice = Fc3Slice::of(&import, network, arguments.layer.as_deref(), arguments.point)?;
    let (before, after) = (log_ratios(&slice.before), log_ratios(&slice.after));
    let mut files = maps(&slice, &before, &after).renderings(FILES)?;
    let table = csv(&slice, &before, &after);
    files.push(Rendering { path: format!("{FILES}.csv").into(), bytes: table.into_bytes() });
    write(&arguments.out, &files)?;
    let names: Vec<String> = files.iter().map(|file| arguments.out.join(&file.path).display().to_string()).collect();
    print(&format!("{}written to {}\n", summary(&slice, (&before, &after), &figure4()?), names.join(", ")))?;
    Ok(Exit::Done)
}

/// Names the slice as the paper does: `[0,6,6,0,:,:]`.
fn name_of(Fc3Point { channel, y, x }: Fc3Point) -> String {
    format!("[{channel},{y},{x},0,:,:]")
}

fn maps(slice: &Fc3Slice, before: &Values, after: &Values) -> HeatMaps {
    let panel = |title: &str, rows: &Values| HeatPanel { title: title.to_owned(), rows: rows.clone() };
    HeatMaps {
        title: format!("FC3 of {}, slice {}", slice.layer, name_of(slice.point)),
        x_label: "input column".to_owned(),
        y_label: "input row".to_owned(),
        value_label: "ln(|w| / min |w|)".to_owned(),
        decimals: 1,
        marked: Some((slice.point.y, slice.point.x)),
        panels: vec![panel("before merging", before), panel("after merging", after)],
    }
}

/// Returns one line for each pixel: its place, both weights, and both shown values. A zero weight has no value.
fn csv(slice: &Fc3Slice, before: &Values, after: &Values) -> String {
    let mut text = "row,column,weight_before,weight_after,value_before,value_after\n".to_owned();
    let values = before.iter().zip(after);
    for (y, ((weights, merged), (values, merged_values))) in
        slice.before.iter().zip(&slice.after).zip(values).enumerate()
    {
        let pairs = weights.iter().zip(merged).zip(values.iter().zip(merged_values));
        for (x, ((weight, merged), (value, merged_value))) in pairs.enumerate() {
            let shown = |value: &Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
            let (value, merged_value) = (shown(value), shown(merged_value));
            // Writing to a string cannot fail.
            let _: std::fmt::Result = writeln!(text, "{y},{x},{weight:?},{merged:?},{value},{merged_value}");
        }
    }
    text
}

fn write(folder: &Path, files: &[Rendering]) -> Result<(), ReportError> {
    let fault = |doing| move |source| ReportError::Io { path: folder.to_owned(), doing, source };
    create_folders(folder).map_err(fault("creating the folder"))?;
    for file in files {
        let path = folder.join(&file.path);
        write_atomically(&path, &file.bytes).map_err(|source| ReportError::Io {
            path: path.clone(),
            doing: "writing",
            source,
        })?;
    }
    Ok(())
}

/// Parts of the slice that the paper's text names, by their distance to the point in rows or columns.
const PARTS: [(&str, RangeInclusive<usize>); 3] =
    [("the marked point", 0..=0), ("its neighbours", 1..=1), ("all others", 2..=usize::MAX)];

/// Describes the figure in numbers, beside those that the paper's text gives for its own.
fn summary(slice: &Fc3Slice, (before, after): (&Values, &Values), printed: &PaperFigure) -> String {
    let view = slice.view.map(|size| size.to_string()).join(",");
    let mut text = format!("FC3 of {}, viewed as ({view}), slice {}\n\n", slice.layer, name_of(slice.point));
    let mut line = |name: &str, cells: [&str; 4]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>14}")).collect();
        text += &format!("{name:<22}{cells}\n");
    };
    line("ln(|w| / min |w|)", ["before", "after", "paper before", "paper after"]);
    let theirs = |cells: Option<&PaperCells>| {
        [cells.and_then(|cells| cells.before), cells.and_then(|cells| cells.after)].map(range)
    };
    for (name, distances) in PARTS {
        let ours = [before, after].map(|values| range(ends(values, slice.point, &distances)));
        let theirs = theirs(printed.rows.iter().find(|cells| cells.name == name));
        line(name, [&ours[0], &ours[1], &theirs[0], &theirs[1]]);
    }
    for cells in printed.rows.iter().filter(|cells| PARTS.iter().all(|(name, _)| *name != cells.name)) {
        let [before, after] = theirs(Some(cells));
        line(&cells.name, ["", "", &before, &after]);
    }
    let PaperFigure { source, setting, layer, slice, .. } = printed;
    text += &format!("\nThe paper's numbers ({source}) are those of {setting}:\n{layer}, slice {slice}.\n\n");
    text
}

/// Returns the smallest and the largest value at these distances to the point.
fn ends(values: &Values, point: Fc3Point, distances: &RangeInclusive<usize>) -> Option<[f64; 2]> {
    let cells =
        values.iter().enumerate().flat_map(|(y, row)| row.iter().enumerate().map(move |(x, value)| (y, x, value)));
    let near = cells.filter(|(y, x, _)| distances.contains(&y.abs_diff(point.y).max(x.abs_diff(point.x))));
    near.filter_map(|(_, _, value)| *value).fold(None, |ends, value| {
        let [low, high] = ends.unwrap_or([value; 2]);
        Some([value.min(low), value.max(high)])
    })
}

fn range(ends: Option<[f64; 2]>) -> String {
    match ends.map(|ends| ends.map(|end| format!("{end:.1}"))) {
        None => "–".to_owned(),
        Some([low, high]) if low == high => low,
        Some([low, high]) => format!("{low} to {high}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice() -> Fc3Slice {
        let before = vec![vec![1.0, -1.0, 2.0], vec![0.5, 4.0, 1.0]];
        let after = vec![vec![1.0, -8.0, 2.0], vec![0.0, 40.0, 9.0]];
        let point = Fc3Point { channel: 3, y: 1, x: 1 };
        Fc3Slice { layer: "stage1.0".to_owned(), view: [4, 2, 3, 2, 2, 3], point, before, after }
    }

    #[test]
    fn the_numbers_as_text() {
        let (slice, printed) = (slice(), figure4().unwrap());
        let (before, after) = (log_ratios(&slice.before), log_ratios(&slice.after));
        insta::assert_snapshot!(summary(&slice, (&before, &after), &printed));
        insta::assert_snapshot!(csv(&slice, &before, &after));
    }
}
