//! What a results folder says, for everyone who only asks.
//!
//! Plans and journals answer; the index spares reading those of them whose files are as they were when it read them. So a reader needs
//! no index, is never behind a running sweep, and is not misled by an index that is damaged, old or on a disk that cannot be written.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use sweep_protocol::{
    ExperimentRows, Measurement, MeasurementRow, Metric, PlanRecord, ResultsLayout, RunId, RunRow, Status,
};

use crate::fold::RunState;
use crate::index::{self, CachedRun};
use crate::packed;
use crate::results_folder::FolderReader;
use crate::rows::{AttemptRow, ExperimentCounts};
use crate::store::{Look, Usable, fault, usable};
use crate::{Damage, StoreError};

/// A results folder, open for reading.
#[derive(Debug)]
pub struct Reader {
    folder: FolderReader,
    index: Option<SqliteConnection>,
    cached: BTreeMap<RunId, CachedRun>,
    /// Runs whose row agrees with their files: looked at once, a reader answers as of that moment.
    proven: BTreeSet<RunId>,
}

impl Reader {
    /// Opens a results folder; it need not have an index, or exist.
    ///
    /// # Errors
    /// When the index is of a newer version or another program.
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
            // A folder that cannot be written has no place for what SQLite keeps beside the file.
            Err(StoreError::Sql { .. }) => return Ok(reader),
            Err(fault) => return Err(fault),
        };
        reader.folder.damage.push(Damage::Index { path, why });
        Ok(reader)
    }

    /// What was found damaged since this was last asked.
    pub fn take_damage(&mut self) -> Vec<Damage> {
        let mut said = BTreeSet::new();
        std::mem::take(&mut self.folder.damage).into_iter().filter(|damage| said.insert(damage.to_string())).collect()
    }

    /// Where these runs stand, in the order in which they are asked for.
    ///
    /// # Errors
    /// When a journal is of a newer version.
    pub fn run_rows(&mut self, runs: &[RunId]) -> Result<Vec<RunRow>, StoreError> {
        self.prove(runs);
        runs.iter().map(|&run| self.known(run).map(Known::into_row)).collect()
    }

    /// The plan of an experiment and profile; nothing when none was started.
    pub fn plan(&mut self, experiment: &str, profile: &str) -> Option<PlanRecord> {
        self.folder.plan(experiment, profile)
    }

    /// Every plan of the folder.
    pub fn plans(&mut self) -> Vec<PlanRecord> {
        self.folder.plans()
    }

    /// Everything that a report of an experiment and profile is made from; nothing when no such plan is recorded.
    ///
    /// # Errors
    /// When a journal is of a newer version.
    pub async fn experiment_rows(
        &mut self,
        experiment: &str,
        profile: &str,
    ) -> Result<Option<ExperimentRows>, StoreError> {
        self.experiment_rows_of(experiment, profile, |_| true).await
    }

    /// The same with the values of the `wanted` metrics alone, which is less work than all of them.
    ///
    /// # Errors
    /// When a journal is of a newer version.
    pub async fn experiment_rows_of(
        &mut self,
        experiment: &str,
        profile: &str,
        wanted: impl Fn(Metric) -> bool + Sync,
    ) -> Result<Option<ExperimentRows>, StoreError> {
        let Some(plan) = self.plan(experiment, profile) else { return Ok(None) };
        let runs: Vec<RunId> = plan.runs.iter().map(|planned| planned.run).collect();
        let (runs, measurements) = self.rows_of(&runs, wanted).await?;
        Ok(Some(ExperimentRows { plan, runs, measurements }))
    }

    /// Where these runs stand, and their values of the `wanted` metrics, in the order in which they are asked for.
    ///
    /// # Errors
    /// When a journal is of a newer version.
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
                packed::unpack(packed.get(number)?, &cached.get(&row.run)?.values_digest, &wanted)
            }
        };
        let unpacked: Vec<Option<Vec<Measurement>>> = known.par_iter().map(unpack).collect();
        let (mut rows, mut measurements) = (Vec::new(), Vec::new());
        for (known, values) in known.into_iter().zip(unpacked) {
            let (row, values) = match (known, values) {
                (Known::Read(state), _) => state.into_row_and_values(),
                (Known::Cached { row, .. }, Some(values)) => (row, values),
                (Known::Cached { row, .. }, None) => {
                    self.distrust("a run's values are not what was written");
                    self.folder.run_state(row.run)?.into_row_and_values()
                }
            };
            let values = values.into_iter().filter(|value| wanted(value.metric));
            measurements.extend(values.map(|measurement| MeasurementRow { run: row.run, measurement }));
            rows.push(row);
        }
        Ok((rows, measurements))
    }

    /// A digest of all that is known of these runs: while it is the same, so are their rows and values. Nothing unless the index
    /// knows all of it.
    ///
    /// # Errors
    /// When a journal is of a newer version.
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

    /// Every experiment and profile, with where its runs stand.
    ///
    /// # Errors
    /// When a journal is of a newer version.
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

    /// The runs whose id starts with `prefix`, as a person types it, in order.
    pub fn find_runs(&mut self, prefix: &str) -> Vec<RunId> {
        let planned = self.folder.plans().into_iter().flat_map(|plan| plan.runs).map(|planned| planned.run);
        let mut runs: Vec<RunId> = planned.chain(self.folder.runs()).filter(|run| run.starts_with(prefix)).collect();
        runs.sort();
        runs.dedup();
        runs
    }

    /// Everything that is known of one run: where it stands, its attempts in order, and its values.
    ///
    /// # Errors
    /// When a journal is of a newer version.
    pub fn run(&mut self, run: RunId) -> Result<(RunRow, Vec<AttemptRow>, Vec<Measurement>), StoreError> {
        let row = self.known(run)?.into_row();
        let state = self.folder.run_state(run)?;
        Ok((row, state.attempts, state.values.into_iter().map(|(value, _)| value).collect()))
    }

    /// Closes the index, so that a writer that closes it next leaves one whole file.
    ///
    /// # Errors
    /// When `SQLite` refuses.
    pub async fn close(self) -> Result<(), StoreError> {
        match self.index {
            Some(index) => index.close().await.map_err(fault(&self.folder.layout.database(), "closing the index")),
            None => Ok(()),
        }
    }

    /// Looks at the files of runs that are not proven yet, all at once.
    fn prove(&mut self, runs: &[RunId]) {
        let is_open =
            |run: &&RunId| !self.proven.contains(run) && self.cached.get(run).is_some_and(|known| known.is_intact);
        let open: Vec<RunId> = runs.iter().filter(is_open).copied().collect();
        let stamps = self.folder.stamps(&open);
        let proven = open.into_iter().zip(stamps).filter(|(run, stamp)| self.cached[run].stamp == *stamp);
        self.proven.extend(proven.map(|(run, _)| run));
    }

    /// What is known of a run: from the index while the run's files are as it read them, otherwise from these files.
    fn known(&mut self, run: RunId) -> Result<Known, StoreError> {
        let Some(cached) = self.cached.get(&run) else { return self.folder.run_state(run).map(Known::Read) };
        if self.proven.contains(&run) || cached.is_intact && cached.stamp == self.folder.stamp(run) {
            self.proven.insert(run);
            return Ok(Known::Cached { number: cached.number, row: cached.row.clone() });
        }
        let (was_attempted, is_intact) = (cached.row.attempts > 0, cached.is_intact || cached.stamp.is_empty());
        if !is_intact {
            self.distrust("a run's row is not what was written");
        }
        let mut state = self.folder.run_state(run)?;
        if was_attempted && state.attempts.is_empty() {
            state.row.status = Status::Incomplete;
            state.row.message = Some("its folder was deleted".to_owned());
        }
        Ok(Known::Read(state))
    }

    /// The values that the index has of runs, by their numbers; none when it cannot be read.
    async fn packed_values(&mut self, known: &[Known]) -> BTreeMap<i64, String> {
        let number = |known: &Known| match known {
            Known::Cached { number, .. } => Some(*number),
            Known::Read(_) => None,
        };
        let numbers: Vec<i64> = known.iter().filter_map(number).collect();
        let Some(index) = &mut self.index else { return BTreeMap::new() };
        match index::packed_values(index, &numbers).await {
            Ok(values) => values,
            Err(fault) => {
                self.distrust(&fault.to_string());
                BTreeMap::new()
            }
        }
    }

    /// Says once that the index is damaged.
    fn distrust(&mut self, why: &str) {
        let path = self.folder.layout.database();
        if !self.folder.damage.iter().any(|damage| matches!(damage, Damage::Index { .. })) {
            self.folder.damage.push(Damage::Index { path, why: why.to_owned() });
        }
    }
}

/// What is known of a run.
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

async fn connect(layout: &ResultsLayout) -> sqlx::Result<(SqliteConnection, BTreeMap<RunId, CachedRun>)> {
    let options = SqliteConnectOptions::new().filename(layout.database()).read_only(true);
    let mut connection = options.connect().await?;
    let cached = index::cached_runs(&mut connection).await?;
    Ok((connection, cached))
}
