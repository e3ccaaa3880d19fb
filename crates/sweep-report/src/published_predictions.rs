//! Published predictions as text: one line for each run, split and form, and the true classes once for each set of
//! images.
//!
//! A line has one to three letters per image, so a diff shows which images a run classifies differently now. This
//! module knows the two files, not the others of the folder.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use sweep_protocol::{Form, Predictions, PredictionsRow, RunId, Split, read_regular_file};

use crate::published::{io_fault, optional};
use crate::{Rendering, ReportError};

const IMAGES: &str = "images.csv";
const IMAGES_HEADER: &str = "set,classes,truth";
const PREDICTIONS: &str = "predictions.csv";
const PREDICTIONS_HEADER: &str = "run,split,form,epoch,set,predicted";
/// Number of hexadecimal digits in the name of a set.
const DIGITS: usize = 16;

/// The true classes of a set of images.
struct Images {
    classes: u32,
    truth: String,
}

impl Images {
    /// Returns the name of the set: the beginning of the digest of its line without the name.
    fn name(classes: u32, truth: &str) -> String {
        blake3::hash(format!("{classes},{truth}").as_bytes()).to_hex()[..DIGITS].to_owned()
    }
}

/// Returns the files that hold predictions, for runs in plan order; none without predictions.
pub(crate) fn files(rows: &[&PredictionsRow]) -> Vec<Rendering> {
    if rows.is_empty() {
        return Vec::new();
    }
    let (mut sets, mut predictions) = (BTreeMap::new(), format!("{PREDICTIONS_HEADER}\n"));
    for PredictionsRow { run, predictions: of_run } in rows {
        let (split, form) = (of_run.split().name(), of_run.form().map_or("", Form::name));
        let epoch = of_run.epoch().map(|epoch| epoch.to_string()).unwrap_or_default();
        let set = Images::name(of_run.classes(), of_run.truth_text());
        // Writing to a string cannot fail.
        let _: std::fmt::Result =
            writeln!(predictions, "{run},{split},{form},{epoch},{set},{}", of_run.predicted_text());
        sets.insert(set, (of_run.classes(), of_run.truth_text()));
    }
    let lines = sets.iter().map(|(set, (classes, truth))| format!("{set},{classes},{truth}\n"));
    let images = format!("{IMAGES_HEADER}\n{}", lines.collect::<String>());
    vec![
        Rendering { path: IMAGES.into(), bytes: images.into_bytes() },
        Rendering { path: PREDICTIONS.into(), bytes: predictions.into_bytes() },
    ]
}

/// Reads the predictions in a folder. Folders of earlier versions have none.
///
/// # Errors
/// When a file cannot be read, or a line does not have the form that [`files`] gives it.
pub(crate) fn read(folder: &Path) -> Result<Vec<PredictionsRow>, ReportError> {
    let path = folder.join(PREDICTIONS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let sets: BTreeMap<String, Images> = lines(&folder.join(IMAGES), IMAGES_HEADER, image_set)?.into_iter().collect();
    lines(&path, PREDICTIONS_HEADER, |line| predictions(line, &sets))
}

/// Parses each line after the header.
fn lines<T>(path: &Path, header: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, ReportError> {
    let bytes = read_regular_file(path).map_err(io_fault(path, "reading"))?;
    let text = String::from_utf8(bytes).map_err(|fault| io_fault(path, "reading")(std::io::Error::other(fault)))?;
    let fault = |i: usize| ReportError::Line { path: path.to_owned(), line: i + 1, expected: header };
    if text.lines().next() != Some(header) {
        return Err(fault(0));
    }
    text.lines().enumerate().skip(1).map(|(i, line)| parse(line).ok_or_else(|| fault(i))).collect()
}

fn image_set(line: &str) -> Option<(String, Images)> {
    let fields: Vec<&str> = line.split(',').collect();
    let [set, classes, truth] = fields.as_slice() else { return None };
    let images = Images { classes: classes.parse().ok()?, truth: (*truth).to_owned() };
    // A set with another name has changed since it was written.
    (*set == Images::name(images.classes, truth)).then(|| ((*set).to_owned(), images))
}

fn predictions(line: &str, sets: &BTreeMap<String, Images>) -> Option<PredictionsRow> {
    let fields: Vec<&str> = line.split(',').collect();
    let [run, split, form, epoch, set, predicted] = fields.as_slice() else { return None };
    let images = sets.get(*set)?;
    let place = (split.parse::<Split>().ok()?, optional::<Form>(form)?, optional::<u32>(epoch)?);
    let texts = [images.truth.clone(), (*predicted).to_owned()];
    let predictions = Predictions::of_texts(place, images.classes, texts).ok()?;
    Some(PredictionsRow { run: run.parse::<RunId>().ok()?, predictions })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seed: u64, predicted: [u32; 4]) -> PredictionsRow {
        let place = (Split::Test, Some(Form::Deployed), Some(2));
        let predictions = Predictions::new(place, 10, [&[3, 1, 4, 1], &predicted]).unwrap();
        PredictionsRow { run: RunId::of("{}", seed), predictions }
    }

    fn written(rows: &[&PredictionsRow]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for Rendering { path, bytes } in files(rows) {
            std::fs::write(folder.path().join(path), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn the_true_classes_are_stored_once_and_everything_is_read_back() {
        let rows = [row(0, [3, 1, 4, 1]), row(1, [3, 1, 4, 9])];
        let folder = written(&rows.each_ref());
        assert_eq!(read(folder.path()).unwrap(), rows);
        let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let set = Images::name(10, "3141");
        assert_eq!(text(IMAGES), format!("set,classes,truth\n{set},10,3141\n"));
        let lines = text(PREDICTIONS);
        let ends: Vec<_> = lines.lines().skip(1).map(|line| line.split_once(',').unwrap().1).collect();
        assert_eq!(ends, [format!("test,deployed,2,{set},3141"), format!("test,deployed,2,{set},3149")]);
        assert!(files(&[]).is_empty());
        assert_eq!(read(tempfile::tempdir().unwrap().path()).unwrap(), []);
    }

    #[test]
    fn changed_files_are_refused_with_the_line() {
        let fault = |name: &str, from: &str, to: &str| {
            let folder = written(&[&row(0, [3, 1, 4, 1]), &row(1, [3, 1, 4, 9])]);
            let path = folder.path().join(name);
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace(from, to)).unwrap();
            read(folder.path()).unwrap_err().to_string()
        };
        for (name, from, to, line) in [
            (IMAGES, ",3141", ",3140", "line 2"),
            (IMAGES, ",10,", ",4000000000,", "line 2"),
            (IMAGES, "set,classes", "classes", "line 1"),
            (PREDICTIONS, "3149", "31", "line 3"),
            (PREDICTIONS, "3149", "314A", "line 3"),
            (PREDICTIONS, "test,", "tset,", "line 2"),
        ] {
            let fault = fault(name, from, to);
            assert!(fault.contains(name) && fault.contains(line), "{fault}");
        }
        let folder = written(&[&row(0, [3, 1, 4, 1])]);
        std::fs::remove_file(folder.path().join(IMAGES)).unwrap();
        assert!(read(folder.path()).is_err());
    }
}
