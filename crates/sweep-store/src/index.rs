//! Every SQL statement. `schema.sql` beside this file says what the tables mean.
//!
//! Knows rows, not files and not errors of the crate: each function does one thing on a connection that is handed in.

use std::collections::BTreeMap;
use std::error::Error;

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};
use sqlx::{Connection, Row};
use sweep_protocol::{
    Event, ExperimentRows, Form, JournalLine, Measurement, MeasurementRow, PlanRecord, RunId, RunRow, Split,
    SupervisorEvent,
};

use crate::rows::{self, AttemptRow, ExperimentCounts};

/// `PRAGMA application_id` of this program's files.
pub(crate) const APPLICATION_ID: i32 = 0x5377_6570;
/// `PRAGMA user_version` that this program writes and reads.
pub(crate) const SCHEMA_VERSION: i32 = 2;

/// What a database file says of itself; zeros for one that nobody has written to.
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

/// Gives an empty database its tables, all or none. The journal mode stays with the file.
pub(crate) async fn create(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut *connection).await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(include_str!("schema.sql")).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Replaces what is known of the plan's experiment and profile, and forgets runs that nobody asks for any more.
pub(crate) async fn record_plan(
    connection: &mut SqliteConnection,
    plan: &PlanRecord,
    configs: &BTreeMap<RunId, String>,
) -> sqlx::Result<()> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    // A replaced row takes its experiment_run and coordinate rows along.
    sqlx::query("INSERT OR REPLACE INTO experiment (name, profile, question, plan) VALUES (?, ?, ?, ?)")
        .bind(&plan.experiment)
        .bind(&plan.profile)
        .bind(&plan.question)
        .bind(serde_json::to_string(plan).map_err(encode)?)
        .execute(&mut *transaction)
        .await?;
    for (position, planned) in (0_i64..).zip(&plan.runs) {
        record_run(&mut transaction, planned.run, planned.seed, configs.get(&planned.run).map(String::as_str)).await?;
        let of_run = |sql: &'static str| {
            sqlx::query(sql).bind(&plan.experiment).bind(&plan.profile).bind(planned.run.to_string())
        };
        of_run("INSERT INTO experiment_run (name, profile, run_id, position, coordinates) VALUES (?, ?, ?, ?, ?)")
            .bind(position)
            .bind(planned.coordinates.to_string())
            .execute(&mut *transaction)
            .await?;
        for (axis, label) in &planned.coordinates.0 {
            of_run("INSERT INTO coordinate (name, profile, run_id, axis, label) VALUES (?, ?, ?, ?, ?)")
                .bind(axis)
                .bind(label)
                .execute(&mut *transaction)
                .await?;
        }
    }
    forget_orphans(&mut transaction).await?;
    transaction.commit().await
}

/// Makes a run known; a configuration that is already known stays.
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

/// Deletes runs that are in no plan and were never attempted.
pub(crate) async fn forget_orphans(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM run WHERE run_id NOT IN (SELECT run_id FROM experiment_run)
                           AND run_id NOT IN (SELECT run_id FROM attempt)",
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn knows(connection: &mut SqliteConnection, run: RunId) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT count(*) = 1 FROM run WHERE run_id = ?")
        .bind(run.to_string())
        .fetch_one(connection)
        .await
}

/// Which attempt a statement is about.
#[derive(Clone, Copy)]
pub(crate) struct AttemptKey {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
}

impl AttemptKey {
    /// A statement whose parameters `?1` and `?2` are the run and the attempt.
    fn query(self, sql: &'static str) -> Query<'static, Sqlite, SqliteArguments> {
        sqlx::query(sql).bind(self.run.to_string()).bind(self.attempt)
    }
}

/// Applies those lines of an attempt's journal that are new.
pub(crate) async fn apply_journal(
    connection: &mut SqliteConnection,
    key: AttemptKey,
    lines: &[JournalLine<Event>],
) -> sqlx::Result<()> {
    let applied = last_applied(connection, key, "SELECT journal_seq FROM attempt WHERE run_id = ?1 AND attempt = ?2");
    let fresh = after(lines, applied.await?);
    let Some(last) = fresh.last() else { return Ok(()) };
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    record_attempt(&mut transaction, key).await?;
    for line in fresh {
        apply_event(&mut transaction, key, &line.event).await?;
    }
    key.query("UPDATE attempt SET journal_seq = ?3 WHERE run_id = ?1 AND attempt = ?2")
        .bind(last.seq.cast_signed())
        .execute(&mut *transaction)
        .await?;
    settle_run(&mut transaction, key.run).await?;
    transaction.commit().await
}

/// Applies those lines of an attempt's supervisor that are new.
pub(crate) async fn apply_supervisor(
    connection: &mut SqliteConnection,
    key: AttemptKey,
    lines: &[JournalLine<SupervisorEvent>],
) -> sqlx::Result<()> {
    let applied =
        last_applied(connection, key, "SELECT supervisor_seq FROM attempt WHERE run_id = ?1 AND attempt = ?2");
    let fresh = after(lines, applied.await?);
    if fresh.is_empty() {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    record_attempt(&mut transaction, key).await?;
    for line in fresh {
        let query = match &line.event {
            SupervisorEvent::Launched { pid, slot } => key
                .query(
                    "UPDATE attempt SET supervisor_seq = ?3, started_at_ms = ?4, pid = ?5, slot = ?6
                     WHERE run_id = ?1 AND attempt = ?2",
                )
                .bind(line.seq.cast_signed())
                .bind(line.at_ms.cast_signed())
                .bind(*pid)
                .bind(*slot),
            SupervisorEvent::Closed { status, message } => key
                .query(
                    "UPDATE attempt SET supervisor_seq = ?3, ended_at_ms = ?4, status = ?5, message = ?6
                     WHERE run_id = ?1 AND attempt = ?2",
                )
                .bind(line.seq.cast_signed())
                .bind(line.at_ms.cast_signed())
                .bind(status.to_string())
                .bind(message.clone()),
        };
        query.execute(&mut *transaction).await?;
    }
    settle_run(&mut transaction, key.run).await?;
    transaction.commit().await
}

/// The number of the line that was applied last; -1 when none was. Asked before the transaction begins, so that lines
/// that are known already cost no write; nobody else writes.
async fn last_applied(connection: &mut SqliteConnection, key: AttemptKey, sql: &'static str) -> sqlx::Result<i64> {
    let row = key.query(sql).fetch_optional(connection).await?;
    row.map_or(Ok(-1), |row| row.try_get(0))
}

fn after<T>(lines: &[JournalLine<T>], seq: i64) -> &[JournalLine<T>] {
    &lines[lines.partition_point(|line| line.seq.cast_signed() <= seq)..]
}

async fn record_attempt(connection: &mut SqliteConnection, key: AttemptKey) -> sqlx::Result<()> {
    key.query("INSERT INTO attempt (run_id, attempt) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .execute(connection)
        .await?;
    Ok(())
}

/// A run stands where its latest attempt stands.
async fn settle_run(connection: &mut SqliteConnection, run: RunId) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE run SET (status, message) =
            (SELECT status, message FROM attempt WHERE run_id = ?1 ORDER BY attempt DESC LIMIT 1)
         WHERE run_id = ?1",
    )
    .bind(run.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

async fn apply_event(connection: &mut SqliteConnection, key: AttemptKey, event: &Event) -> sqlx::Result<()> {
    match event {
        Event::Started { environment, resumed_at_step, .. } => {
            key.query(
                "UPDATE attempt SET host = ?3, device = ?4, threads = ?5, code = ?6, trainer_version = ?7,
                    data_fingerprint = ?8, resumed_at_step = ?9
                 WHERE run_id = ?1 AND attempt = ?2",
            )
            .bind(environment.host.clone())
            .bind(environment.device.clone())
            .bind(i64::try_from(environment.threads).map_err(encode)?)
            .bind(environment.code.clone())
            .bind(environment.trainer_version)
            .bind(environment.data_fingerprint.clone())
            .bind(resumed_at_step.cast_signed())
            .execute(connection)
            .await?;
        }
        Event::Measured { measurements } => {
            for measurement in measurements {
                measure(connection, key, measurement).await?;
            }
        }
        Event::Checkpointed { step, .. } => {
            key.query("UPDATE attempt SET checkpoint_step = ?3 WHERE run_id = ?1 AND attempt = ?2")
                .bind(step.cast_signed())
                .execute(connection)
                .await?;
        }
        // Progress and notices are for eyes only, and how an attempt ended is its supervisor's to say.
        Event::Progressed { .. } | Event::Noticed { .. } | Event::Ended { .. } => {}
    }
    Ok(())
}

/// Records a value, unless a later attempt has measured it again.
async fn measure(connection: &mut SqliteConnection, key: AttemptKey, measured: &Measurement) -> sqlx::Result<()> {
    key.query(
        "INSERT INTO measurement (run_id, attempt, metric, split, form, epoch, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (run_id, metric, coalesce(split, ''), coalesce(form, ''), coalesce(epoch, -1))
         DO UPDATE SET value = excluded.value, attempt = excluded.attempt WHERE excluded.attempt >= attempt",
    )
    .bind(measured.metric.name())
    .bind(measured.split.map(Split::name))
    .bind(measured.form.map(Form::name))
    .bind(measured.epoch)
    .bind(measured.value)
    .execute(connection)
    .await?;
    Ok(())
}

/// Where those of the runs stand that are known, in the order in which they were asked for.
pub(crate) async fn run_rows(connection: &mut SqliteConnection, runs: &[RunId]) -> sqlx::Result<Vec<RunRow>> {
    sqlx::query(
        "SELECT run_state.* FROM json_each(?) AS asked JOIN run_state ON run_id = asked.value ORDER BY asked.key",
    )
    .bind(serde_json::to_string(runs).map_err(encode)?)
    .try_map(|row| rows::run_row(&row))
    .fetch_all(connection)
    .await
}

/// Everything that a report of an experiment and profile is made from, as of one moment.
pub(crate) async fn experiment_rows(
    connection: &mut SqliteConnection,
    name: &str,
    profile: &str,
) -> sqlx::Result<Option<ExperimentRows>> {
    let mut snapshot = connection.begin().await?;
    let plan: Option<String> = sqlx::query_scalar("SELECT plan FROM experiment WHERE name = ? AND profile = ?")
        .bind(name)
        .bind(profile)
        .fetch_optional(&mut *snapshot)
        .await?;
    let Some(plan) = plan else { return Ok(None) };
    let plan: PlanRecord = serde_json::from_str(&plan).map_err(rows::decode)?;
    let ids: Vec<RunId> = plan.runs.iter().map(|planned| planned.run).collect();
    let runs = run_rows(&mut snapshot, &ids).await?;
    let mut measurements = Vec::new();
    for &run in &ids {
        measurements.extend(measurements_of(&mut snapshot, run).await?);
    }
    snapshot.commit().await?;
    Ok(Some(ExperimentRows { plan, runs, measurements }))
}

async fn measurements_of(connection: &mut SqliteConnection, run: RunId) -> sqlx::Result<Vec<MeasurementRow>> {
    let mut rows = sqlx::query("SELECT metric, split, form, epoch, value FROM measurement WHERE run_id = ?")
        .bind(run.to_string())
        .try_map(|row| Ok(MeasurementRow { run, measurement: rows::measurement(&row)? }))
        .fetch_all(connection)
        .await?;
    rows.sort_by_key(|row| {
        (row.measurement.metric, row.measurement.split, row.measurement.form, row.measurement.epoch)
    });
    Ok(rows)
}

/// Every experiment and profile with the number of runs in each status.
pub(crate) async fn experiments(connection: &mut SqliteConnection) -> sqlx::Result<Vec<ExperimentCounts>> {
    let rows = sqlx::query(
        "SELECT name, profile, status, count(*) AS runs
         FROM experiment LEFT JOIN experiment_run USING (name, profile) LEFT JOIN run USING (run_id)
         GROUP BY name, profile, status ORDER BY name, profile",
    )
    .fetch_all(connection)
    .await?;
    let mut experiments: Vec<ExperimentCounts> = Vec::new();
    for row in rows {
        let (experiment, profile): (String, String) = (row.try_get("name")?, row.try_get("profile")?);
        if experiments.last().is_none_or(|last| (&last.experiment, &last.profile) != (&experiment, &profile)) {
            experiments.push(ExperimentCounts { experiment, profile, counts: BTreeMap::new() });
        }
        if let (Some(last), Some(status)) = (experiments.last_mut(), rows::optional_word(&row, "status")?) {
            last.counts.insert(status, row.try_get("runs")?);
        }
    }
    Ok(experiments)
}

/// The runs whose ids start with a prefix of lower-case hexadecimal digits, in order.
pub(crate) async fn find_runs(connection: &mut SqliteConnection, prefix: &str) -> sqlx::Result<Vec<RunId>> {
    // `g` follows the last hexadecimal digit, so the primary key answers this with one search.
    sqlx::query("SELECT run_id FROM run WHERE run_id >= ?1 AND run_id < ?1 || 'g' ORDER BY run_id")
        .bind(prefix.to_owned())
        .try_map(|row| rows::word(&row, "run_id"))
        .fetch_all(connection)
        .await
}

/// The attempts of a run, in order.
pub(crate) async fn attempts(connection: &mut SqliteConnection, run: RunId) -> sqlx::Result<Vec<AttemptRow>> {
    sqlx::query("SELECT * FROM attempt WHERE run_id = ? ORDER BY attempt")
        .bind(run.to_string())
        .try_map(|row| rows::attempt_row(&row))
        .fetch_all(connection)
        .await
}

fn encode(fault: impl Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(fault))
}
