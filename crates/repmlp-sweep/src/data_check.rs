//! Reads all input data of a plan before any run starts, and names the rows of the plan that have faulty data.

use std::path::Path;

use anyhow::Result;
use repmlp_train::data::{DataConfig, TrainCount};

use crate::costed_plan::CostedPlan;

/// Facts about a data set that was read.
#[derive(Clone)]
struct ReadSet {
    fingerprint: String,
    count: TrainCount,
}

/// An error, with the configurations that cannot start because of it.
struct Fault {
    configurations: Vec<usize>,
    text: String,
    error: anyhow::Error,
}

/// Reads every data set once, and the weights that configurations start from. Returns the fingerprint of each
/// configuration's data.
pub(crate) fn check_data(costed: &CostedPlan, folder: Option<&Path>) -> Result<Vec<String>> {
    let (mut read, mut unread) = (Vec::new(), Vec::<(DataConfig, usize)>::new());
    let (mut fingerprints, mut faults) = (Vec::new(), Vec::<Fault>::new());
    for i in 0..costed.costs.len() {
        let config = costed.config(i)?;
        if let Some((_, fault)) = unread.iter().find(|(data, _)| *data == config.data) {
            faults[*fault].configurations.push(i);
            continue;
        }
        let set = match read_set(&config.data, folder, &mut read) {
            Ok(set) => set,
            Err(error) => {
                unread.push((config.data, add(&mut faults, i, error)));
                continue;
            }
        };
        let fingerprint = || {
            set.count.batches(config.training.batch)?;
            Ok(config.fingerprint(&set.fingerprint, folder)?)
        };
        match fingerprint() {
            Ok(fingerprint) => fingerprints.push(fingerprint),
            Err(error) => _ = add(&mut faults, i, error),
        }
    }
    if faults.is_empty() { Ok(fingerprints) } else { Err(refusal(costed, faults)) }
}

fn read_set(config: &DataConfig, folder: Option<&Path>, read: &mut Vec<(DataConfig, ReadSet)>) -> Result<ReadSet> {
    if let Some((_, set)) = read.iter().find(|(data, _)| data == config) {
        return Ok(set.clone());
    }
    // Files that were read completely once are not read again for another split of the same set.
    let same_files = |data: &DataConfig| data.source == config.source && data.pixel_limit == config.pixel_limit;
    let data = match read.iter().any(|(data, _)| same_files(data)) {
        true => config.load(folder, 0)?,
        false => config.check(folder, 0)?,
    };
    let set = ReadSet { fingerprint: data.fingerprint, count: data.count };
    read.push((config.clone(), set.clone()));
    Ok(set)
}

/// Adds an error of a configuration. An error that other configurations have too is listed once. Returns its index.
fn add(faults: &mut Vec<Fault>, configuration: usize, error: anyhow::Error) -> usize {
    let text = format!("{error:#}");
    let place = faults.iter().position(|fault| fault.text == text).unwrap_or_else(|| {
        faults.push(Fault { configurations: Vec::new(), text, error });
        faults.len() - 1
    });
    faults[place].configurations.push(configuration);
    place
}

/// Returns all errors as one. Each is listed with the rows that it concerns, unless it concerns all rows.
fn refusal(costed: &CostedPlan, mut faults: Vec<Fault>) -> anyhow::Error {
    const SHOWN: usize = 4;
    let all = costed.costs.len();
    let line = |Fault { configurations, text, .. }: &Fault| {
        let mut rows: Vec<String> = Vec::new();
        for run in costed.plan.runs.iter().filter(|run| configurations.contains(&run.configuration)) {
            let row = run.coordinates.to_string();
            if !row.is_empty() && !rows.contains(&row) {
                rows.push(row);
            }
        }
        if (configurations.len() == all && all > 1) || rows.is_empty() {
            return text.clone();
        }
        let more = rows.len().saturating_sub(SHOWN);
        rows.truncate(SHOWN);
        let more = if more > 0 { format!(" and {more} more rows") } else { String::new() };
        format!("{}{more}: {text}", rows.join("; "))
    };
    let text = faults.iter().map(line).collect::<Vec<_>>().join("\n");
    faults.remove(0).error.context(text)
}
