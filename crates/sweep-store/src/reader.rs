//! Read access to a results folder.
//!
//! Plans and journals hold the answers. The index only saves time: the row of a run is used while the run's files are
//! the same as when the index read them. So a reader works without an index and never lags behind a running sweep. A
//! damaged or old index, or one on a read-only disk, does not give wrong answers.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use sweep_protocol::{
    ExperimentRows, Measurement, MeasurementRow, Metric, PlanRecord, Predictions, PredictionsRow, ResultsLayout, RunId,
    RunRow, Status, ThroughputRecord,
};

use crate::fold::RunState;
use crate::index::{self, CachedRun};
use crate::packed;
use crate::results_folder::FolderReader;
use crate::rows::{ExperimentCounts, RunHistory};
use crate::store::{Look, Usable, fault, usable};
use crate::{Damage, StoreError};

/// A results folder, open for reading.
#[derive(Debug)]
pub struct Reader {
    folder: FolderReader,
    index: Option<SqliteConnection>,
    cached: BTreeMap<RunId, CachedRun>,
    /// Runs with an index row that matches their files. Each run is checked once: a reader answers as of that moment.
    proven: BTreeSet<RunId>,
}

impl Reader {
    /// Opens a results folder. The folder need not have an index, and need not exist.
    ///
    /// # Errors
    /// When the index was written by a newer version or by another program.
    pub async fn open(layout: &ResultsLayout) -> Result<Self, StoreError> {
        let mut reader =
            Self { folder: FolderReader::new(layout), index: None, cached: BTreeMap::new(), proven: BTreeSet::new() };
        let path = layout.database();
        let why = match usable(&path, Look::Header).await {
            Ok(Usable::Missing) => return Ok(reader),
            Ok(Usable::Yes) => match connect(layout).await {
                Ok((connection, cached)) => {
                    (reader.index, reader.cached) = (Some(connection), cached);
                    return Ok(reader);
                }
                Err(fault) => fault.to_string(),
            },
            Ok(Usable::No(why)) => why,
            // SQLite keeps files next to the database. It cannot create them in a read-only folder.
            Err(StoreError::Sql { .. }) => return Ok(reader),
            Err(fault) => return Err(fault),
        };
        reader.folder.damage.push(Damage::Index { path, why });
        Ok(reader)
    }

    /// Returns the damage found since the last call.
    pub fn take_damage(&mut self) -> Vec<Damage> {
        let mut said = BTreeSet::new();
        std::mem::take(&mut self.folder.damage).into_iter().filter(|damage| said.insert(damage.to_string())).collect()
    }

    /// Returns the rows of these runs, in the given order.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub fn run_rows(&mut self, runs: &[RunId]) -> Result<Vec<RunRow>, StoreError> {
        self.prove(runs);
        runs.iter().map(|&run| self.known(run).map(Known::into_row)).collect()
    }

    /// Returns the plan of an experiment and profile; `None` if there is none.
    pub fn plan(&mut self, experiment: &str, profile: &str) -> Option<PlanRecord> {
        self.folder.plan(experiment, profile)
    }

    /// Returns every run that has a folder.
    pub fn runs(&mut self) -> Vec<RunId> {
        self.folder.runs()
    }

    /// Returns every plan in the folder.
    pub fn plans(&mut self) -> Vec<PlanRecord> {
        self.folder.plans()
    }

    /// Returns all rows that a report of an experiment and profile is made from; `None` if no such plan is recorded.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub async fn experiment_rows(
        &mut self,
        experiment: &str,
        profile: &str,
    ) -> Result<Option<ExperimentRows>, StoreError> {
        let Some(mut rows) = self.experiment_rows_of(experiment, profile, |_| true).await? else { return Ok(None) };
        let runs: Vec<RunId> = rows.runs.iter().map(|row| row.run).collect();
        rows.predictions = self.predictions_of(&runs).await?;
        Ok(Some(rows))
    }

    /// Like [`Self::experiment_rows`], but only with values of the `wanted` metrics, and without predictions. This is
    /// less work.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub async fn experiment_rows_of(
        &mut self,
        experiment: &str,
        profile: &str,
        wanted: impl Fn(Metric) -> bool + Sync,
    ) -> Result<Option<ExperimentRows>, StoreError> {
        let Some(plan) = self.plan(experiment, profile) else { return Ok(None) };
        let runs: Vec<RunId> = plan.runs.iter().map(|planned| planned.run).collect();
        let wants_throughput = wanted(Metric::Throughput);
        let (runs, measurements) = self.rows_of(&runs, wanted).await?;
        let throughput = if wants_throughput { self.throughput(&plan) } else { None };
        let mut rows = ExperimentRows { plan, runs, measurements, throughput, predictions: Vec::new() };
        rows.share_throughput();
        Ok(Some(rows))
    }

    /// Returns the newest measurement of throughput that covers all networks of a plan, if there is one.
    pub fn throughput(&mut self, plan: &PlanRecord) -> Option<ThroughputRecord> {
        self.folder.throughput(plan)
    }

    /// Returns the rows of these runs and their values of the `wanted` metrics, in the given order.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub async fn rows_of(
        &mut self,
        runs: &[RunId],
        wanted: impl Fn(Metric) -> bool + Sync,
    ) -> Result<(Vec<RunRow>, Vec<MeasurementRow>), StoreError> {
        self.prove(runs);
        let known = runs.iter().map(|&run| self.known(run)).collect::<Result<Vec<Known>, _>>()?;
        let packed = self.packed_values(&known).await;
        let cached = &self.cached;
        let unpack = |known: &Known| match known {
            Known::Read(_) => None,
            Known::Cached { number, row } => {
                packed::unpack(packed.get(number)?, &cached.get(&row.run)?.digests.values, &wanted)
            }
        };
        let unpacked: Vec<Option<Vec<Measurement>>> = known.par_iter().map(unpack).collect();
        let (mut rows, mut measurements) = (Vec::new(), Vec::new());
        for (known, values) in known.into_iter().zip(unpacked) {
            let (row, values) = match (known, values) {
                (Known::Read(state), _) => state.into_row_and_values(),
                (Known::Cached { row, .. }, Some(values)) => (row, values),
                (Known::Cached { row, .. }, None) => {
                    self.distrust("the values of a run do not match their digest");
                    self.folder.run_state(row.run)?.into_row_and_values()
                }
            };
            let values = values.into_iter().filter(|value| wanted(value.metric));
            measurements.extend(values.map(|measurement| MeasurementRow { run: row.run, measurement }));
            rows.push(row);
        }
        Ok((rows, measurements))
    }

    /// Returns what these runs predicted, in the given order.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub async fn predictions_of(&mut self, runs: &[RunId]) -> Result<Vec<PredictionsRow>, StoreError> {
        self.prove(runs);
        let known = runs.iter().map(|&run| self.known(run)).collect::<Result<Vec<Known>, _>>()?;
        let stored = self.stored_predictions(&known).await;
        let mut rows = Vec::new();
        for known in known {
            let (run, predictions) = match known {
                Known::Read(state) => (state.row.run, state.predictions),
                Known::Cached { number, row } => {
                    let expected = self.cached.get(&row.run).map_or("", |cached| &cached.digests.predictions);
                    match parsed_predictions(stored.get(&number), expected) {
                        Some(predictions) => (row.run, predictions),
                        None => {
                            self.distrust("the predictions of a run do not match their digest");
                            (row.run, self.folder.run_state(row.run)?.predictions)
                        }
                    }
                }
            };
            rows.extend(predictions.into_iter().map(|predictions| PredictionsRow { run, predictions }));
        }
        Ok(rows)
    }

    /// Returns a digest of these runs: while it is the same, their rows and values are the same. `None` unless the
    /// index is up to date for all of them.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub fn digest(&mut self, runs: &[RunId]) -> Result<Option<String>, StoreError> {
        self.prove(runs);
        let known = runs.iter().map(|&run| self.known(run)).collect::<Result<Vec<Known>, _>>()?;
        let mut hasher = blake3::Hasher::new();
        for known in &known {
            let Known::Cached { row, .. } = known else { return Ok(None) };
            let Some(cached) = self.cached.get(&row.run) else { return Ok(None) };
            hasher.update(cached.digest.as_bytes());
        }
        Ok(Some(hasher.finalize().to_hex().to_string()))
    }

    /// Returns every experiment and profile, with the number of runs in each status.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub fn experiments(&mut self) -> Result<Vec<ExperimentCounts>, StoreError> {
        let mut experiments = Vec::new();
        for PlanRecord { experiment, profile, runs, .. } in self.folder.plans() {
            let mut counts: BTreeMap<Status, u32> = BTreeMap::new();
            let runs: Vec<RunId> = runs.iter().map(|planned| planned.run).collect();
            for row in self.run_rows(&runs)? {
                *counts.entry(row.status).or_default() += 1;
            }
            experiments.push(ExperimentCounts { experiment, profile, counts });
        }
        Ok(experiments)
    }

    /// Returns the runs with an id that starts with `prefix`, sorted. The case of letters does not matter.
    pub fn find_runs(&mut self, prefix: &str) -> Vec<RunId> {
        let planned = self.folder.plans().into_iter().flat_map(|plan| plan.runs).map(|planned| planned.run);
        let mut runs: Vec<RunId> = planned.chain(self.folder.runs()).filter(|run| run.starts_with(prefix)).collect();
        runs.sort();
        runs.dedup();
        runs
    }

    /// Returns everything known about one run.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub fn run(&mut self, run: RunId) -> Result<RunHistory, StoreError> {
        let row = self.known(run)?.into_row();
        let state = self.folder.run_state(run)?;
        Ok(RunHistory {
            row,
            attempts: state.attempts,
            measurements: state.values.into_iter().map(|(value, _)| value).collect(),
            predictions: state.predictions,
        })
    }

    /// Returns the state of a run, read from its journals.
    pub(crate) fn state(&mut self, run: RunId) -> Result<RunState, StoreError> {
        self.folder.run_state(run)
    }

    /// Returns the layout of the results folder.
    pub(crate) fn layout(&self) -> &ResultsLayout {
        &self.folder.layout
    }

    /// Closes the index. A writer that closes it afterwards can then leave a single file.
    ///
    /// # Errors
    /// When `SQLite` reports an error.
    pub async fn close(self) -> Result<(), StoreError> {
        match self.index {
            Some(index) => index.close().await.map_err(fault(&self.folder.layout.database(), "closing the index")),
            None => Ok(()),
        }
    }

    /// Compares the files of unproven runs with their index rows, all at once.
    fn prove(&mut self, runs: &[RunId]) {
        let is_open =
            |run: &&RunId| !self.proven.contains(run) && self.cached.get(run).is_some_and(|known| known.is_intact);
        let open: Vec<RunId> = runs.iter().filter(is_open).copied().collect();
        let stamps = self.folder.stamps(&open);
        let proven = open.into_iter().zip(stamps).filter(|(run, stamp)| self.cached[run].stamp == *stamp);
        self.proven.extend(proven.map(|(run, _)| run));
    }

    /// Returns what is known about a run: from the index while the run's files are unchanged, otherwise from these
    /// files.
    fn known(&mut self, run: RunId) -> Result<Known, StoreError> {
        let Some(cached) = self.cached.get(&run) else { return self.folder.run_state(run).map(Known::Read) };
        if self.proven.contains(&run) || cached.is_intact && cached.stamp == self.folder.stamp(run) {
            self.proven.insert(run);
            return Ok(Known::Cached { number: cached.number, row: cached.row.clone() });
        }
        let (was_attempted, is_intact) = (cached.row.attempts > 0, cached.is_intact || cached.stamp.is_empty());
        if !is_intact {
            self.distrust("the row of a run does not match its digest");
        }
        let mut state = self.folder.run_state(run)?;
        if was_attempted && state.attempts.is_empty() {
            state.row.status = Status::Incomplete;
            state.row.message = Some("its folder was deleted".to_owned());
        }
        Ok(Known::Read(state))
    }

    /// Returns the packed values of runs from the index, by number; empty if they cannot be read.
    async fn packed_values(&mut self, known: &[Known]) -> BTreeMap<i64, String> {
        let Some(index) = &mut self.index else { return BTreeMap::new() };
        let found = index::packed_values(index, &numbers(known)).await;
        self.unless_damaged(found)
    }

    /// Returns the stored predictions of runs from the index, by number; empty if they cannot be read.
    async fn stored_predictions(&mut self, known: &[Known]) -> BTreeMap<i64, String> {
        let Some(index) = &mut self.index else { return BTreeMap::new() };
        let found = index::predictions(index, &numbers(known)).await;
        self.unless_damaged(found)
    }

    fn unless_damaged(&mut self, found: sqlx::Result<BTreeMap<i64, String>>) -> BTreeMap<i64, String> {
        found.unwrap_or_else(|fault| {
            self.distrust(&fault.to_string());
            BTreeMap::new()
        })
    }

    /// Reports that the index is damaged, only once.
    fn distrust(&mut self, why: &str) {
        let path = self.folder.layout.database();
        if !self.folder.damage.iter().any(|damage| matches!(damage, Damage::Index { .. })) {
            self.folder.damage.push(Damage::Index { path, why: why.to_owned() });
        }
    }
}

/// What is known about a run, from the index or read from its folder.
enum Known {
    Cached { number: i64, row: RunRow },
    Read(RunState),
}

impl Known {
    fn into_row(self) -> RunRow {
        match self {
            Self::Cached { row, .. } => row,
            Self::Read(state) => state.row,
        }
    }
}

/// Returns the numbers of the runs that are known from the index.
fn numbers(known: &[Known]) -> Vec<i64> {
    let number = |known: &Known| match known {
        Known::Cached { number, .. } => Some(*number),
        Known::Read(_) => None,
    };
    known.iter().filter_map(number).collect()
}

/// Returns the predictions in a text of the index; `None` if it is not the one with the expected digest. Without
/// predictions, there is neither a text nor a digest.
fn parsed_predictions(text: Option<&String>, expected: &str) -> Option<Vec<Predictions>> {
    match text {
        None => expected.is_empty().then(Vec::new),
        Some(text) => serde_json::from_str(text).ok().filter(|_| packed::digest(text) == expected),
    }
}

async fn connect(layout: &ResultsLayout) -> sqlx::Result<(SqliteConnection, BTreeMap<RunId, CachedRun>)> {
    let options = SqliteConnectOptions::new().filename(layout.database()).read_only(true);
    let mut connection = options.connect().await?;
    let cached = index::cached_runs(&mut connection).await?;
    Ok((connection, cached))
}
