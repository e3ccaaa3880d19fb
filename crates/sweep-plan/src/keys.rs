//! The keys of an experiment file. The parser, its error texts and the JSON Schema all use this table.
//!
//! This module knows names, forms and descriptions of keys. It does not know configurations: these are overlays with
//! any content.

/// A table of the file with its allowed keys.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
}

/// One key of a block.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
    pub(crate) doc: &'static str,
}

/// Whether a key may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
}

/// Form of a value.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Any value of a configuration.
    Any,
    /// One line of text that is not blank.
    Text,
    /// One or more lines of text that are not blank.
    Prose,
    /// A valid name for files and folders.
    Name,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number between these two, both included.
    Whole(u64, u64),
    /// `true` or `false`.
    Flag,
    /// A list of at least one item of this form.
    List(&'static Kind),
    /// A table whose keys are labels, or names that are declared elsewhere.
    Map(&'static Kind),
    /// A table whose keys are names of files and folders.
    Named(&'static Kind),
    OneOf(&'static [Kind]),
    /// A partial configuration.
    Overlay,
    Block(&'static Block),
}

const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, need: Need::Required, doc }
}

const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, need: Need::Optional, doc }
}

/// No upper end.
const ANY: u64 = u64::MAX;
/// The largest number that Slurm takes for cores and seconds of a signal.
const SLURM_MOST: u64 = 65_535;
/// The largest number of other settings.
const MOST: u64 = u32::MAX as u64;

const SEEDS: Kind = Kind::OneOf(&[Kind::Whole(1, ANY), Kind::List(&Kind::Whole(0, ANY))]);
const AXES: Kind = Kind::List(&Kind::Block(&AXIS));
const COORDINATES: Kind = Kind::Map(&Kind::Text);

const EXEC: Block = Block {
    name: "exec",
    doc: "Settings for executing the runs. They do not change a run's identity, but `kernels` can require new \
          measurements.",
    keys: &[
        optional(
            "kernels",
            Kind::Word(&["plain", "avx2", "avx512"]),
            "Instruction set that all runs compute with. To share a sweep between machines, name a set that all of \
             them support: results with different sets differ in their last digits. Runs that were measured with \
             another set are measured again. Default: the set of the runs that already exist, else the best set of \
             this processor.",
        ),
        optional(
            "device",
            Kind::OneOf(&[Kind::Text, Kind::List(&Kind::Text)]),
            "Device of the tensors, or a list of devices, as for `--device`, which counts more. Default: `auto`.",
        ),
        optional(
            "slots",
            Kind::Whole(1, 256),
            "Number of runs at the same time on each device, as for `--slots`, which counts more. Default: one on a \
             GPU; on the CPU one per core, at most 8.",
        ),
        optional(
            "threads",
            Kind::Whole(1, 1024),
            "Number of threads of each run, as for `--threads`, which counts more. Default: the machine's cores, \
             divided among the slots.",
        ),
        optional(
            "program",
            Kind::Text,
            "Path of the program that trains, relative to the project folder, such as a build for GPUs, as for \
             `--worker`, which counts more. It must have the same version. Default: the program that is called.",
        ),
    ],
};

const LOG: Block = Block {
    name: "log",
    doc: "Where measurements go while runs train, besides the results folder. It changes no result.",
    keys: &[optional(
        "tensorboard",
        Kind::Flag,
        "Write event files, which TensorBoard reads, to `experiments/<experiment>/<profile>/tensorboard/` in the \
         results folder, with a folder for each run. Default: `false`.",
    )],
};

const LAUNCHER: Block = Block {
    name: "launcher",
    doc: "Where runs can go, besides this machine. It changes no result.",
    keys: &[optional("slurm", Kind::Block(&SLURM), "Settings of `--launcher slurm`.")],
};

const SLURM: Block = Block {
    name: "slurm",
    doc: "Settings of `--launcher slurm`: what the runs need, and how tasks behave.",
    keys: &[
        optional("partition", Kind::Text, "Partition of the tasks (`--partition`). Default: the cluster's."),
        optional("account", Kind::Text, "Account that is charged (`--account`). Default: the user's."),
        optional(
            "time",
            Kind::Text,
            "Time limit of one task in Slurm's form, such as `04:00:00` (`--time`). A run that needs longer continues \
             from its checkpoint in a later start. Default: the partition's.",
        ),
        optional("gres", Kind::Text, "Resources of one task, such as `gpu:1` (`--gres`)."),
        optional(
            "cpus",
            Kind::Whole(1, SLURM_MOST),
            "Cores of one task, and threads of its run (`--cpus-per-task`). Default: 1.",
        ),
        optional("memory", Kind::Text, "Memory of one task, such as `8G` (`--mem`). Default: the partition's."),
        optional(
            "array_limit",
            Kind::Whole(1, MOST),
            "Number of tasks that may run at the same time. Default: no limit.",
        ),
        optional(
            "device",
            Kind::Text,
            "Device of the tensors on the nodes: `cpu` or `cuda:0`. Slurm shows a task only its own GPUs, so the first \
             is always `cuda:0`. Default: `cpu`.",
        ),
        optional(
            "signal_before",
            Kind::Whole(1, SLURM_MOST),
            "Seconds before the time limit at which a task is asked to write a checkpoint and to queue again. Slurm \
             may ask up to 60 s earlier. Default: 120.",
        ),
        optional("requeues", Kind::Whole(0, MOST), "Number of times that a task may queue again. Default: 50."),
        optional(
            "poll",
            Kind::Whole(1, MOST),
            "Seconds between two questions to Slurm, for all tasks together. Default: 15.",
        ),
        optional("extra", Kind::List(&Kind::Text), "More options of `sbatch`, one in each line, such as `--qos=long`."),
        optional(
            "setup",
            Kind::List(&Kind::Text),
            "Lines of shell script that run before the program, such as `module load cuda`.",
        ),
        optional(
            "program",
            Kind::Text,
            "Path of the program that trains, such as a build for GPUs. It must be of the same version. Default: a \
             copy of the program that submits.",
        ),
    ],
};

/// The file itself.
pub(crate) const EXPERIMENT: Block = Block {
    name: "experiment",
    doc: "An experiment: one question, and the runs that answer it.",
    keys: &[
        required("question", Kind::Prose, "The question that the experiment asks, in one sentence."),
        required(
            "base",
            Kind::Text,
            "Path of the complete configuration that every run starts from, relative to this file.",
        ),
        optional(
            "overlay",
            Kind::Overlay,
            "Partial configuration that is merged over the base, for every run. Tables merge key by key; a table with \
             another `kind` replaces the whole old table; all other values replace the old value.",
        ),
        optional(
            "seeds",
            SEEDS,
            "Seeds that each configuration runs with: a number of seeds (3 means seeds 0, 1, 2) or a list of seeds. \
             Default: 1, which means seed 0.",
        ),
        optional(
            "exec",
            Kind::Block(&EXEC),
            "Settings for executing the runs. They do not change a run's identity, but `kernels` can require new \
             measurements.",
        ),
        optional(
            "log",
            Kind::Block(&LOG),
            "Where measurements go while runs train, besides the results folder. It changes no result.",
        ),
        optional("launcher", Kind::Block(&LAUNCHER), "Where runs can go, besides this machine. It changes no result."),
        optional(
            "baseline",
            COORDINATES,
            "Baseline for the differences in tables: names of axes with one label each. On other axes, each \
             row is compared with the baseline row that has the same label. Default: no baseline and no differences.",
        ),
        optional(
            "axis",
            AXES,
            "An axis: one dimension that all rows have. The plan contains all combinations of the axes' points; the \
             last axis changes fastest.",
        ),
        optional(
            "grid",
            Kind::List(&Kind::Block(&GRID)),
            "A grid: all combinations of the file's axes and the grid's own axes. The plan contains the rows of all \
             grids.",
        ),
        optional(
            "exclude",
            Kind::List(&Kind::Block(&EXCLUDE)),
            "Combinations that the plan leaves out, with the reason.",
        ),
        optional(
            "include",
            Kind::List(&Kind::Block(&INCLUDE)),
            "A single row in addition to all combinations. Overlays of grids and excludes do not apply to it.",
        ),
        optional(
            "profile",
            Kind::Named(&Kind::Block(&PROFILE)),
            "A named variation of the experiment, chosen with `--profile NAME`. Results of different profiles are \
             kept apart.",
        ),
        optional("limits", Kind::Block(&LIMITS), "Limits that the plan must not exceed."),
    ],
};

/// `[[axis]]` and `[[grid.axis]]`.
pub(crate) const AXIS: Block = Block {
    name: "axis",
    doc: "An axis in one of three forms: `path` and `values`, or `zip`, or `[axis.points.LABEL]` tables.",
    keys: &[
        required("name", Kind::Name, "Name of the axis in coordinates, tables and plots."),
        optional("path", Kind::Text, "Dotted key of the configuration that takes the values: `model.block.groups`."),
        optional("values", Kind::List(&Kind::Any), "Values of the key at `path`. Each value makes one point."),
        optional(
            "labels",
            Kind::List(&Kind::Text),
            "Labels of the points, one for each point. Not allowed with `points`. Default: each value as text; with \
             `zip`, the values of the first key.",
        ),
        optional(
            "zip",
            Kind::Map(&Kind::List(&Kind::Any)),
            "Several keys that change together: dotted keys in quotes, each with a list of values. All lists have \
             the same length. Point n takes value n of every list.",
        ),
        optional(
            "points",
            Kind::Map(&Kind::Overlay),
            "Points of the axis by label. Each point is a partial configuration that is merged for its rows.",
        ),
    ],
};

const GRID: Block = Block {
    name: "grid",
    doc: "A grid: all combinations of the file's axes and the grid's own axes.",
    keys: &[
        optional("axis", AXES, "An axis of this grid only."),
        optional(
            "overlay",
            Kind::Overlay,
            "Partial configuration that is merged for the rows of this grid only, before the points of the axes.",
        ),
    ],
};

const EXCLUDE: Block = Block {
    name: "exclude",
    doc: "Combinations that the plan leaves out.",
    keys: &[
        required(
            "where",
            Kind::Map(&Kind::OneOf(&[Kind::Text, Kind::List(&Kind::Text)])),
            "Names of axes, each with a label or a list of labels. A row is left out if it matches all named axes.",
        ),
        required("reason", Kind::Prose, "Reason for the exclusion; shown in the plan and under tables."),
    ],
};

const INCLUDE: Block = Block {
    name: "include",
    doc: "A single row in addition to all combinations.",
    keys: &[
        required(
            "coordinates",
            COORDINATES,
            "Names of axes with one label each. The label of a declared point also brings the point's overlay; any \
             other label is new.",
        ),
        optional("overlay", Kind::Overlay, "Partial configuration that is merged last, over everything else."),
    ],
};

const PROFILE: Block = Block {
    name: "profile",
    doc: "A named variation of the experiment.",
    keys: &[
        optional(
            "overlay",
            Kind::Overlay,
            "Partial configuration that is merged over the base and the file's `overlay`, before grids and axes.",
        ),
        optional(
            "seeds",
            SEEDS,
            "Replaces the file's seeds: a number of seeds (3 means seeds 0, 1, 2) or a list of seeds.",
        ),
        optional(
            "points",
            Kind::Map(&Kind::OneOf(&[Kind::List(&Kind::Any), Kind::Map(&Kind::Overlay)])),
            "Replaces the points of the named axes. For each axis give a list (values for an axis with `path`, else \
             labels of points to keep), or a table with a new overlay for each label to keep, as in \
             `[axis.points.LABEL]`.",
        ),
        optional("baseline", COORDINATES, "Replaces the file's baseline."),
    ],
};

const LIMITS: Block = Block {
    name: "limits",
    doc: "Limits that the plan must not exceed.",
    keys: &[optional(
        "max_runs",
        Kind::Whole(1, ANY),
        "Maximum number of runs in the plan. With more runs, planning fails. Default: 1000000, the most \
         that a plan can hold.",
    )],
};
