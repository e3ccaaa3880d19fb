//! The index as one file: opened, written by the one writer, asked by many readers, made again.
//!
//! Knows when a file may be touched and which file a fault belongs to; the statements are in `index.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use sweep_protocol::{Event, ExperimentRows, JournalLine, PlanRecord, ResultsLayout, RunId, RunRow, SupervisorEvent};

use crate::folder::{FolderReader, beside};
use crate::index::{self, APPLICATION_ID, AttemptKey, SCHEMA_VERSION};
use crate::{AttemptRow, Damage, ExperimentCounts, StoreError};

/// The index of a results folder.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: SqliteConnection,
}

impl Store {
    /// Opens the index for writing; makes an empty one where there is none. Only the process that holds the results
    /// folder's lock may do this.
    ///
    /// # Errors
    /// When the file is of another program or version (it is then not touched), or cannot be opened or created.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            Self::peek(path).await?;
        }
        let options = SqliteConnectOptions::new().create_if_missing(true).synchronous(SqliteSynchronous::Normal);
        let mut store = Self::connect(path, options).await?;
        let created = match index::signature(&mut store.connection).await {
            Ok(signature) if signature.is_empty => index::create(&mut store.connection).await,
            other => other.map(drop),
        };
        created.map_err(fault(path, "creating the index"))?;
        Ok(store)
    }

    /// Opens the index for reading, beside a writer or not.
    ///
    /// # Errors
    /// When there is none, or it is of another program or version, or cannot be opened.
    pub async fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        let (store, is_empty) = Self::peek(path).await?;
        if is_empty { Err(StoreError::Missing { path: path.to_owned() }) } else { Ok(store) }
    }

    /// Opens an existing file without touching it and says whether it is still empty.
    async fn peek(path: &Path) -> Result<(Self, bool), StoreError> {
        let mut store = Self::connect(path, SqliteConnectOptions::new().read_only(true)).await?;
        let signature =
            index::signature(&mut store.connection).await.map_err(fault(path, "reading the index's version"))?;
        if !signature.is_empty && signature.application_id != APPLICATION_ID {
            let (found, expected) = (signature.application_id, APPLICATION_ID);
            return Err(StoreError::Foreign { path: path.to_owned(), found, expected });
        }
        if !signature.is_empty && signature.schema_version != SCHEMA_VERSION {
            let (found, expected) = (signature.schema_version, SCHEMA_VERSION);
            return Err(StoreError::Version { path: path.to_owned(), found, expected });
        }
        Ok((store, signature.is_empty))
    }

    async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let connection = options.filename(path).connect().await.map_err(fault(path, "opening the index"))?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Replaces what is known of the plan's experiment and profile. `configs` has the canonical configuration of every
    /// run of the plan.
    ///
    /// # Errors
    /// When the index cannot be written; it is then as before.
    pub async fn record_plan(
        &mut self,
        plan: &PlanRecord,
        configs: &BTreeMap<RunId, String>,
    ) -> Result<(), StoreError> {
        index::record_plan(&mut self.connection, plan, configs).await.map_err(fault(&self.path, "recording a plan"))
    }

    /// Applies lines of an attempt's journal, in their order; those that were applied before change nothing.
    ///
    /// # Errors
    /// When the run is not known or the index cannot be written; it is then as before.
    pub async fn apply_journal(
        &mut self,
        run: RunId,
        attempt: u32,
        lines: &[JournalLine<Event>],
    ) -> Result<(), StoreError> {
        let key = AttemptKey { run, attempt };
        index::apply_journal(&mut self.connection, key, lines).await.map_err(fault(&self.path, "applying a journal"))
    }

    /// Applies lines of an attempt's supervisor, in their order; those that were applied before change nothing.
    ///
    /// # Errors
    /// When the run is not known or the index cannot be written; it is then as before.
    pub async fn apply_supervisor(
        &mut self,
        run: RunId,
        attempt: u32,
        lines: &[JournalLine<SupervisorEvent>],
    ) -> Result<(), StoreError> {
        let key = AttemptKey { run, attempt };
        index::apply_supervisor(&mut self.connection, key, lines)
            .await
            .map_err(fault(&self.path, "applying a supervisor's journal"))
    }

    /// Applies what the folders of these runs say and the index does not know yet: after a scheduler died, its last
    /// lines. Returns what was damaged.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn catch_up(&mut self, layout: &ResultsLayout, runs: &[RunId]) -> Result<Vec<Damage>, StoreError> {
        let mut folder = FolderReader { layout, damage: Vec::new() };
        for &run in runs {
            if let Some(file) = folder.run_file(run) {
                index::record_run(&mut self.connection, run, file.seed, Some(&file.config))
                    .await
                    .map_err(fault(&self.path, "recording a run"))?;
            }
            if !index::knows(&mut self.connection, run).await.map_err(fault(&self.path, "looking for a run"))? {
                continue;
            }
            for lines in folder.attempts(&layout.run(run)) {
                self.apply_supervisor(run, lines.attempt, &lines.supervisor).await?;
                self.apply_journal(run, lines.attempt, &lines.journal).await?;
            }
        }
        Ok(folder.damage)
    }

    /// Makes the index of a results folder again from its plans, configurations and journals, and puts it in the place
    /// of the old one, whatever that is. The caller holds the results folder's lock. Returns what was damaged.
    ///
    /// # Errors
    /// When the new index cannot be written; the old one is then as before.
    pub async fn rebuild(layout: &ResultsLayout) -> Result<Vec<Damage>, StoreError> {
        let path = layout.database();
        let fresh = beside(&path, "-rebuild");
        for leftover in ["", "-wal", "-shm"] {
            remove(&beside(&fresh, leftover))?;
        }
        let mut store = Self::open(&fresh).await?;
        let mut folder = FolderReader { layout, damage: Vec::new() };
        for plan in folder.plans() {
            store.record_plan(&plan, &BTreeMap::new()).await?;
        }
        let runs = folder.runs();
        folder.damage.extend(store.catch_up(layout, &runs).await?);
        index::forget_orphans(&mut store.connection).await.map_err(fault(&fresh, "forgetting runs"))?;
        store.close().await?;
        // The old write-ahead log belongs to the old file alone.
        remove(&beside(&path, "-wal"))?;
        remove(&beside(&path, "-shm"))?;
        fs::rename(&fresh, &path).map_err(|source| StoreError::Io { path, doing: "replacing the index", source })?;
        Ok(folder.damage)
    }

    /// Where those of the runs stand that are known, in the order in which they are asked for.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn run_rows(&mut self, runs: &[RunId]) -> Result<Vec<RunRow>, StoreError> {
        index::run_rows(&mut self.connection, runs).await.map_err(fault(&self.path, "reading runs"))
    }

    /// Everything that a report of an experiment and profile is made from, as of one moment; nothing when no such
    /// plan is recorded.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn experiment_rows(
        &mut self,
        experiment: &str,
        profile: &str,
    ) -> Result<Option<ExperimentRows>, StoreError> {
        index::experiment_rows(&mut self.connection, experiment, profile)
            .await
            .map_err(fault(&self.path, "reading an experiment"))
    }

    /// Every experiment and profile, with where its runs stand.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn experiments(&mut self) -> Result<Vec<ExperimentCounts>, StoreError> {
        index::experiments(&mut self.connection).await.map_err(fault(&self.path, "listing experiments"))
    }

    /// The runs whose id starts with `prefix`, as a person types it.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn find_runs(&mut self, prefix: &str) -> Result<Vec<RunId>, StoreError> {
        index::find_runs(&mut self.connection, &prefix.to_ascii_lowercase())
            .await
            .map_err(fault(&self.path, "looking for runs"))
    }

    /// The attempts of a run, in order.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn attempts(&mut self, run: RunId) -> Result<Vec<AttemptRow>, StoreError> {
        index::attempts(&mut self.connection, run).await.map_err(fault(&self.path, "reading attempts"))
    }

    /// Closes the file; without this it is closed some time after the store is dropped.
    ///
    /// # Errors
    /// When `SQLite` refuses.
    pub async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await.map_err(fault(&self.path, "closing the index"))
    }
}

fn fault(path: &Path, doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Sql { path, doing, source }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::Io { path: path.to_owned(), doing: "removing a file", source })
        }
        _ => Ok(()),
    }
}
