//! Published rows: measurements as text in git. They show what a committed rendering was made from, and whether it is
//! still up to date.
//!
//! `plan.json` and `runs.json` are meant for human readers. `measurements.csv` is sorted, so diffs are short. Floats
//! keep every bit. `throughput.json` has the rounds behind the throughput. `part.json` says which values there are, if
//! not all. Predictions have two files of their own (`published_predictions.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sweep_protocol::{
    ExperimentRows, Form, Measurement, MeasurementRow, Metric, PlanRecord, RunId, RunRow, Split, Status,
    read_regular_file,
};

use crate::rendered::{self, Kept, MANIFEST, Manifest};
use crate::{Declaration, PaperNumbers, Rendering, ReportError, published_predictions, render};

const PLAN: &str = "plan.json";
const RUNS: &str = "runs.json";
const MEASUREMENTS: &str = "measurements.csv";
const THROUGHPUT: &str = "throughput.json";
/// Which values are published, if not all.
const PART: &str = "part.json";
const HEADER: &str = "run,metric,split,form,epoch,value";

/// About the number of bytes in a line.
const LINE: usize = 112;

/// A difference between a committed rendering and what the published rows render to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The file would be rendered, but does not exist.
    Missing(PathBuf),
    /// The file has other bytes.
    Differs(PathBuf),
    /// A file of the measurements is missing, or has other bytes than were published.
    Edited(PathBuf),
    /// The file is a former rendering that is no longer declared. Files that were not written by rendering belong to
    /// the user and are not reported.
    Unexpected(PathBuf),
}

/// Writes rows into a folder, in plan order whatever their order is. Returns the files of the user that were found
/// there.
///
/// # Errors
/// When a row belongs to no planned run, or a file cannot be written.
pub fn write(folder: &Path, rows: &ExperimentRows) -> Result<Vec<Kept>, ReportError> {
    let order: BTreeMap<RunId, usize> = (rows.plan.runs.iter().enumerate()).map(|(i, run)| (run.run, i)).collect();
    let place = |run: RunId| order.get(&run).copied().ok_or(ReportError::UnplannedRun(run));
    let mut runs = Vec::new();
    for row in &rows.runs {
        runs.push((place(row.run)?, row));
    }
    // Rows are usually sorted already, and there may be millions.
    let mut measurements: BTreeMap<usize, Vec<&Measurement>> = BTreeMap::new();
    for of_run in rows.measurements.chunk_by(|a, b| a.run == b.run) {
        let values = measurements.entry(place(of_run[0].run)?).or_default();
        values.extend(of_run.iter().map(|row| &row.measurement));
    }
    let mut predictions = Vec::new();
    for row in &rows.predictions {
        predictions.push(((place(row.run)?, row.predictions.split(), row.predictions.form()), row));
    }
    runs.sort_by_key(|(place, _)| *place);
    predictions.sort_by_key(|(key, _)| *key);
    let mut text = String::with_capacity(LINE * (rows.measurements.len() + 1));
    text.push_str(HEADER);
    text.push('\n');
    for (place, mut values) in measurements {
        values.sort_by_key(|m| (m.metric, m.split, m.form, m.epoch));
        add_lines(&mut text, rows.plan.runs[place].run, &values);
    }
    let mut files = vec![
        json(PLAN, &published(&rows.plan))?,
        json(RUNS, &runs.into_iter().map(|(_, row)| row).collect::<Vec<_>>())?,
        Rendering { path: MEASUREMENTS.into(), bytes: text.into_bytes() },
    ];
    files.extend(rows.part.as_ref().map(|part| json(PART, part)).transpose()?);
    files.extend(rows.throughput.as_ref().map(|record| json(THROUGHPUT, record)).transpose()?);
    let predictions: Vec<_> = predictions.into_iter().map(|(_, row)| row).collect();
    files.extend(published_predictions::files(&predictions));
    rendered::write(folder, &files)
}

/// The plan without what readers of the measurements do not need: the location of the experiment file, and predictions.
fn published(plan: &PlanRecord) -> PlanRecord {
    let mut plan = PlanRecord { source: None, ..plan.clone() };
    plan.runs.iter_mut().for_each(|run| run.work = None);
    plan
}

/// Reads rows from a folder.
///
/// # Errors
/// When a file is missing or does not have the form that [`write()`] uses.
pub fn read(folder: &Path) -> Result<ExperimentRows, ReportError> {
    read_files(folder).map_err(|source| ReportError::Published { folder: folder.to_owned(), source: Box::new(source) })
}

fn read_files(folder: &Path) -> Result<ExperimentRows, ReportError> {
    let path = folder.join(MEASUREMENTS);
    let text = read_regular_file(&path).map_err(io_fault(&path, "reading"))?;
    let text = String::from_utf8(text).map_err(|fault| io_fault(&path, "reading")(std::io::Error::other(fault)))?;
    let mut measurements = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, line) in text.lines().enumerate() {
        let fault = |expected| ReportError::Line { path: path.clone(), line: i + 1, expected };
        match i {
            0 if line == HEADER => {}
            0 => return Err(fault("the heading `run,metric,split,form,epoch,value` is expected")),
            _ => {
                let row = parsed(line)
                    .ok_or_else(|| fault("known names and a finite number are expected for each column"))?;
                let Measurement { metric, split, form, epoch, .. } = row.measurement;
                if !seen.insert((row.run, metric, split, form, epoch)) {
                    return Err(fault("an earlier line has the same run, metric, split, form and epoch"));
                }
                measurements.push(row);
            }
        }
    }
    let (plan, runs) = (read_json(&folder.join(PLAN))?, read_json(&folder.join(RUNS))?);
    let throughput = read_json_if_there(&folder.join(THROUGHPUT))?;
    let part = read_json_if_there(&folder.join(PART))?;
    let predictions = published_predictions::read(folder)?;
    Ok(ExperimentRows { plan, runs, measurements, part, throughput, predictions })
}

/// Returns the number of runs that are published as succeeded; 0 if the folder or its list cannot be read.
pub fn succeeded(folder: &Path) -> usize {
    let rows = read_json::<Vec<RunRow>>(&folder.join(RUNS)).unwrap_or_default();
    rows.iter().filter(|row| row.status == Status::Succeeded).count()
}

/// Returns the files of a folder of rows that are missing or have other bytes than were published. A missing manifest
/// is one of them.
///
/// # Errors
/// When a file cannot be read.
pub fn edited(folder: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let Some(written) = Manifest::read(folder) else { return Ok(vec![folder.join(MANIFEST)]) };
    let mut edited = Vec::new();
    for path in written.names().map(|name| folder.join(name)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !written.is_as_written(folder, &name).map_err(io_fault(&path, "reading"))? {
            edited.push(path);
        }
    }
    Ok(edited)
}

/// Refuses rows that are not what was published.
///
/// # Errors
/// When a file is missing, was edited, or cannot be read.
pub fn refuse_edited(folder: &Path) -> Result<(), ReportError> {
    let edited = edited(folder)?;
    let paths: Vec<String> = edited.iter().map(|path| path.display().to_string()).collect();
    if paths.is_empty() { Ok(()) } else { Err(ReportError::Edited { paths: paths.join(", ") }) }
}

/// Renders the published rows and compares the bytes with the files in `rendered`, including its manifest if there is
/// one. Files that were not written by rendering are ignored.
///
/// # Errors
/// When the rows cannot be read or rendered, or a rendering cannot be read.
pub fn check(
    published: &Path,
    declaration: &Declaration,
    paper: &PaperNumbers,
    rendered: &Path,
) -> Result<Vec<Difference>, ReportError> {
    let mut renderings = render(&read(published)?, declaration, paper)?;
    let current = Manifest::of(&renderings);
    let former = Manifest::read(rendered);
    // Reports of older versions have no manifest.
    if rendered.join(MANIFEST).exists() {
        renderings.push(Rendering { path: MANIFEST.into(), bytes: current.bytes()? });
    }
    let mut differences = BTreeSet::new();
    differences.extend(edited(published)?.into_iter().map(Difference::Edited));
    let mut expected = BTreeSet::new();
    for rendering in renderings {
        let path = rendered.join(&rendering.path);
        match read_regular_file(&path) {
            Ok(bytes) if bytes == rendering.bytes => {}
            Ok(_) => drop(differences.insert(Difference::Differs(rendering.path.clone()))),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {
                differences.insert(Difference::Missing(rendering.path.clone()));
            }
            Err(fault) => return Err(io_fault(&path, "reading")(fault)),
        }
        expected.insert(rendering.path);
    }
    if let Some(manifest) = &former {
        for name in manifest.names().filter(|name| !expected.contains(Path::new(name))) {
            if manifest.is_as_written(rendered, name).map_err(io_fault(&rendered.join(name), "reading"))? {
                differences.insert(Difference::Unexpected(name.into()));
            }
        }
    }
    Ok(differences.into_iter().collect())
}

/// Adds the lines of a run. Its values are sorted.
fn add_lines(text: &mut String, run: RunId, values: &[&Measurement]) {
    for values in values.chunk_by(|a, b| a.series() == b.series()) {
        let (metric, split, form) = values[0].series();
        let (split, form) = (split.map_or("", Split::name), form.map_or("", Form::name));
        // There may be millions of lines, so what they share is written once.
        let shared = format!("{run},{},{split},{form},", metric.name());
        for m in values {
            text.push_str(&shared);
            // `{:?}` gives the shortest text that parses to the same float. Writing to a string cannot fail.
            let _: std::fmt::Result = match m.epoch {
                Some(epoch) => writeln!(text, "{epoch},{:?}", m.value),
                None => writeln!(text, ",{:?}", m.value),
            };
        }
    }
}

fn parsed(line: &str) -> Option<MeasurementRow> {
    let fields: Vec<&str> = line.split(',').collect();
    let [run, metric, split, form, epoch, value] = fields.as_slice() else { return None };
    let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite())?;
    let measurement = Measurement {
        metric: metric.parse::<Metric>().ok()?,
        split: optional::<Split>(split)?,
        form: optional::<Form>(form)?,
        epoch: optional::<u32>(epoch)?,
        value,
    };
    Some(MeasurementRow { run: run.parse().ok()?, measurement })
}

/// Returns `Some(None)` for an empty field, and `None` for a field that cannot be parsed.
pub(crate) fn optional<T: std::str::FromStr>(field: &str) -> Option<Option<T>> {
    if field.is_empty() { Some(None) } else { field.parse().ok().map(Some) }
}

fn read_json_if_there<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ReportError> {
    path.exists().then(|| read_json(path)).transpose()
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ReportError> {
    let bytes = read_regular_file(path).map_err(io_fault(path, "reading"))?;
    serde_json::from_slice(&bytes).map_err(|source| ReportError::Json { path: path.to_owned(), source })
}

fn json(name: &str, value: &impl Serialize) -> Result<Rendering, ReportError> {
    let fault = |source| ReportError::Json { path: name.into(), source };
    let mut bytes = serde_json::to_vec_pretty(value).map_err(fault)?;
    bytes.push(b'\n');
    Ok(Rendering { path: name.into(), bytes })
}

pub(crate) fn io_fault(path: &Path, doing: &'static str) -> impl Fn(std::io::Error) -> ReportError {
    move |source| ReportError::Io { path: path.to_owned(), doing, source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, prop_assume, proptest};

    use super::*;

    proptest! {
        #[test]
        fn every_finite_float_is_kept_exactly(value in any::<f64>(), epoch in any::<Option<u32>>()) {
            prop_assume!(value.is_finite());
            let measurement =
                Measurement { metric: Metric::Loss, split: None, form: Some(Form::Training), epoch, value };
            let row = MeasurementRow { run: RunId::of("{}", 0), measurement };
            let mut line = String::new();
            add_lines(&mut line, row.run, &[&measurement]);
            let read = parsed(line.trim_end()).unwrap();
            prop_assert_eq!(read.measurement.value.to_bits(), value.to_bits());
            prop_assert_eq!(read, row);
        }
    }

    #[test]
    fn invalid_measurements_are_refused() {
        let run = RunId::of("{}", 0);
        for bad in [
            "",
            "loss,,,,1.0",
            &format!("{run},loss,,,,NaN"),
            &format!("{run},l-ss,,,,1.0"),
            &format!("{run},loss,,,x,1.0"),
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
