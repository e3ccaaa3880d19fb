//! Confusion matrices of rows, side by side.

use super::Plot;
use super::heat_map::{HeatMaps, HeatPanel};
use crate::analysis::{Classes, ClassesRow};

/// Largest number of matrices in a picture.
const MOST_PANELS: usize = 4;

/// Arranges the matrices of the rows; of many rows, those of the first ones and of the last one. Returns `None` if
/// there is nothing to show.
pub(crate) fn plot(classes: &Classes) -> Option<Plot> {
    let measured: Vec<&ClassesRow> = classes.rows.iter().filter(|row| !row.confusion.is_empty()).collect();
    if measured.is_empty() {
        return None;
    }
    let (first, last) = match measured.len() > MOST_PANELS {
        true => (&measured[..MOST_PANELS - 1], measured.last()),
        false => (&measured[..], None),
    };
    let percent = |row: &Vec<Option<f64>>| row.iter().map(|share| share.map(|share| 100.0 * share)).collect();
    let panel = |row: &&ClassesRow| HeatPanel {
        title: row.labels.join("/"),
        rows: row.confusion.iter().map(percent).collect(),
    };
    let maps = HeatMaps {
        title: String::new(),
        x_label: "predicted class".to_owned(),
        y_label: "class".to_owned(),
        value_label: "% of the images of a class".to_owned(),
        decimals: 0,
        marked: None,
        // The last row of an axis is often the far end of a question.
        panels: first.iter().chain(last).map(panel).collect(),
    };
    let rest = measured.len().saturating_sub(MOST_PANELS);
    let rest = if rest > 0 { format!(" {rest} more rows are not shown.") } else { String::new() };
    Some(Plot {
        id: classes.id.clone(),
        title: format!("{}: confusion matrices", classes.title),
        caption: format!(
            "Each row of a matrix shows for what the images of a class are taken, as a mean over seeds. The diagonal \
             is the recall.{rest}"
        ),
        picture: Some(maps.picture()),
        chart: None,
    })
}
