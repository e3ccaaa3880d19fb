//! Write access to the index, for the one process that holds the results folder's lock.
//!
//! This module knows when a file may be changed and which file an error belongs to. The statements are in `index.rs`.
//! The state of a run is derived in `fold.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use sweep_protocol::{Event, JournalLine, PlanRecord, ResultsLayout, RunId, Status, SupervisorEvent, sync_folder};

use crate::changed_runs::{ChangedRun, ChangedRuns, Known, TOGETHER};
use crate::index::{self, APPLICATION_ID, AttemptKey, CachedRun, SCHEMA_VERSION};
use crate::packed;
use crate::results_folder::FolderReader;
use crate::{Damage, StoreError};

/// Longest wait for another program that has locked the index, such as a `sqlite3` shell in a transaction.
const PATIENCE: Duration = Duration::from_secs(600);
/// Suffixes of files that SQLite may keep next to a database file.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The index of a results folder, open for writing.
#[derive(Debug)]
pub struct Store {
    layout: ResultsLayout,
    path: PathBuf,
    connection: SqliteConnection,
}

impl Store {
    /// Opens the index for writing. Makes an index that is missing, damaged or of an older version again from the
    /// journals, and returns what was damaged. Only the process that holds the results folder's lock may call this.
    ///
    /// # Errors
    /// When the file belongs to another program or a newer version (it is then not changed), or when it cannot be
    /// opened or created.
    pub async fn open(layout: &ResultsLayout) -> Result<(Self, Vec<Damage>), StoreError> {
        let path = layout.database();
        let mut damage = match usable(&path, Look::Structure).await? {
            Usable::Yes => Vec::new(),
            Usable::Missing => Self::rebuild(layout).await?,
            Usable::No(why) => {
                let mut damage = vec![Damage::Index { path: path.clone(), why }];
                damage.extend(Self::rebuild(layout).await?);
                damage
            }
        };
        let mut store = Self::at(layout, &path).await?;
        let known = index::cached_runs(&mut store.connection).await.map_err(fault(&path, "reading runs"));
        if let Err(StoreError::Sql { source, .. }) = known {
            damage.push(Damage::Index { path: path.clone(), why: source.to_string() });
            store.close().await?;
            damage.extend(Self::rebuild(layout).await?);
            store = Self::at(layout, &path).await?;
        }
        Ok((store, damage))
    }

    async fn at(layout: &ResultsLayout, path: &Path) -> Result<Self, StoreError> {
        Self::with(layout, path, SqliteConnectOptions::new().synchronous(SqliteSynchronous::Normal)).await
    }

    /// Creates a file that nobody else knows. Until it is whole, its content is of no use: nothing is written twice,
    /// and the caller syncs the file at the end.
    async fn unsynced_at(layout: &ResultsLayout, path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Off).synchronous(SqliteSynchronous::Off);
        Self::with(layout, path, options).await
    }

    async fn with(layout: &ResultsLayout, path: &Path, options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let options = options.filename(path).busy_timeout(PATIENCE);
        let connection = options.connect().await.map_err(fault(path, "opening the index"))?;
        Ok(Self { layout: layout.clone(), path: path.to_owned(), connection })
    }

    /// Replaces the recorded plan of an experiment and profile. `configs` holds the canonical configuration of every
    /// run of the plan.
    ///
    /// # Errors
    /// When the index cannot be written. It is then unchanged.
    pub async fn record_plan(
        &mut self,
        plan: &PlanRecord,
        configs: &BTreeMap<RunId, String>,
    ) -> Result<(), StoreError> {
        let record = async {
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            index::record_plan(&mut transaction, plan, configs).await?;
            index::forget_orphans(&mut transaction).await?;
            transaction.commit().await
        };
        record.await.map_err(fault(&self.path, "recording a plan"))
    }

    /// Records new events of an attempt, for display. The values that count are read from its folder once it is closed.
    ///
    /// # Errors
    /// When the run is not known or the index cannot be written. The index is then unchanged.
    pub async fn apply_journal(
        &mut self,
        run: RunId,
        attempt: u32,
        lines: &[JournalLine<Event>],
    ) -> Result<(), StoreError> {
        let number = self.number_of(run).await?;
        let apply = async {
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            index::show_events(&mut transaction, AttemptKey { run, attempt }, number, lines).await?;
            transaction.commit().await
        };
        apply.await.map_err(fault(&self.path, "applying a journal"))
    }

    /// Records new lines of an attempt's supervisor. With the closing line, the run is read from its folder. Returns
    /// the damage found there.
    ///
    /// # Errors
    /// When the run is not known or the index cannot be written. The index is then unchanged.
    pub async fn apply_supervisor(
        &mut self,
        run: RunId,
        attempt: u32,
        lines: &[JournalLine<SupervisorEvent>],
    ) -> Result<Vec<Damage>, StoreError> {
        self.number_of(run).await?;
        for line in lines {
            match &line.event {
                SupervisorEvent::Launched { .. } | SupervisorEvent::Submitted { .. } => {
                    let process = match &line.event {
                        SupervisorEvent::Launched { pid, slot, .. } => Some((*pid, *slot)),
                        _ => None,
                    };
                    index::show_launched(&mut self.connection, AttemptKey { run, attempt }, (process, line.at_ms))
                        .await
                        .map_err(fault(&self.path, "applying a supervisor's journal"))?;
                }
                SupervisorEvent::Closed { .. } => return self.refresh(&[run]).await,
            }
        }
        Ok(Vec::new())
    }

    async fn number_of(&mut self, run: RunId) -> Result<i64, StoreError> {
        let number =
            index::number_of(&mut self.connection, run).await.map_err(fault(&self.path, "looking for a run"))?;
        number.ok_or_else(|| StoreError::UnknownRun { path: self.path.clone(), run })
    }

    /// Returns the runs that a dead scheduler may have left unfinished: those with changed files since the index read
    /// them, and those that had an open attempt then.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn unsettled(&mut self) -> Result<Vec<RunId>, StoreError> {
        let mut folder = FolderReader::new(&self.layout);
        let cached = index::cached_runs(&mut self.connection).await.map_err(fault(&self.path, "reading runs"))?;
        let attempted = cached.values().filter(|known| known.row.attempts > 0).map(|known| known.row.run);
        let runs: BTreeSet<RunId> = folder.runs().into_iter().chain(attempted).collect();
        let runs: Vec<RunId> = runs.into_iter().collect();
        let stamps = folder.stamps(&runs);
        let numbers: Vec<i64> = cached.values().map(|known| known.number).collect();
        let values =
            index::packed_values(&mut self.connection, &numbers).await.map_err(fault(&self.path, "reading values"))?;
        let has_values = |known: &CachedRun| {
            values.get(known.number).is_some_and(|text| packed::digest(text) == known.stored.values)
        };
        let is_settled = |(run, stamp): &(RunId, String)| match cached.get(run) {
            Some(known) if known.row.attempts == 0 => stamp.is_empty(),
            Some(known) => {
                let is_current = known.is_intact && known.stamp == *stamp && has_values(known);
                is_current && known.row.status != Status::Running
            }
            None => stamp.is_empty(),
        };
        Ok(runs.into_iter().zip(stamps).filter(|run| !is_settled(run)).map(|(run, _)| run).collect())
    }

    /// Reads those of the given runs again that have changed files since the index read them: after a scheduler died,
    /// or after a folder was copied, deleted or damaged. Returns the damage found.
    ///
    /// # Errors
    /// When the index cannot be written, or a journal was written by a newer version.
    pub async fn refresh(&mut self, runs: &[RunId]) -> Result<Vec<Damage>, StoreError> {
        let path = self.path.clone();
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let known = self.known(runs).await.map_err(fault(&path, "reading runs"))?;
        let mut transaction =
            self.connection.begin_with("BEGIN IMMEDIATE").await.map_err(fault(&path, "writing the index"))?;
        let mut damage = Vec::new();
        let mut changed = ChangedRuns::read(&self.layout, runs, known);
        while let Some(part) = changed.next_part() {
            for run in part {
                damage.extend(record(&mut transaction, &path, run?).await?);
            }
        }
        transaction.commit().await.map_err(fault(&path, "writing the index"))?;
        Ok(damage)
    }

    /// Returns what the index knows of these runs.
    async fn known(&mut self, runs: &[RunId]) -> sqlx::Result<BTreeMap<RunId, Known>> {
        if runs.len() > TOGETHER {
            let all = index::cached_runs(&mut self.connection).await?;
            return Ok(all.iter().map(|(run, cached)| (*run, Known::of(cached))).collect());
        }
        let mut known = BTreeMap::new();
        for &run in runs {
            let cached = index::cached_run(&mut self.connection, run).await?;
            known.extend(cached.map(|(run, cached)| (run, Known::of(&cached))));
        }
        Ok(known)
    }

    /// Makes the index of a results folder again from its plans, configurations and journals. The new index replaces
    /// the old one, even a damaged one. The caller must hold the results folder's lock. Returns the damage found.
    ///
    /// # Errors
    /// When the new index cannot be written. The old one is then unchanged.
    pub async fn rebuild(layout: &ResultsLayout) -> Result<Vec<Damage>, StoreError> {
        let path = layout.database();
        // A database of another program or of a newer version is refused. A file that is not a database is moved aside.
        let former = usable(&path, Look::Header).await?;
        let fresh = beside(&path, "-rebuild");
        remove(&fresh)?;
        remove_companions(&fresh)?;
        let mut store = Self::unsynced_at(layout, &fresh).await?;
        index::create(&mut store.connection).await.map_err(fault(&fresh, "creating the index"))?;
        let mut folder = FolderReader::new(layout);
        let mut runs: BTreeSet<RunId> = folder.runs().into_iter().collect();
        for plan in folder.plans() {
            store.record_plan(&plan, &BTreeMap::new()).await?;
            runs.extend(plan.runs.iter().map(|planned| planned.run));
        }
        let runs: Vec<RunId> = runs.into_iter().collect();
        folder.damage.extend(store.refresh(&runs).await?);
        index::forget_orphans(&mut store.connection).await.map_err(fault(&fresh, "forgetting runs"))?;
        index::log_ahead(&mut store.connection).await.map_err(fault(&fresh, "finishing the index"))?;
        store.close().await?;
        if let Usable::No(_) = former
            && !is_own(&path)
        {
            let aside =
                (1_u32..).map(|number| beside(&path, &format!(".damaged-{number}"))).find(|aside| !aside.exists());
            let moved = fs::rename(&path, aside.unwrap_or_else(|| beside(&path, ".damaged")));
            moved.map_err(|source| StoreError::Io {
                path: path.clone(),
                doing: "moving the damaged file aside",
                source,
            })?;
        }
        // The old write-ahead log belongs to the old file: SQLite would apply it to the new one.
        remove_companions(&path)?;
        let replaced = fs::File::open(&fresh)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&fresh, &path))
            .and_then(|()| sync_folder(layout.root()));
        replaced.map_err(|source| StoreError::Io { path: path.clone(), doing: "replacing the index", source })?;
        remove_companions(&path)?;
        remove_companions(&fresh)?;
        match usable(&path, Look::Structure).await? {
            Usable::Yes => Ok(folder.damage),
            Usable::Missing => Err(StoreError::Unusable { path, why: "the file is missing".to_owned() }),
            Usable::No(why) => Err(StoreError::Unusable { path, why }),
        }
    }

    /// Closes the file. Without this call it is closed some time after the store is dropped.
    ///
    /// # Errors
    /// When `SQLite` reports an error.
    pub async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await.map_err(fault(&self.path, "closing the index"))
    }
}

/// Writes a run that was read from its folder. Returns the damage found there.
async fn record(
    connection: &mut SqliteConnection,
    path: &Path,
    changed: ChangedRun,
) -> Result<Vec<Damage>, StoreError> {
    let ChangedRun { run, file, state, stamp, mut file_damage, damage } = changed;
    if let Some(file) = file {
        index::record_run(connection, run, file.seed, Some(&file.config))
            .await
            .map_err(fault(path, "recording a run"))?;
    }
    let number = index::number_of(connection, run).await.map_err(fault(path, "looking for a run"))?;
    if let Some(number) = number {
        index::replace_run(connection, number, &state, &stamp).await.map_err(fault(path, "recording a run"))?;
        file_damage.extend(damage);
    }
    Ok(file_damage)
}

/// Whether this program can use a file as its index.
pub(crate) enum Usable {
    Yes,
    Missing,
    /// It cannot be used, for this reason. The index is then made again from the journals.
    No(String),
}

/// How thoroughly an index is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Only the owner and version. This is enough for a reader, since it checks each row that it uses.
    Header,
    /// Also the structure of every page, since the user may query any table.
    Structure,
}

/// Checks the index without changing it.
pub(crate) async fn usable(path: &Path, look: Look) -> Result<Usable, StoreError> {
    if !path.exists() {
        return Ok(Usable::Missing);
    }
    // Opening a pipe waits.
    if !path.is_file() {
        return Ok(Usable::No("it is not a regular file".to_owned()));
    }
    let found = async {
        let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
        let signature = index::signature(&mut connection).await?;
        let ours = signature.application_id == APPLICATION_ID && signature.schema_version == SCHEMA_VERSION;
        let is_wanted = ours && look == Look::Structure;
        let damage = if is_wanted { index::structural_damage(&mut connection).await? } else { None };
        connection.close().await?;
        Ok((signature, damage))
    };
    let (signature, damage) = match found.await {
        Ok(found) => found,
        Err(source) if is_damage(&source) => return Ok(Usable::No(source.to_string())),
        Err(source) => return Err(StoreError::Sql { path: path.to_owned(), doing: "opening the index", source }),
    };
    if signature.is_empty {
        return Ok(Usable::No("it is empty".to_owned()));
    }
    if signature.application_id != APPLICATION_ID {
        let (found, expected) = (signature.application_id, APPLICATION_ID);
        return Err(StoreError::Foreign { path: path.to_owned(), found, expected });
    }
    if signature.schema_version > SCHEMA_VERSION {
        let (found, expected) = (signature.schema_version, SCHEMA_VERSION);
        return Err(StoreError::Version { path: path.to_owned(), found, expected });
    }
    if signature.schema_version < SCHEMA_VERSION {
        return Ok(Usable::No(format!(
            "schema version {}, but this program writes version {SCHEMA_VERSION}",
            signature.schema_version
        )));
    }
    Ok(damage.map_or(Usable::Yes, Usable::No))
}

/// Whether an error of SQLite means that the file is damaged: `SQLITE_CORRUPT`, `SQLITE_NOTADB`, or a value of the
/// wrong type. All other errors are faults of the machine.
fn is_damage(fault: &sqlx::Error) -> bool {
    match fault {
        sqlx::Error::Database(fault) => {
            let code = fault.code().and_then(|code| code.parse::<i32>().ok());
            // The general error code 1 means a damaged schema only if the message says that something is missing or
            // malformed.
            let lacks_something = fault.message().starts_with("no such") || fault.message().starts_with("malformed");
            code.is_some_and(|code| matches!(code & 0xff, 11 | 26) || code & 0xff == 1 && lacks_something)
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => true,
        _ => false,
    }
}

pub(crate) fn fault(path: &Path, doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Sql { path, doing, source }
}

/// Appends a suffix to the last name of a path: `metrics.sqlite` and `-wal` give `metrics.sqlite-wal`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether the header of a file marks it as this program's index, damaged or not. Also true for an empty file.
fn is_own(path: &Path) -> bool {
    // Bytes 68 to 71 of a SQLite file are its application id, big-endian.
    path.is_file()
        && fs::read(path)
            .is_ok_and(|bytes| bytes.is_empty() || bytes.get(68..72) == Some(&APPLICATION_ID.to_be_bytes()))
}

fn remove_companions(path: &Path) -> Result<(), StoreError> {
    COMPANIONS.iter().try_for_each(|suffix| remove(&beside(path, suffix)))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::Io { path: path.to_owned(), doing: "removing a file", source })
        }
        _ => Ok(()),
    }
}
