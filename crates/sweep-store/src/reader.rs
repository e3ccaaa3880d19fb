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
    Epochs, ExperimentRows, Form, Measurement, MeasurementRow, Metric, PlanRecord, Predictions, PredictionsRow,
    ResultsLayout, RunId, RunRow, SeriesKey, SharedThroughput, Status, ThroughputRecord,
};

use crate::fold::RunState;
use crate::index::{self, CachedRun};
use crate::packed;
use crate::results_folder::FolderReader;
use crate::rows::{ExperimentCounts, RunHistory};
use crate::store::{Look, Usable, fault, usable};
use crate::texts::Texts;
use crate::{Damage, StoreError};

/// Number of runs whose values are unpacked together.
const UNPACKED_TOGETHER: usize = 256;

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
        let all = self.experiment_rows_of(experiment, profile, |_| Epochs::All).await?;
        let Some(mut rows) = all else { return Ok(None) };
        let runs: Vec<RunId> = rows.runs.iter().map(|row| row.run).collect();
        rows.predictions = self.predictions_of(&runs).await?;
        Ok(Some(rows))
    }

    /// Like [`Self::experiment_rows`], but only with the `wanted` values, and without predictions. This is less work.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub async fn experiment_rows_of(
        &mut self,
        experiment: &str,
        profile: &str,
        wanted: impl Fn(SeriesKey) -> Epochs + Sync,
    ) -> Result<Option<ExperimentRows>, StoreError> {
        let Some(plan) = self.plan(experiment, profile) else { return Ok(None) };
        let runs: Vec<RunId> = plan.runs.iter().map(|planned| planned.run).collect();
        let wants = |form| wanted((Metric::Throughput, None, Some(form))) != Epochs::None;
        let wants_throughput = [Form::Training, Form::Deployed].into_iter().any(wants);
        let throughput = if wants_throughput { self.throughput(&plan) } else { None };
        let shared = SharedThroughput::of(&plan, throughput.as_ref());
        let known = self.all_known(&runs)?;
        let packed = self.packed_values(&known).await;
        let (runs, measurements) = self.unpacked((&known, &packed), wanted, &shared)?;
        Ok(Some(ExperimentRows { plan, runs, measurements, part: None, throughput, predictions: Vec::new() }))
    }

    /// Like [`Self::experiment_rows`], but with part of the values only: `choose` sees the rows with the last value of
    /// each series, and returns which values are wanted.
    ///
    /// # Errors
    /// When a journal was written by a newer version, or when `choose` fails.
    pub async fn chosen_rows<W: Fn(SeriesKey) -> Epochs + Sync, E: From<StoreError>>(
        &mut self,
        plan: PlanRecord,
        choose: impl FnOnce(&ExperimentRows) -> Result<W, E>,
    ) -> Result<ExperimentRows, E> {
        let ids: Vec<RunId> = plan.runs.iter().map(|planned| planned.run).collect();
        let known = self.all_known(&ids)?;
        let packed = self.packed_values(&known).await;
        let throughput = self.throughput(&plan);
        let shared = SharedThroughput::of(&plan, throughput.as_ref());
        let (runs, measurements) = self.unpacked((&known, &packed), |_| Epochs::Last, &shared)?;
        let mut rows = ExperimentRows { plan, runs, measurements, part: None, throughput, predictions: Vec::new() };
        let wanted = choose(&rows)?;
        rows.measurements = self.unpacked((&known, &packed), wanted, &shared)?.1;
        drop(packed);
        rows.predictions = self.predictions_of(&ids).await?;
        Ok(rows)
    }

    /// Returns the newest measurement of throughput that covers all networks of a plan, if there is one.
    pub fn throughput(&mut self, plan: &PlanRecord) -> Option<ThroughputRecord> {
        self.folder.throughput(plan)
    }

    /// Returns the number of values of these runs.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub fn value_count(&mut self, runs: &[RunId]) -> Result<u64, StoreError> {
        self.prove(runs);
        let mut count = 0;
        for &run in runs {
            count += match self.known(run)? {
                Known::Cached { row, .. } => self.cached.get(&row.run).map_or(0, |cached| cached.stored.value_count),
                Known::Read(state) => state.values.len() as u64,
            };
        }
        Ok(count)
    }

    /// Returns the rows of these runs and their `wanted` values, in the given order.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub async fn rows_of(
        &mut self,
        runs: &[RunId],
        wanted: impl Fn(SeriesKey) -> Epochs + Sync,
    ) -> Result<(Vec<RunRow>, Vec<MeasurementRow>), StoreError> {
        let known = self.all_known(runs)?;
        let packed = self.packed_values(&known).await;
        self.unpacked((&known, &packed), wanted, &SharedThroughput::default())
    }

    /// Returns the rows of known runs and their `wanted` values with the shared throughput, in the given order.
    fn unpacked(
        &mut self,
        (known, packed): (&[Known], &Texts),
        wanted: impl Fn(SeriesKey) -> Epochs + Sync,
        shared: &SharedThroughput,
    ) -> Result<(Vec<RunRow>, Vec<MeasurementRow>), StoreError> {
        let (mut rows, mut measurements) = (Vec::with_capacity(known.len()), Vec::new());
        // In parts, so that few values are in memory twice.
        for part in known.chunks(UNPACKED_TOGETHER) {
            let cached = &self.cached;
            let unpack = |known: &Known| match known {
                Known::Read(state) => Some(state.wanted_values(&wanted)),
                Known::Cached { number, row } => {
                    packed::unpack(packed.get(*number)?, &cached.get(&row.run)?.stored.values, &wanted)
                }
            };
            let unpacked: Vec<Option<Vec<Measurement>>> = part.par_iter().map(unpack).collect();
            for (known, values) in part.iter().zip(unpacked) {
                let mut row = known.row().clone();
                let mut values = match values {
                    Some(values) => values,
                    None => {
                        self.distrust("the values of a run do not match their digest");
                        let state = self.folder.run_state(row.run)?;
                        let values = state.wanted_values(&wanted);
                        row = state.row;
                        values
                    }
                };
                shared.give(row.run, row.status, &mut values);
                measurements.extend(values.into_iter().map(|measurement| MeasurementRow { run: row.run, measurement }));
                rows.push(row);
            }
            // Runs of a sweep have about the same number of values. Moving millions to a larger place takes long.
            if rows.len() == part.len() {
                measurements.reserve(measurements.len() * known.len() / part.len() * 17 / 16);
            }
        }
        Ok((rows, measurements))
    }

    /// Returns what is known about each of these runs.
    fn all_known(&mut self, runs: &[RunId]) -> Result<Vec<Known>, StoreError> {
        self.prove(runs);
        runs.iter().map(|&run| self.known(run)).collect()
    }

    /// Returns what these runs predicted, in the given order.
    ///
    /// # Errors
    /// When a journal was written by a newer version.
    pub async fn predictions_of(&mut self, runs: &[RunId]) -> Result<Vec<PredictionsRow>, StoreError> {
        let known = self.all_known(runs)?;
        let stored = self.stored_predictions(&known).await;
        let mut rows = Vec::new();
        for known in known {
            let (run, predictions) = match known {
                Known::Read(state) => (state.row.run, state.predictions),
                Known::Cached { number, row } => {
                    let expected = self.cached.get(&row.run).map_or("", |cached| &cached.stored.predictions);
                    match parsed_predictions(stored.get(number), expected) {
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
        let known = self.all_known(runs)?;
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
    async fn packed_values(&mut self, known: &[Known]) -> Texts {
        let Some(index) = &mut self.index else { return Texts::default() };
        let found = index::packed_values(index, &numbers(known)).await;
        self.unless_damaged(found)
    }

    /// Returns the stored predictions of runs from the index, by number; empty if they cannot be read.
    async fn stored_predictions(&mut self, known: &[Known]) -> Texts {
        let Some(index) = &mut self.index else { return Texts::default() };
        let found = index::predictions(index, &numbers(known)).await;
        self.unless_damaged(found)
    }

    fn unless_damaged(&mut self, found: sqlx::Result<Texts>) -> Texts {
        found.unwrap_or_else(|fault| {
            self.distrust(&fault.to_string());
            Texts::default()
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
    fn row(&self) -> &RunRow {
        match self {
            Self::Cached { row, .. } => row,
            Self::Read(state) => &state.row,
        }
    }

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
fn parsed_predictions(text: Option<&str>, expected: &str) -> Option<Vec<Predictions>> {
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
