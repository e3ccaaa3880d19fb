//! Reads all input data of a plan before any run starts, and names the rows of the plan that have faulty data.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use repmlp_train::data::DataError;
use sweep_protocol::{RunId, RunRow, error_chain};
use sweep_trainer::TrainerError;

use crate::costed_plan::CostedPlan;
use crate::program::Readers;

/// An error, with the configurations that cannot start because of it.
struct Fault {
    configurations: Vec<usize>,
    text: String,
    error: anyhow::Error,
}

/// Reads every data set once, and the weights that configurations start from. Returns the fingerprint of each
/// configuration's data.
pub(crate) fn check_data(costed: &CostedPlan<'_>, readers: &mut Readers<'_>) -> Result<Vec<String>> {
    let (mut fingerprints, mut faults) = (Vec::new(), Vec::<Fault>::new());
    for (i, config) in costed.plan.configurations.iter().enumerate() {
        match readers.of(config).fingerprint(config) {
            Ok(fingerprint) => fingerprints.push(fingerprint),
            Err(error) => add(&mut faults, i, error),
        }
    }
    if faults.is_empty() { Ok(fingerprints) } else { Err(refusal(costed, faults)) }
}

/// Whether the program contains the data of all runs.
pub(crate) fn is_all_carried(costed: &CostedPlan<'_>) -> Result<bool> {
    let mut readers = costed.trainers.data(None, Path::new(""));
    for config in &costed.plan.configurations {
        if !readers.of(config).is_carried(config)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses a run that was measured on other data with the same name: it can be neither continued nor reused.
pub(crate) fn refuse_other_data(
    costed: &CostedPlan<'_>,
    known: &BTreeMap<RunId, RunRow>,
    fingerprints: &[String],
) -> Result<()> {
    for run in &costed.plan.runs {
        let seen = known.get(&run.id).and_then(|row| row.data_fingerprint.as_ref());
        let Some(now) = fingerprints.get(run.configuration) else { return Ok(()) };
        if let Some(seen) = seen.filter(|seen| *seen != now) {
            let (run, seen, now) = (run.id.short(), seen.clone(), now.clone());
            return Err(DataError::Changed { run, seen, now }.into());
        }
    }
    Ok(())
}

/// Adds an error of a configuration. An error that other configurations have too is listed once.
fn add(faults: &mut Vec<Fault>, configuration: usize, error: TrainerError) {
    let text = error_chain(&error);
    let place = faults.iter().position(|fault| fault.text == text).unwrap_or_else(|| {
        faults.push(Fault { configurations: Vec::new(), text, error: error.into() });
        faults.len() - 1
    });
    faults[place].configurations.push(configuration);
}

/// Returns all errors as one. Each is listed with the rows that it concerns, unless it concerns all rows.
fn refusal(costed: &CostedPlan<'_>, mut faults: Vec<Fault>) -> anyhow::Error {
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
