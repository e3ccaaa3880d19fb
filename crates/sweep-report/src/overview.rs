//! The beginning of a report: the scale at which the question was asked, and how the runs went.
//!
//! Everything is taken from the rows. So a report cannot claim more than was run.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sweep_protocol::{Coordinates, ExclusionRecord, ExperimentRows, RunId, RunRow, Status};

use crate::measured::Measured;
use crate::missing::status_in_words;

/// Number of hexadecimal digits of a data digest that are shown.
const DIGEST_DIGITS: usize = 12;

/// The question, its scale, and how the runs went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the profile, which sets the scale.
    pub profile: String,
    /// The question that the experiment asks.
    pub question: String,
    /// Digests of the data that its runs used.
    pub data: Vec<String>,
    /// Seeds of its plan.
    pub seeds: Vec<u64>,
    /// Epochs of the runs that succeeded, each number once.
    pub epochs: Vec<u32>,
    /// Settings that its runs share: images, widths, batch size, learning rate.
    pub setting: Option<String>,
    /// Arithmetics of the runs that succeeded.
    pub arithmetics: Vec<String>,
    /// Models of the processors that they ran on.
    pub processors: Vec<String>,
    /// Trainer versions of the runs that succeeded.
    pub trainer_versions: Vec<u32>,
    /// Number of planned runs by status.
    pub counts: BTreeMap<Status, usize>,
    /// Coordinates that the plan excludes.
    pub exclusions: Vec<ExclusionRecord>,
    /// Runs whose last attempt failed or timed out.
    pub failures: Vec<Failure>,
}

/// A run whose last attempt failed or timed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Coordinates of the run.
    pub coordinates: Coordinates,
    /// Seed of the run.
    pub seed: u64,
    /// Status of the run.
    pub status: Status,
    /// The reason, as it was recorded.
    pub message: Option<String>,
}

impl Overview {
    /// Creates the overview of some rows.
    pub(crate) fn of(rows: &ExperimentRows, measured: &Measured<'_>) -> Self {
        let plan = &rows.plan;
        let mut counts = BTreeMap::new();
        for run in &plan.runs {
            *counts.entry(measured.status(run.run)).or_insert(0) += 1;
        }
        let failures = plan.runs.iter().filter_map(|run| {
            let row = measured.row(run.run)?;
            let failed = matches!(row.status, Status::Failed(_) | Status::TimedOut);
            let (coordinates, message) = (run.coordinates.clone(), row.message.clone());
            failed.then_some(Failure { coordinates, seed: run.seed, status: row.status, message })
        });
        let data: BTreeSet<&String> = rows.runs.iter().filter_map(|row| row.data_fingerprint.as_ref()).collect();
        let seeds: BTreeSet<u64> = plan.runs.iter().map(|run| run.seed).collect();
        Self {
            experiment: plan.experiment.clone(),
            profile: plan.profile.clone(),
            question: plan.question.clone(),
            data: data.into_iter().cloned().collect(),
            seeds: seeds.into_iter().collect(),
            epochs: epochs(rows, measured),
            setting: plan.scale.clone(),
            arithmetics: of_succeeded(rows, |row| Some(row.arithmetic.as_ref()?.to_string())),
            processors: of_succeeded(rows, |row| row.processor.clone()),
            trainer_versions: of_succeeded(rows, |row| row.trainer_version),
            counts,
            exclusions: plan.exclusions.clone(),
            failures: failures.collect(),
        }
    }

    /// Returns the scale in one sentence:
    /// `Profile cifar10; data 1f2e3d…; 3 seeds (0, 1, 2); 100 epochs; trainer version 6.`
    pub fn scale(&self) -> String {
        let data: Vec<String> = self.data.iter().map(|digest| shortened(digest)).collect();
        let data = if data.is_empty() { "not loaded yet".to_owned() } else { data.join(", ") };
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let epochs = match self.epochs.as_slice() {
            // A command may measure nothing by epochs.
            [] if self.counts.contains_key(&Status::Succeeded) => String::new(),
            [] => "; no run has succeeded".to_owned(),
            [1] => "; 1 epoch".to_owned(),
            epochs => format!("; {} epochs", epochs.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")),
        };
        let word = if seeds.len() == 1 { "seed" } else { "seeds" };
        let versions: Vec<String> = self.trainer_versions.iter().map(u32::to_string).collect();
        let trainer = match versions.as_slice() {
            [] => String::new(),
            [one] => format!("; trainer version {one}"),
            several => format!("; trainer versions {}", several.join(", ")),
        };
        let seeds = format!("{} {word} ({})", seeds.len(), seeds.join(", "));
        let setting = self.setting.as_ref().map(|setting| format!("; {setting}")).unwrap_or_default();
        let computed = match self.arithmetics.as_slice() {
            [] => String::new(),
            [one] => format!("; computed with {one}"),
            several => format!("; computed with different arithmetics: {}", several.join(", ")),
        };
        let processors = match self.processors.as_slice() {
            [] => String::new(),
            all => format!("; on {}", all.join(", ")),
        };
        format!("Profile {}; data {data}{setting}; {seeds}{epochs}{trainer}{computed}{processors}.", self.profile)
    }

    /// Returns how the runs went, in one sentence: `12 runs: 10 succeeded, 1 failed: diverged, 1 not run yet.`
    pub fn progress(&self) -> String {
        let total: usize = self.counts.values().sum();
        let by_status = |succeeded: bool| {
            let counts = self.counts.iter().filter(move |(status, _)| (**status == Status::Succeeded) == succeeded);
            counts.map(|(&status, n)| format!("{n} {}", status_in_words(status)))
        };
        let counts: Vec<String> = by_status(true).chain(by_status(false)).collect();
        format!("{total} {}: {}.", if total == 1 { "run" } else { "runs" }, counts.join(", "))
    }
}

/// Returns a warning for each property that is no axis and in which the runs that succeeded differ.
pub(crate) fn mixtures(rows: &ExperimentRows) -> Vec<String> {
    let several = |values: Vec<String>| (values.len() > 1).then(|| values.join(", "));
    let arithmetic = several(of_succeeded(rows, |row| Some(row.arithmetic.as_ref()?.to_string()))).map(|ways| {
        format!("These runs were computed with different arithmetics ({ways}): differences may be due to rounding.")
    });
    let processors = several(of_succeeded(rows, |row| row.processor.clone()))
        .map(|names| format!("These runs were computed on different processors ({names}): compare no times."));
    let trainers = several(of_succeeded(rows, |row| row.trainer_version.map(|version| version.to_string())));
    let trainers = trainers.map(|versions| {
        format!("These runs were trained by different versions of the trainer ({versions}): `run` trains them again.")
    });
    arithmetic.into_iter().chain(processors).chain(trainers).chain(mixed_data(rows)).collect()
}

/// Returns a warning if runs with the same coordinates used different data. Data may be an axis, so rows may differ.
fn mixed_data(rows: &ExperimentRows) -> Option<String> {
    let succeeded = rows.runs.iter().filter(|row| row.status == Status::Succeeded);
    let digests: BTreeMap<RunId, &String> =
        succeeded.filter_map(|row| Some((row.run, row.data_fingerprint.as_ref()?))).collect();
    let mut of_row: BTreeMap<&Coordinates, BTreeSet<&String>> = BTreeMap::new();
    for run in &rows.plan.runs {
        of_row.entry(&run.coordinates).or_default().extend(digests.get(&run.run));
    }
    let mixed = of_row.into_iter().find(|(_, digests)| digests.len() > 1)?.0;
    let place = if mixed.0.is_empty() { String::new() } else { format!(" at {mixed}") };
    Some(format!("The seeds{place} were trained with different images: their mean has no meaning."))
}

/// Returns a property of the runs that succeeded, each value once.
fn of_succeeded<T: Ord>(rows: &ExperimentRows, said: impl Fn(&RunRow) -> Option<T>) -> Vec<T> {
    let succeeded = rows.runs.iter().filter(|row| row.status == Status::Succeeded);
    succeeded.filter_map(said).collect::<BTreeSet<T>>().into_iter().collect()
}

/// Returns the numbers of epochs of the runs that succeeded.
fn epochs(rows: &ExperimentRows, measured: &Measured<'_>) -> Vec<u32> {
    let mut last = BTreeMap::new();
    for of_run in rows.measurements.chunk_by(|a, b| a.run == b.run) {
        let epoch = of_run.iter().filter_map(|row| row.measurement.epoch).max();
        if let Some(epoch) = epoch.filter(|_| measured.status(of_run[0].run) == Status::Succeeded) {
            let known = last.entry(of_run[0].run).or_insert(epoch);
            *known = epoch.max(*known);
        }
    }
    last.into_values().collect::<BTreeSet<u32>>().into_iter().collect()
}

/// Returns the first digits of a digest. Any other text stays whole.
fn shortened(digest: &str) -> String {
    let is_digest = digest.len() > DIGEST_DIGITS && digest.chars().all(|c| c.is_ascii_hexdigit());
    if is_digest { format!("{}…", &digest[..DIGEST_DIGITS]) } else { digest.to_owned() }
}
