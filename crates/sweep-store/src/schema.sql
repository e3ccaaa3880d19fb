-- The index of a results folder: made from plans and journals, and made again by `rebuild`. Ask it anything with
-- `sqlite3 -readonly metrics.sqlite`; start with `SELECT * FROM run_summary;` and `SELECT * FROM learning_curve;`.
-- Values are in base units: accuracy is a fraction, times are seconds unless a column's name ends in `_ms`.

PRAGMA application_id = 0x53776570; -- "Swep": whose file this is
PRAGMA user_version = 4;            -- version of this schema: `run` and `rebuild` make this one of an older one, a newer is refused

-- One row for each experiment and profile, as last started.
CREATE TABLE experiment (
    name     TEXT NOT NULL, -- stem of the experiment's file
    profile  TEXT NOT NULL, -- `default` when none was asked for
    question TEXT NOT NULL, -- what it asks
    plan     TEXT NOT NULL, -- the whole plan as JSON: axes, baseline, runs, exclusions with reasons
    PRIMARY KEY (name, profile)
) STRICT;

-- One row for each configuration with its seed. Experiments that ask the same thing share the run.
CREATE TABLE run (
    run              INTEGER PRIMARY KEY,             -- names the run in the table `value`
    run_id           TEXT NOT NULL UNIQUE,            -- 64 hexadecimal digits: the digest of configuration and seed
    short_id         TEXT NOT NULL,                   -- the first ten of them
    config           TEXT,                            -- JSON; NULL after a rebuild when the run was planned and never started
    seed             INTEGER NOT NULL,
    status           TEXT NOT NULL DEFAULT 'queued',  -- its latest attempt's
    message          TEXT,                            -- its latest attempt's
    attempts         INTEGER NOT NULL DEFAULT 0,
    trainer_version  INTEGER,                         -- from here: of the latest attempt that got far enough to say it
    arithmetic       TEXT,                            -- how it computes: device, instruction set, libraries
    processor        TEXT,                            -- model of its processor
    data_fingerprint TEXT,
    checkpoint_step  INTEGER NOT NULL DEFAULT 0,
    stamp            TEXT NOT NULL DEFAULT '',        -- sizes and times of the files that this row and its values were read from
    digest           TEXT NOT NULL DEFAULT '',        -- of this row, so that damage is noticed
    packed_values    TEXT NOT NULL DEFAULT '',        -- all values in one text: what reports are made from
    values_digest    TEXT NOT NULL DEFAULT ''         -- of that text
) STRICT;

-- Which runs an experiment consists of.
CREATE TABLE experiment_run (
    name        TEXT NOT NULL,
    profile     TEXT NOT NULL,
    run_id      TEXT NOT NULL REFERENCES run (run_id),
    position    INTEGER NOT NULL, -- in the plan, from 0
    coordinates TEXT NOT NULL,    -- `groups=2 partition=8`
    PRIMARY KEY (name, profile, run_id),
    FOREIGN KEY (name, profile) REFERENCES experiment ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The same coordinates, one row for each axis, for joins and groups.
CREATE TABLE coordinate (
    name    TEXT NOT NULL,
    profile TEXT NOT NULL,
    run_id  TEXT NOT NULL,
    axis    TEXT NOT NULL,
    label   TEXT NOT NULL,
    PRIMARY KEY (name, profile, run_id, axis),
    FOREIGN KEY (name, profile, run_id) REFERENCES experiment_run ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- One row for each execution of a run. Times: `datetime(started_at_ms / 1000, 'unixepoch')`.
CREATE TABLE attempt (
    run_id           TEXT NOT NULL REFERENCES run (run_id),
    attempt          INTEGER NOT NULL,               -- from 1; also the name of its folder
    status           TEXT NOT NULL DEFAULT 'running', -- until its supervisor closes it
    message          TEXT,                           -- why, when it did not succeed
    pid              INTEGER,
    slot             INTEGER,
    host             TEXT,                           -- from here to data_fingerprint: NULL until it began
    device           TEXT,
    threads          INTEGER,
    code             TEXT,
    trainer_version  INTEGER,
    arithmetic       TEXT,
    processor        TEXT,
    data_fingerprint TEXT,
    started_at_ms    INTEGER,
    ended_at_ms      INTEGER,
    resumed_at_step  INTEGER,
    checkpoint_step  INTEGER,                        -- of its newest checkpoint
    unchecked_lines  INTEGER NOT NULL DEFAULT 0,     -- lines of its journal without a checksum (format 1)
    PRIMARY KEY (run_id, attempt)
) STRICT, WITHOUT ROWID;

-- What was measured, as it is kept: small, and in the order in which it is asked for. Ask the view `measurement`.
CREATE TABLE value (
    run     INTEGER NOT NULL REFERENCES run,
    metric  TEXT NOT NULL,
    split   TEXT NOT NULL,    -- '' for none
    form    TEXT NOT NULL,    -- '' for none
    epoch   INTEGER NOT NULL, -- -1 for none
    value   REAL NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (run, metric, split, form, epoch)
) STRICT, WITHOUT ROWID;

-- One row for each measured value; of values that were measured again after a resume, the latest attempt's.
CREATE VIEW measurement AS
SELECT run_id,
    metric,                       -- accuracy, loss, throughput, …
    nullif(split, '') AS split,   -- train, validation, test; NULL where images do not matter
    nullif(form, '') AS form,     -- training, deployed; NULL where both forms share the value
    nullif(epoch, -1) AS epoch,   -- epochs done; NULL for what training does not change
    value,
    attempt                       -- whose journal holds it
FROM value JOIN run USING (run);

-- Where each run stands, with what is known from the latest attempt that got far enough to say it.
CREATE VIEW run_state AS
SELECT run_id, short_id, seed, status, message, attempts, trainer_version, arithmetic, processor, data_fingerprint, checkpoint_step
FROM run;

-- What each run came to: of values that were measured after several epochs, the last.
CREATE VIEW final_measurement AS
SELECT run_id, metric, split, form, value
FROM (SELECT *, row_number() OVER (PARTITION BY run_id, metric, split, form ORDER BY epoch DESC) AS age FROM measurement)
WHERE age = 1;

-- One row for each experiment, profile and run. Metrics are the deployed form's unless the column says otherwise, on
-- test images, after the last epoch at which they were measured.
CREATE VIEW run_summary AS
SELECT name AS experiment, profile, short_id, status, message, coordinates, seed, attempts,
    accuracy, accuracy_training_form, loss, top5_accuracy, verification_accuracy, identification_accuracy, mean_iou,
    params, flops, flops_all, throughput, throughput_training_form, max_abs_diff, top1_agreement,
    epochs, train_time_s, data_wait_s, run_id
FROM experiment_run JOIN run_state USING (run_id)
LEFT JOIN (
    SELECT run_id,
        max(value) FILTER (WHERE metric = 'accuracy' AND split = 'test' AND form = 'deployed') AS accuracy,
        max(value) FILTER (WHERE metric = 'accuracy' AND split = 'test' AND form = 'training') AS accuracy_training_form,
        max(value) FILTER (WHERE metric = 'loss' AND split = 'test' AND form = 'deployed') AS loss,
        max(value) FILTER (WHERE metric = 'top5_accuracy' AND split = 'test' AND form = 'deployed') AS top5_accuracy,
        max(value) FILTER (WHERE metric = 'verification_accuracy' AND split = 'test' AND form = 'deployed') AS verification_accuracy,
        max(value) FILTER (WHERE metric = 'identification_accuracy' AND split = 'test' AND form = 'deployed') AS identification_accuracy,
        max(value) FILTER (WHERE metric = 'mean_iou' AND split = 'test' AND form = 'deployed') AS mean_iou,
        max(value) FILTER (WHERE metric = 'params' AND form = 'deployed') AS params,
        max(value) FILTER (WHERE metric = 'flops' AND form = 'deployed') AS flops,
        max(value) FILTER (WHERE metric = 'flops_all' AND form = 'deployed') AS flops_all,
        max(value) FILTER (WHERE metric = 'throughput' AND form = 'deployed') AS throughput,
        max(value) FILTER (WHERE metric = 'throughput' AND form = 'training') AS throughput_training_form,
        max(value) FILTER (WHERE metric = 'max_abs_diff') AS max_abs_diff,
        max(value) FILTER (WHERE metric = 'top1_agreement') AS top1_agreement
    FROM final_measurement GROUP BY run_id
) USING (run_id)
LEFT JOIN (
    SELECT run_id, max(epoch) AS epochs,
        sum(value) FILTER (WHERE metric = 'train_time') AS train_time_s,
        sum(value) FILTER (WHERE metric = 'data_wait') AS data_wait_s
    FROM measurement GROUP BY run_id
) USING (run_id)
ORDER BY name, profile, position;

-- One row for each run and epoch, of the form that trains.
CREATE VIEW learning_curve AS
SELECT run_id, short_id, epoch,
    max(value) FILTER (WHERE metric = 'loss' AND split = 'train') AS train_loss,
    max(value) FILTER (WHERE metric = 'loss' AND split = 'validation') AS validation_loss,
    max(value) FILTER (WHERE metric = 'loss' AND split = 'test') AS test_loss,
    max(value) FILTER (WHERE metric = 'accuracy' AND split = 'train') AS train_accuracy,
    max(value) FILTER (WHERE metric = 'accuracy' AND split = 'validation') AS validation_accuracy,
    max(value) FILTER (WHERE metric = 'accuracy' AND split = 'test') AS test_accuracy
FROM measurement JOIN run USING (run_id)
WHERE epoch IS NOT NULL AND form IS NOT 'deployed'
GROUP BY run_id, epoch;
