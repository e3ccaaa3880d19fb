//! Every SQL statement of the program. `schema.sql` describes the tables.
//!
//! This module knows rows, not files and not the errors of the crate. Each function does one thing on a given
//! connection.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, OnceLock};

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use serde::Deserialize;
use sqlx::Connection;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};
use sweep_protocol::{Event, Form, JournalLine, Measurement, PlanRecord, Predictions, RunId, RunRow, Split};

use crate::fold::RunState;
use crate::packed;
use crate::rows::AttemptRow;
use crate::texts::Texts;

/// `PRAGMA application_id` of this program's index.
pub(crate) const APPLICATION_ID: i32 = 0x5377_6570;
/// `PRAGMA user_version` of an index that this program reads and writes.
pub(crate) const SCHEMA_VERSION: i32 = 6;
/// Number of values that one statement inserts: those of most runs. Its number of parameters stays far below the limit
/// of SQLite, 32,766.
const VALUES_AT_ONCE: usize = 512;

/// Identification of a database file. All numbers are zero for an unused file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) application_id: i32,
    pub(crate) schema_version: i32,
    pub(crate) is_empty: bool,
}

pub(crate) async fn signature(connection: &mut SqliteConnection) -> sqlx::Result<Signature> {
    Ok(Signature {
        application_id: sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?,
        schema_version: sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?,
        is_empty: sqlx::query_scalar("SELECT count(*) = 0 FROM sqlite_schema").fetch_one(&mut *connection).await?,
    })
}

/// Returns the first structural fault of the file, if there is one.
pub(crate) async fn structural_damage(connection: &mut SqliteConnection) -> sqlx::Result<Option<String>> {
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await?;
    Ok(Some(found).filter(|found| found != "ok"))
}

/// Makes every later connection write ahead to a log: readers then see the state before a transaction. The mode is
/// stored in the file.
pub(crate) async fn log_ahead(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(connection).await?;
    Ok(())
}

/// Creates all tables of an empty database.
pub(crate) async fn create(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(include_str!("schema.sql")).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Replaces the recorded plan of an experiment and profile.
pub(crate) async fn record_plan(
    connection: &mut SqliteConnection,
    plan: &PlanRecord,
    configs: &BTreeMap<RunId, String>,
) -> sqlx::Result<()> {
    let text = serde_json::to_string(plan).map_err(encode)?;
    // Most calls record the same plan again. Then nothing is written.
    let known: Option<String> = sqlx::query_scalar("SELECT plan FROM experiment WHERE name = ? AND profile = ?")
        .bind(&plan.experiment)
        .bind(&plan.profile)
        .fetch_optional(&mut *connection)
        .await?;
    if known.as_ref() == Some(&text) {
        return Ok(());
    }
    // Replacing a row also deletes its `experiment_run` and `coordinate` rows.
    sqlx::query("INSERT OR REPLACE INTO experiment (name, profile, question, plan) VALUES (?, ?, ?, ?)")
        .bind(&plan.experiment)
        .bind(&plan.profile)
        .bind(&plan.question)
        .bind(text)
        .execute(&mut *connection)
        .await?;
    for (position, planned) in (0_i64..).zip(&plan.runs) {
        record_run(connection, planned.run, planned.seed, configs.get(&planned.run).map(String::as_str)).await?;
        let of_run = |sql: &'static str| {
            sqlx::query(sql).bind(&plan.experiment).bind(&plan.profile).bind(planned.run.to_string())
        };
        of_run("INSERT INTO experiment_run (name, profile, run_id, position, coordinates) VALUES (?, ?, ?, ?, ?)")
            .bind(position)
            .bind(planned.coordinates.to_string())
            .execute(&mut *connection)
            .await?;
        for (axis, label) in &planned.coordinates.0 {
            of_run("INSERT INTO coordinate (name, profile, run_id, axis, label) VALUES (?, ?, ?, ?, ?)")
                .bind(axis)
                .bind(label)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// Adds a run, or adds the configuration of a known run. A configuration that is already known stays.
pub(crate) async fn record_run(
    connection: &mut SqliteConnection,
    run: RunId,
    seed: u64,
    config: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO run (run_id, short_id, config, seed) VALUES (?, ?, ?, ?)
         ON CONFLICT (run_id) DO UPDATE SET config = coalesce(config, excluded.config)",
    )
    .bind(run.to_string())
    .bind(run.short())
    .bind(config)
    .bind(seed.cast_signed())
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes runs that are in no plan and have no attempt.
pub(crate) async fn forget_orphans(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM run WHERE attempts = 0 AND run_id NOT IN (SELECT run_id FROM experiment_run)")
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the number of a run in the index.
pub(crate) async fn number_of(connection: &mut SqliteConnection, run: RunId) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT run FROM run WHERE run_id = ?").bind(run.to_string()).fetch_optional(connection).await
}

/// Replaces all rows of a run with the state read from its folder.
pub(crate) async fn replace_run(
    connection: &mut SqliteConnection,
    number: i64,
    state: &RunState,
    stamp: &str,
) -> sqlx::Result<()> {
    let row = &state.row;
    let run = row.run.to_string();
    for delete in [
        "DELETE FROM attempt WHERE run_id = ?1",
        "DELETE FROM value WHERE run = ?2",
        "DELETE FROM prediction WHERE run = ?2",
    ] {
        sqlx::query(delete).bind(&run).bind(number).execute(&mut *connection).await?;
    }
    for attempt in &state.attempts {
        insert_attempt(connection, &run, attempt).await?;
    }
    insert_values(connection, number, &state.values).await?;
    let (packed, values) = packed::pack(&state.values.iter().map(|(measurement, _)| measurement).collect::<Vec<_>>());
    let predictions = insert_predictions(connection, number, &state.predictions).await?;
    let stored = Stored { value_count: state.values.len() as u64, values, predictions };
    sqlx::query(
        "UPDATE run SET status = ?2, message = ?3, attempts = ?4, trainer_version = ?5, data_fingerprint = ?6,
            checkpoint_step = ?7, stamp = ?8, digest = ?9, packed_values = ?10, values_digest = ?11,
            arithmetic = ?12, processor = ?13, predictions_digest = ?14, value_count = ?15
         WHERE run = ?1",
    )
    .bind(number)
    .bind(row.status.to_string())
    .bind(&row.message)
    .bind(row.attempts)
    .bind(row.trainer_version)
    .bind(&row.data_fingerprint)
    .bind(row.checkpoint_step.cast_signed())
    .bind(stamp)
    .bind(row_digest(row, stamp, &stored)?)
    .bind(packed)
    .bind(&stored.values)
    .bind(row.arithmetic.as_ref().map(ToString::to_string))
    .bind(&row.processor)
    .bind(&stored.predictions)
    .bind(stored.value_count.cast_signed())
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_attempt(connection: &mut SqliteConnection, run: &str, attempt: &AttemptRow) -> sqlx::Result<()> {
    let signed = |value: Option<u64>| value.map(u64::cast_signed);
    sqlx::query(
        "INSERT INTO attempt (run_id, attempt, status, message, pid, slot, host, device, threads, code, trainer_version,
            arithmetic, processor, data_fingerprint, started_at_ms, ended_at_ms, resumed_at_step, checkpoint_step,
            unchecked_lines)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(run)
    .bind(attempt.attempt)
    .bind(attempt.status.to_string())
    .bind(&attempt.message)
    .bind(attempt.pid)
    .bind(attempt.slot)
    .bind(&attempt.host)
    .bind(&attempt.device)
    .bind(attempt.threads)
    .bind(&attempt.code)
    .bind(attempt.trainer_version)
    .bind(attempt.arithmetic.as_ref().map(ToString::to_string))
    .bind(&attempt.processor)
    .bind(&attempt.data_fingerprint)
    .bind(signed(attempt.started_at_ms))
    .bind(signed(attempt.ended_at_ms))
    .bind(signed(attempt.resumed_at_step))
    .bind(signed(attempt.checkpoint_step))
    .bind(attempt.unchecked_lines.cast_signed())
    .execute(connection)
    .await?;
    Ok(())
}

/// Inserts values with the attempts that measured them. A later value replaces an earlier one.
async fn insert_values(
    connection: &mut SqliteConnection,
    number: i64,
    values: &[(Measurement, u32)],
) -> sqlx::Result<()> {
    // The text of a statement takes as long to make as to carry out, so each is made once.
    static STATEMENTS: [OnceLock<String>; VALUES_AT_ONCE] = [const { OnceLock::new() }; VALUES_AT_ONCE];
    for chunk in values.chunks(VALUES_AT_ONCE) {
        let statement = STATEMENTS[chunk.len() - 1].get_or_init(|| insert_of(chunk.len()));
        let mut insert = sqlx::query(statement.as_str());
        for values in chunk.chunk_by(|(a, _), (b, _)| a.series() == b.series()) {
            let (metric, split, form) = values[0].0.series();
            // A text that is bound is copied to the heap. Those of a series share one copy.
            let names = [metric.name(), split.map_or("", Split::name), form.map_or("", Form::name)];
            let [metric, split, form] = names.map(Arc::<str>::from);
            for (measurement, attempt) in values {
                insert = insert
                    .bind(number)
                    .bind(Arc::clone(&metric))
                    .bind(Arc::clone(&split))
                    .bind(Arc::clone(&form))
                    .bind(measurement.epoch.map_or(-1, i64::from))
                    .bind(measurement.value)
                    .bind(*attempt);
            }
        }
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Inserts what a run predicted. Returns the digest of the inserted text; empty if the run predicted nothing.
async fn insert_predictions(
    connection: &mut SqliteConnection,
    number: i64,
    predictions: &[Predictions],
) -> sqlx::Result<String> {
    if predictions.is_empty() {
        return Ok(String::new());
    }
    let text = serde_json::to_string(predictions).map_err(encode)?;
    let digest = packed::digest(&text);
    sqlx::query("INSERT INTO prediction (run, predictions) VALUES (?, ?)")
        .bind(number)
        .bind(text)
        .execute(connection)
        .await?;
    Ok(digest)
}

/// Returns the statement that inserts this number of values.
fn insert_of(values: usize) -> String {
    let rows = vec!["(?, ?, ?, ?, ?, ?, ?)"; values].join(", ");
    format!("INSERT OR REPLACE INTO value (run, metric, split, form, epoch, value, attempt) VALUES {rows}")
}

/// Identifies the attempt of a statement.
#[derive(Clone, Copy)]
pub(crate) struct AttemptKey {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
}

impl AttemptKey {
    /// Returns a statement with the run as parameter `?1` and the attempt as `?2`.
    fn query(self, sql: &'static str) -> Query<'static, Sqlite, SqliteArguments> {
        sqlx::query(sql).bind(self.run.to_string()).bind(self.attempt)
    }
}

/// Records an attempt as running. Until it is closed and read from its folder, its rows are only for display.
pub(crate) async fn show_launched(
    connection: &mut SqliteConnection,
    key: AttemptKey,
    (process, at_ms): (Option<(u32, u32)>, u64),
) -> sqlx::Result<()> {
    let (pid, slot) = process.unzip();
    key.query(
        "INSERT INTO attempt (run_id, attempt, started_at_ms, pid, slot) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET started_at_ms = excluded.started_at_ms, pid = excluded.pid, slot = excluded.slot",
    )
    .bind(at_ms.cast_signed())
    .bind(pid)
    .bind(slot)
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE run SET status = 'running', message = NULL, stamp = '' WHERE run_id = ?")
        .bind(key.run.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Records events of a running attempt, for display.
pub(crate) async fn show_events(
    connection: &mut SqliteConnection,
    key: AttemptKey,
    number: i64,
    lines: &[JournalLine<Event>],
) -> sqlx::Result<()> {
    for line in lines {
        match &line.event {
            Event::Measured { measurements } | Event::Inherited { measurements } => {
                let values: Vec<_> = measurements.iter().map(|measurement| (*measurement, key.attempt)).collect();
                insert_values(connection, number, &values).await?;
            }
            Event::Checkpointed { step, .. } => {
                key.query("UPDATE attempt SET checkpoint_step = ?3 WHERE run_id = ?1 AND attempt = ?2")
                    .bind(step.cast_signed())
                    .execute(&mut *connection)
                    .await?;
            }
            // The other events are read when the attempt is closed.
            Event::Started { .. }
            | Event::Progressed { .. }
            | Event::Predicted { .. }
            | Event::Noticed { .. }
            | Event::Ended { .. } => {}
        }
    }
    Ok(())
}

/// What the index holds of a run beside its row.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    /// Number of values.
    pub(crate) value_count: u64,
    /// Digest of the packed values.
    pub(crate) values: String,
    /// Digest of the predictions; empty if there are none.
    pub(crate) predictions: String,
}

/// The index row of a run, with the digests that prove it.
#[derive(Debug, Deserialize)]
pub(crate) struct CachedRun {
    pub(crate) number: i64,
    pub(crate) row: RunRow,
    pub(crate) stamp: String,
    /// What is stored beside the row.
    pub(crate) stored: Stored,
    /// Digest of the row, the stamp and of what is stored beside the row.
    pub(crate) digest: String,
    /// Whether the row matches its digest.
    #[serde(skip)]
    pub(crate) is_intact: bool,
}

/// Number of rows in one piece of JSON. Fetching each row separately costs more than reading its content.
const ROWS_AT_ONCE: i64 = 512;
/// As [`ROWS_AT_ONCE`], for packed values: those of one run may take tens of kilobytes.
const VALUES_OF_RUNS_AT_ONCE: usize = 64;
/// As [`ROWS_AT_ONCE`], for predictions: those of one run may take megabytes.
const PREDICTIONS_AT_ONCE: usize = 16;

/// Selects [`CachedRun`]s as JSON.
macro_rules! cached_runs_as_json {
    () => {
        "SELECT json_group_array(json_object(
            'number', run,
            'row', json_object('run', run_id, 'status', status, 'message', message, 'attempts', attempts,
                'trainer_version', trainer_version, 'arithmetic', arithmetic, 'processor', processor,
                'data_fingerprint', data_fingerprint, 'checkpoint_step', checkpoint_step),
            'stamp', stamp, 'digest', digest,
            'stored', json_object('value_count', value_count, 'values', values_digest,
                'predictions', predictions_digest))) FROM run"
    };
}

fn all_cached(pieces: &[String]) -> sqlx::Result<BTreeMap<RunId, CachedRun>> {
    let read = |piece: &String| {
        let mut runs: Vec<CachedRun> = serde_json::from_str(piece).map_err(decode)?;
        for cached in &mut runs {
            cached.is_intact = row_digest(&cached.row, &cached.stamp, &cached.stored)? == cached.digest;
        }
        Ok(runs)
    };
    let all = pieces.par_iter().map(read).collect::<sqlx::Result<Vec<_>>>()?;
    Ok(all.into_iter().flatten().map(|cached| (cached.row.run, cached)).collect())
}

/// Returns every run in the index.
pub(crate) async fn cached_runs(connection: &mut SqliteConnection) -> sqlx::Result<BTreeMap<RunId, CachedRun>> {
    let all = sqlx::query_scalar(concat!(cached_runs_as_json!(), " GROUP BY run / ?"));
    all_cached(&all.bind(ROWS_AT_ONCE).fetch_all(connection).await?)
}

/// Returns one run, if the index has it.
pub(crate) async fn cached_run(
    connection: &mut SqliteConnection,
    run: RunId,
) -> sqlx::Result<Option<(RunId, CachedRun)>> {
    let one = sqlx::query_scalar(concat!(cached_runs_as_json!(), " WHERE run_id = ?")).bind(run.to_string());
    Ok(all_cached(&one.fetch_all(connection).await?)?.pop_first())
}

/// Returns the packed values of the runs with these numbers.
pub(crate) async fn packed_values(connection: &mut SqliteConnection, numbers: &[i64]) -> sqlx::Result<Texts> {
    let select = "SELECT group_concat(run || ' ' || packed_values, char(10)) FROM run
        WHERE run IN (SELECT value FROM json_each(?))";
    fetch_texts(connection, select, numbers.chunks(VALUES_OF_RUNS_AT_ONCE)).await
}

/// Returns the predictions of the runs with these numbers.
pub(crate) async fn predictions(connection: &mut SqliteConnection, numbers: &[i64]) -> sqlx::Result<Texts> {
    let select = "SELECT group_concat(run || ' ' || predictions, char(10)) FROM prediction
        WHERE run IN (SELECT value FROM json_each(?))";
    fetch_texts(connection, select, numbers.chunks(PREDICTIONS_AT_ONCE)).await
}

/// Fetches the texts of some numbers at a time.
async fn fetch_texts(
    connection: &mut SqliteConnection,
    select: &'static str,
    numbers: impl Iterator<Item = &[i64]>,
) -> sqlx::Result<Texts> {
    let mut texts = Texts::default();
    for numbers in numbers {
        let piece: Option<String> =
            sqlx::query_scalar(select).bind(json_of(numbers)?).fetch_one(&mut *connection).await?;
        texts.add(piece.unwrap_or_default());
    }
    Ok(texts)
}

fn json_of(numbers: &[i64]) -> sqlx::Result<String> {
    serde_json::to_string(numbers).map_err(encode)
}

/// Returns the digest of a row of the table `run`.
fn row_digest(row: &RunRow, stamp: &str, stored: &Stored) -> sqlx::Result<String> {
    let row = serde_json::to_string(row).map_err(encode)?;
    let Stored { value_count, values, predictions } = stored;
    Ok(packed::digest(&format!("{row}|{stamp}|{value_count}|{values}|{predictions}")))
}

fn decode(fault: impl Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(fault))
}

fn encode(fault: impl Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(fault))
}
