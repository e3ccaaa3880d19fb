//! Collects what a page shows: the computed report, the runs, and what the results folder knows besides them:
//! configurations and the ends of logs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::Result;
use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use sweep_page::{Page, RunDetails};
use sweep_protocol::{ExperimentRows, ResultsLayout, RunId, Status, attempt_numbers, printable};
use sweep_report::{Document, page_runs};

use crate::project::Project;
use crate::what_changed;

/// Number of bytes of a log that a page has: its end.
const END_OF_LOG: u64 = 8 * 1024;
/// Number of bytes of all logs of a page. Failed runs come first.
const ALL_LOGS: usize = 4 * 1024 * 1024;

/// Returns what a page of some rows shows.
pub(crate) fn collect(project: &Project, layout: &ResultsLayout, rows: &ExperimentRows) -> Result<Page> {
    let (declaration, paper) = project.declaration(rows)?;
    let document = Document::of(rows, &declaration, &paper)?;
    let found: Vec<(Option<String>, Option<String>)> = rows
        .plan
        .runs
        .par_iter()
        .map(|planned| (configuration(layout, planned.run), end_of_log(layout, planned.run)))
        .collect();
    let (configs, mut logs): (Vec<Option<String>>, Vec<Option<String>>) = found.into_iter().unzip();
    keep_within(ALL_LOGS, rows, &mut logs);
    let mut configurations = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let details = configs.into_iter().zip(logs).map(|(config, log)| RunDetails {
        configuration: config.map(|config| {
            *places.entry(config).or_insert_with_key(|config| {
                configurations.push(config.clone());
                configurations.len() - 1
            })
        }),
        log,
    });
    let details = details.collect();
    let program = format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    Ok(Page { report: document.page()?, runs: page_runs(rows, &declaration), details, configurations, program })
}

/// Leaves out logs that are too much together. Those of failed runs stay first.
fn keep_within(most: usize, rows: &ExperimentRows, logs: &mut [Option<String>]) {
    let known: BTreeMap<RunId, Status> = rows.runs.iter().map(|row| (row.run, row.status)).collect();
    let mut order: Vec<usize> = (0..logs.len()).collect();
    order.sort_by_key(|&place| known.get(&rows.plan.runs[place].run) == Some(&Status::Succeeded));
    let mut size = 0;
    for place in order {
        size += logs[place].as_ref().map_or(0, String::len);
        if size > most {
            logs[place] = None;
        }
    }
}

/// Returns the configuration of a run as TOML; `None` if there is none here.
fn configuration(layout: &ResultsLayout, run: RunId) -> Option<String> {
    toml::to_string(&what_changed::config_of(layout, run)?).ok().map(|text| printable(&text).into_owned())
}

/// Returns the end of the log of a run's last attempt; `None` if it is empty or cannot be read.
fn end_of_log(layout: &ResultsLayout, run: RunId) -> Option<String> {
    let last = attempt_numbers(&layout.run(run)).ok()?.into_iter().max()?;
    let text = end_of_file(&layout.run(run).attempt(last).log()).ok()?;
    (!text.trim().is_empty()).then_some(text)
}

/// Returns the last lines of a text file.
fn end_of_file(path: &Path) -> std::io::Result<String> {
    if !path.symlink_metadata()?.is_file() {
        return Ok(String::new());
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(END_OF_LOG);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(END_OF_LOG).read_to_end(&mut bytes)?;
    // Bars of progress end their lines with a carriage return.
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n").replace('\r', "\n");
    // The first line may lack its beginning. A log of one long line is shown from there.
    let whole = text.split_once('\n').filter(|(_, rest)| from > 0 && !rest.trim().is_empty());
    Ok(printable(whole.map_or(text.as_str(), |(_, rest)| rest)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_begins_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        std::fs::write(&path, (0..5000).map(|i| format!("line {i}\n")).collect::<String>()).unwrap();
        let text = end_of_file(&path).unwrap();
        assert!(
            text.starts_with("line ") && text.ends_with("line 4999\n") && text.len() <= END_OF_LOG as usize,
            "{text}"
        );
        std::fs::write(&path, "bar\r".repeat(5000)).unwrap();
        assert!(end_of_file(&path).unwrap().contains("bar\nbar\n"));
        std::fs::write(&path, "x".repeat(20_000)).unwrap();
        assert_eq!(end_of_file(&path).unwrap().len(), END_OF_LOG as usize);
        std::fs::write(&path, "short\n").unwrap();
        assert_eq!(end_of_file(&path).unwrap(), "short\n");
    }
}
