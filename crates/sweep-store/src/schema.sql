-- The index of a results folder. It is made from plans and journals, and `rebuild` makes it again. To query it, run
-- `sqlite3 -readonly metrics.sqlite`. Start with `SELECT * FROM run_summary;` and `SELECT * FROM learning_curve;`.
-- Values are in base units: accuracy is a fraction, and times are in seconds unless the column's name ends in `_ms`.

-- Identifies the index of this program: "Swep" in ASCII.
PRAGMA application_id = 0x53776570;
-- Version of this schema. `run` and `rebuild` replace an index of an older version. A newer version is refused.
PRAGMA user_version = 6;

-- One row per experiment and profile, with the plan of its last `run`.
CREATE TABLE experiment (
    name     TEXT NOT NULL, -- name of the experiment file without `.toml`
    profile  TEXT NOT NULL, -- `default` if no profile was named
    question TEXT NOT NULL, -- the experiment's question
    plan     TEXT NOT NULL, -- whole plan as JSON: axes, baseline, runs, exclusions with reasons
    PRIMARY KEY (name, profile)
) STRICT;

-- One row per configuration and seed. Experiments with the same configuration and seed share the run.
CREATE TABLE run (
    run              INTEGER PRIMARY KEY,             -- number of the run in the table `value`
    run_id           TEXT NOT NULL UNIQUE,            -- 64 hexadecimal digits: digest of configuration and seed
    short_id         TEXT NOT NULL,                   -- first ten digits of `run_id`
    config           TEXT,                            -- JSON; NULL after a rebuild if the run was never started
    seed             INTEGER NOT NULL,
    status           TEXT NOT NULL DEFAULT 'queued',  -- status of the latest attempt
    message          TEXT,                            -- reason for the status
    attempts         INTEGER NOT NULL DEFAULT 0,
    trainer_version  INTEGER,                         -- this and the next 3: of the latest attempt that began
    arithmetic       TEXT,                            -- how values are computed: device, instruction set, libraries
    processor        TEXT,                            -- model of the processor
    data_fingerprint TEXT,                            -- digest of the data set
    checkpoint_step  INTEGER NOT NULL DEFAULT 0,      -- steps in the newest checkpoint
    stamp            TEXT NOT NULL DEFAULT '',        -- sizes and times of the files that this row was read from
    digest           TEXT NOT NULL DEFAULT '',        -- digest of this row, to detect damage
    value_count      INTEGER NOT NULL DEFAULT 0,      -- number of measured values
    packed_values    TEXT NOT NULL DEFAULT '',        -- all values in one text; reports are made from it
    values_digest    TEXT NOT NULL DEFAULT '',        -- digest of that text
    predictions_digest TEXT NOT NULL DEFAULT ''       -- digest of its row in `prediction`; '' if it has none
) STRICT;

-- The runs of each experiment.
CREATE TABLE experiment_run (
    name        TEXT NOT NULL,
    profile     TEXT NOT NULL,
    run_id      TEXT NOT NULL REFERENCES run (run_id),
    position    INTEGER NOT NULL, -- place in the plan, counted from 0
    coordinates TEXT NOT NULL,    -- such as `groups=2 partition=8`
    PRIMARY KEY (name, profile, run_id),
    FOREIGN KEY (name, profile) REFERENCES experiment ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The same coordinates with one row per axis, for joins and grouping.
CREATE TABLE coordinate (
    name    TEXT NOT NULL,
    profile TEXT NOT NULL,
    run_id  TEXT NOT NULL,
    axis    TEXT NOT NULL,
    label   TEXT NOT NULL,
    PRIMARY KEY (name, profile, run_id, axis),
    FOREIGN KEY (name, profile, run_id) REFERENCES experiment_run ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- One row per execution of a run. To show a time: `datetime(started_at_ms / 1000, 'unixepoch')`.
CREATE TABLE attempt (
    run_id           TEXT NOT NULL REFERENCES run (run_id),
    attempt          INTEGER NOT NULL,               -- counted from 1; also the name of its folder
    status           TEXT NOT NULL DEFAULT 'running', -- `running` until its supervisor closes it
    message          TEXT,                           -- reason, unless it succeeded
    pid              INTEGER,
    slot             INTEGER,
    host             TEXT,                           -- from here to data_fingerprint: NULL until it has begun
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
    checkpoint_step  INTEGER,                        -- steps in its newest checkpoint
    unchecked_lines  INTEGER NOT NULL DEFAULT 0,     -- journal lines without a checksum (format 1)
    PRIMARY KEY (run_id, attempt)
) STRICT, WITHOUT ROWID;

-- The measured values in compact form, sorted for fast access. Query the view `measurement` instead.
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

-- What runs predicted for images; only reports read it. It is apart from `run`, which every command reads.
CREATE TABLE prediction (
    run         INTEGER PRIMARY KEY REFERENCES run,
    predictions TEXT NOT NULL -- JSON: for each split and form, the true and the predicted class of each image
) STRICT;

-- One row per measured value. If a value was measured again after a resume, it is the one of the latest attempt.
CREATE VIEW measurement AS
SELECT run_id,
    metric,                       -- accuracy, loss, throughput, …
    nullif(split, '') AS split,   -- train, validation, test; NULL if no images are involved
    nullif(form, '') AS form,     -- training, deployed; NULL if both forms share the value
    nullif(epoch, -1) AS epoch,   -- number of finished epochs; NULL if training does not change it
    value,
    attempt                       -- the attempt that has the value in its journal
FROM value JOIN run USING (run);

-- The state of each run, without its values and digests.
CREATE VIEW run_state AS
SELECT run_id, short_id, seed, status, message, attempts, trainer_version, arithmetic, processor, data_fingerprint,
    checkpoint_step
FROM run;

-- The final values of each run. A value measured after several epochs is taken from the last of them.
CREATE VIEW final_measurement AS
SELECT run_id, metric, split, form, value
FROM (
    SELECT *, row_number() OVER (PARTITION BY run_id, metric, split, form ORDER BY epoch DESC) AS age
    FROM measurement
)
WHERE age = 1;

-- One row per experiment, profile and run. Metrics are those of the deployed form, unless the column says otherwise.
-- They are measured on the test set, after the last epoch at which they were measured.
CREATE VIEW run_summary AS
SELECT name AS experiment, profile, short_id, status, message, coordinates, seed, attempts,
    accuracy, accuracy_training_form, loss, top5_accuracy, verification_accuracy, identification_accuracy, mean_iou,
    params, flops, flops_all, throughput, throughput_training_form, max_abs_diff, top1_agreement,
    epochs, train_time_s, data_wait_s, run_id
FROM experiment_run JOIN run_state USING (run_id)
LEFT JOIN (
    SELECT run_id,
        max(value) FILTER (WHERE metric = 'accuracy' AND split = 'test' AND form = 'deployed') AS accuracy,
        max(value) FILTER (WHERE metric = 'accuracy' AND split = 'test' AND form = 'training')
            AS accuracy_training_form,
        max(value) FILTER (WHERE metric = 'loss' AND split = 'test' AND form = 'deployed') AS loss,
        max(value) FILTER (WHERE metric = 'top5_accuracy' AND split = 'test' AND form = 'deployed') AS top5_accuracy,
        max(value) FILTER (WHERE metric = 'verification_accuracy' AND split = 'test' AND form = 'deployed')
            AS verification_accuracy,
        max(value) FILTER (WHERE metric = 'identification_accuracy' AND split = 'test' AND form = 'deployed')
            AS identification_accuracy,
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

-- One row per run and epoch, with the values of the training form.
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
