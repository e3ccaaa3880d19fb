//! The index as it is written: by the one process that holds the results folder's lock.
//!
//! Knows when a file may be touched and which file a fault belongs to; the statements are in `index.rs`, what a run came to is decided
//! in `fold.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use sweep_protocol::{Event, JournalLine, PlanRecord, ResultsLayout, RunId, Status, SupervisorEvent, sync_folder};

use crate::index::{self, APPLICATION_ID, AttemptKey, CachedRun, SCHEMA_VERSION};
use crate::packed;
use crate::results_folder::FolderReader;
use crate::{Damage, StoreError};

/// How long a writer waits for a program that holds the index (a `sqlite3` shell in a transaction).
const PATIENCE: Duration = Duration::from_secs(600);
/// What SQLite may keep beside a database file.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The index of a results folder, open for writing.
#[derive(Debug)]
pub struct Store {
    layout: ResultsLayout,
    path: PathBuf,
    connection: SqliteConnection,
}

impl Store {
    /// Opens the index for writing. One that is missing, damaged or of an older version is made again from the journals; what was
    /// wrong with it is returned. Only the process that holds the results folder's lock may do this.
    ///
    /// # Errors
    /// When the file is of another program or a newer version (it is then not touched), or cannot be opened or made.
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
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(PATIENCE);
        let connection = options.connect().await.map_err(fault(path, "opening the index"))?;
        Ok(Self { layout: layout.clone(), path: path.to_owned(), connection })
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
        let record = async {
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            index::record_plan(&mut transaction, plan, configs).await?;
            index::forget_orphans(&mut transaction).await?;
            transaction.commit().await
        };
        record.await.map_err(fault(&self.path, "recording a plan"))
    }

    /// Shows what an attempt has newly said; what counts is read from its folder once it is closed.
    ///
    /// # Errors
    /// When the run is not known or the index cannot be written; it is then as before.
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

    /// Applies what an attempt's supervisor has newly said: with its closing line, the run is read from its folder. Returns what was
    /// damaged there.
    ///
    /// # Errors
    /// When the run is not known or the index cannot be written; it is then as before.
    pub async fn apply_supervisor(
        &mut self,
        run: RunId,
        attempt: u32,
        lines: &[JournalLine<SupervisorEvent>],
    ) -> Result<Vec<Damage>, StoreError> {
        self.number_of(run).await?;
        for line in lines {
            match &line.event {
                SupervisorEvent::Launched { pid, slot, .. } => {
                    index::show_launched(&mut self.connection, AttemptKey { run, attempt }, (*pid, *slot, line.at_ms))
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

    /// The runs of the folder whose files are not as they were when the index read them, and those with an attempt that was open then:
    /// what a scheduler that died may have left.
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
            values.get(&known.number).is_some_and(|text| packed::digest(text) == known.values_digest)
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

    /// Reads those of the runs again whose files are not as they were when the index read them: after a scheduler died, after a
    /// folder was copied, deleted or damaged. Returns what was damaged.
    ///
    /// # Errors
    /// When the index cannot be written, or a journal is of a newer version.
    pub async fn refresh(&mut self, runs: &[RunId]) -> Result<Vec<Damage>, StoreError> {
        let path = self.path.clone();
        let mut folder = FolderReader::new(&self.layout);
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let mut cached = BTreeMap::new();
        for &run in runs {
            cached.extend(index::cached_run(&mut self.connection, run).await.map_err(fault(&path, "reading runs"))?);
        }
        let mut transaction =
            self.connection.begin_with("BEGIN IMMEDIATE").await.map_err(fault(&path, "writing the index"))?;
        for &run in runs {
            let stamp = folder.stamp(run);
            let known = cached.get(&run);
            if known.is_some_and(|known| known.is_intact && known.stamp == stamp) {
                continue;
            }
            if let Some(file) = folder.run_file(run) {
                index::record_run(&mut transaction, run, file.seed, Some(&file.config))
                    .await
                    .map_err(fault(&path, "recording a run"))?;
            }
            let number = index::number_of(&mut transaction, run).await.map_err(fault(&path, "looking for a run"))?;
            let Some(number) = number else { continue };
            let before = folder.damage.len();
            let state = folder.run_state(run)?;
            // What could not be read may be another time: it is looked at again by the next call.
            let is_unread = folder.damage[before..].iter().any(|damage| matches!(damage, Damage::Unreadable { .. }));
            let stamp = if is_unread { String::new() } else { stamp };
            if state.attempts.is_empty() && known.is_some_and(|known| known.row.attempts > 0) {
                folder.damage.push(Damage::Deleted { path: self.layout.run(run).root().to_owned() });
            }
            index::replace_run(&mut transaction, number, &state, &stamp)
                .await
                .map_err(fault(&path, "recording a run"))?;
        }
        transaction.commit().await.map_err(fault(&path, "writing the index"))?;
        Ok(folder.damage)
    }

    /// Makes the index of a results folder again from its plans, configurations and journals, and puts it in the place
    /// of the old one, even a damaged one. The caller holds the results folder's lock. Returns what was damaged.
    ///
    /// # Errors
    /// When the new index cannot be written; the old one is then as before.
    pub async fn rebuild(layout: &ResultsLayout) -> Result<Vec<Damage>, StoreError> {
        let path = layout.database();
        // Another program's database, or one of a newer version, is refused; what is no database at all is set aside.
        let former = usable(&path, Look::Header).await?;
        let fresh = beside(&path, "-rebuild");
        remove(&fresh)?;
        remove_companions(&fresh)?;
        let mut store = Self::at(layout, &fresh).await?;
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
        store.close().await?;
        if let Usable::No(_) = former
            && !is_own(&path)
        {
            let aside =
                (1_u32..).map(|number| beside(&path, &format!(".damaged-{number}"))).find(|aside| !aside.exists());
            let moved = fs::rename(&path, aside.unwrap_or_else(|| beside(&path, ".damaged")));
            moved.map_err(|source| StoreError::Io {
                path: path.clone(),
                doing: "setting the damaged file aside",
                source,
            })?;
        }
        // The old write-ahead log belongs to the old file alone: SQLite would apply it to the new one.
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
            Usable::Missing => Err(StoreError::Unusable { path, why: "it is not there".to_owned() }),
            Usable::No(why) => Err(StoreError::Unusable { path, why }),
        }
    }

    /// Closes the file; without this it is closed some time after the store is dropped.
    ///
    /// # Errors
    /// When `SQLite` refuses.
    pub async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await.map_err(fault(&self.path, "closing the index"))
    }
}

/// Whether a file is an index that this program can use.
pub(crate) enum Usable {
    Yes,
    Missing,
    /// It is not, and is made again from the journals.
    No(String),
}

/// How closely an index is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Whose it is: enough for a reader, who has each row proven.
    Header,
    /// Every page too: a person may ask it anything.
    Structure,
}

/// Looks at the index without touching it.
pub(crate) async fn usable(path: &Path, look: Look) -> Result<Usable, StoreError> {
    if !path.exists() {
        return Ok(Usable::Missing);
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
            "schema version {}, this program writes {SCHEMA_VERSION}",
            signature.schema_version
        )));
    }
    Ok(damage.map_or(Usable::Yes, Usable::No))
}

/// Whether SQLite says that the file, rather than the machine, is at fault: `SQLITE_CORRUPT`, `SQLITE_NOTADB`, a value of the wrong kind.
fn is_damage(fault: &sqlx::Error) -> bool {
    match fault {
        sqlx::Error::Database(fault) => {
            let code = fault.code().and_then(|code| code.parse::<i32>().ok());
            // The plain error is a damaged schema's only where something of it is missing.
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

/// The path with something after its last name: `metrics.sqlite` and `-wal` make `metrics.sqlite-wal`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether a file says in its header that it is this program's index, damaged or not; also one that nobody has written to.
fn is_own(path: &Path) -> bool {
    // Bytes 68 to 71 of a SQLite file are its application id, big-endian.
    fs::read(path).is_ok_and(|bytes| bytes.is_empty() || bytes.get(68..72) == Some(&APPLICATION_ID.to_be_bytes()))
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
