//! Rows by class as text in columns.

use sweep_protocol::Metric;
use sweep_statistics::Summary;

use super::sheet::{Sheet, Text, count};
use crate::analysis::{Classes, ClassesRow};
use crate::unit::{Rounding, form_in_words};

/// Largest number of classes whose recalls a report lists. The CSV has all.
const MOST_CLASSES: usize = 50;

/// Returns the averages over classes, the recall of each class, and how to read both.
pub(super) fn sheets(classes: &Classes) -> (Vec<Sheet>, Vec<String>) {
    let form = classes.form.map(|form| format!(", {}", form_in_words(form))).unwrap_or_default();
    let what = format!("{} images{form}", classes.split.name());
    if let Some(why) = &classes.missing {
        return (Vec::new(), vec![format!("No classes of the {what}: {why}.")]);
    }
    let mut sheets = vec![averages(classes)];
    let mut notes = vec![format!(
        "Of the {what}: means over n seeds, ± their sample standard deviation. The recall of a class is the share of \
         its images that are classified correctly. Balanced accuracy is the mean recall of all classes, and macro-F1 \
         the mean of their F1 scores; both count each class alike, however many images it has. The weakest class is \
         the one with the lowest mean recall. Nothing is tested here."
    )];
    if classes.images.len() > MOST_CLASSES {
        notes.push(format!("The recalls of all {} classes are in the CSV file.", classes.images.len()));
    } else {
        sheets.push(recalls(classes));
    }
    (sheets, notes)
}

fn share(found: Option<Summary>, rounding: Rounding) -> String {
    let Some(found) = found else { return "—".to_owned() };
    let sd = found.sd.filter(|sd| *sd > 0.0).map(|sd| format!(" ± {}", rounding.text(sd)));
    rounding.text(found.mean) + &sd.unwrap_or_default()
}

fn cell(found: Option<Summary>, rounding: Rounding) -> Text {
    Text { number: found.map(|found| found.mean), ..Text::from(share(found, rounding)) }
}

fn averages(classes: &Classes) -> Sheet {
    let rounding = Rounding::of(Metric::Accuracy, []);
    let columns = ["n", "accuracy (%)", "balanced accuracy (%)", "macro-F1 (%)", "weakest class, recall (%)"];
    let header = classes.axes.iter().cloned().chain(columns.map(str::to_owned)).collect();
    let weakest = |row: &ClassesRow| {
        let found = row.recalls.iter().enumerate().filter_map(|(class, recall)| Some((class, (*recall)?)));
        let (class, recall) = found.min_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
        Some(Text { number: Some(recall.mean), ..Text::from(format!("{class}: {}", share(Some(recall), rounding))) })
    };
    let line = |row: &ClassesRow| {
        let labels = row.labels.iter().cloned().map(Text::from);
        let n = Text { number: Some(row.n as f64), ..Text::from(count(row.n, row.planned)) };
        let shares = [row.accuracy, row.balanced_accuracy, row.macro_f1].map(|found| cell(found, rounding));
        let weakest = weakest(row).unwrap_or_else(|| Text::from("—".to_owned()));
        labels.chain([n]).chain(shares).chain([weakest]).collect()
    };
    let rows = classes.rows.iter().map(line).collect();
    Sheet { header, words: classes.axes.len(), rows, row_notes: Vec::new() }
}

/// Returns one line for each class, with a column for each row of the analysis.
fn recalls(classes: &Classes) -> Sheet {
    let rounding = Rounding::of(Metric::Accuracy, []);
    let names = classes.rows.iter().map(|row| format!("{} (%)", row.labels.join("/")));
    let header = ["class", "images"].map(str::to_owned).into_iter().chain(names).collect();
    let line = |(class, images): (usize, &usize)| {
        let first = [class, *images].map(|n| Text { number: Some(n as f64), ..Text::from(n.to_string()) });
        let of_row = |row: &ClassesRow| cell(row.recalls.get(class).copied().flatten(), rounding);
        first.into_iter().chain(classes.rows.iter().map(of_row)).collect()
    };
    let rows = classes.images.iter().enumerate().map(line).collect();
    Sheet { header, words: 1, rows, row_notes: Vec::new() }
}
