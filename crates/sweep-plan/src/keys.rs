//! The keys of an experiment file: one table for the parser, its error texts and the JSON Schema.
//!
//! Knows names, forms and docs of keys; nothing of configurations, which are overlays of any content.

/// A table of the file and the keys that it may have.
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

/// The form of a value.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Any value of a configuration.
    Any,
    /// One line that is not blank.
    Text,
    /// A text of one line or several that is not blank.
    Prose,
    /// What files and folders may be called.
    Name,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number from this one upwards.
    Whole(u64),
    /// At least one of these.
    List(&'static Kind),
    /// A table whose keys are labels or names that are declared elsewhere.
    Map(&'static Kind),
    /// A table whose keys are names of files and folders.
    Named(&'static Kind),
    OneOf(&'static [Kind]),
    /// A part of a configuration.
    Overlay,
    Block(&'static Block),
}

const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, need: Need::Required, doc }
}

const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, need: Need::Optional, doc }
}

const SEEDS: Kind = Kind::OneOf(&[Kind::Whole(1), Kind::List(&Kind::Whole(0))]);
const AXES: Kind = Kind::List(&Kind::Block(&AXIS));
const COORDINATES: Kind = Kind::Map(&Kind::Text);

const EXEC: Block = Block {
    name: "exec",
    doc: "How runs are carried out.",
    keys: &[optional(
        "kernels",
        Kind::Word(&["plain", "avx2", "avx512"]),
        "Instruction set that all runs compute with. Name the least of the processors that share the \
         work: numbers of different sets differ in their last digits. Default: that of the runs that are there, else the best of \
         this processor. Runs that were measured with another are measured again.",
    )],
};

/// The file itself.
pub(crate) const EXPERIMENT: Block = Block {
    name: "experiment",
    doc: "One question, and the runs that answer it.",
    keys: &[
        required("question", Kind::Prose, "The question that the experiment asks, in one sentence."),
        required(
            "base",
            Kind::Text,
            "Path of the complete configuration that every run starts from, relative to this file.",
        ),
        optional("overlay", Kind::Overlay, "Laid over the base, for every run."),
        optional(
            "seeds",
            SEEDS,
            "How many seeds each configuration runs with (3 means 0, 1, 2), or a list of them. Default: 1.",
        ),
        optional(
            "exec",
            Kind::Block(&EXEC),
            "How runs are carried out. No part of what a run is, except as `kernels` says.",
        ),
        optional("baseline", COORDINATES, "Axis and label of the row that differences are taken to."),
        optional("axis", AXES, "A dimension that all runs have; axes multiply, the last one changes fastest."),
        optional(
            "grid",
            Kind::List(&Kind::Block(&GRID)),
            "A product of its own axes with those of the file; several grids make a union.",
        ),
        optional("exclude", Kind::List(&Kind::Block(&EXCLUDE)), "Coordinates that are left out, with the reason."),
        optional(
            "include",
            Kind::List(&Kind::Block(&INCLUDE)),
            "A row beyond the products; grid overlays and excludes do not touch it.",
        ),
        optional(
            "profile",
            Kind::Named(&Kind::Block(&PROFILE)),
            "A named variation of the experiment, chosen on the command line.",
        ),
        optional("limits", Kind::Block(&LIMITS), "What the plan must not exceed."),
    ],
};

/// `[[axis]]` and `[[grid.axis]]`.
pub(crate) const AXIS: Block = Block {
    name: "axis",
    doc: "A dimension in one of three forms: `path` and `values`, or `zip`, or `[axis.points.LABEL]` tables.",
    keys: &[
        required("name", Kind::Name, "Name of the axis in coordinates, tables and plots."),
        optional("path", Kind::Text, "Dotted key of the configuration that takes the values."),
        optional("values", Kind::List(&Kind::Any), "One point for each value."),
        optional(
            "labels",
            Kind::List(&Kind::Text),
            "Names of the points, one for each value; by default the value as text.",
        ),
        optional(
            "zip",
            Kind::Map(&Kind::List(&Kind::Any)),
            "Quoted dotted keys with lists of equal length that move together.",
        ),
        optional(
            "points",
            Kind::Map(&Kind::Overlay),
            "One point for each label; its table is laid over the configuration.",
        ),
    ],
};

const GRID: Block = Block {
    name: "grid",
    doc: "One product of the union.",
    keys: &[
        optional("axis", AXES, "A dimension of this grid only."),
        optional("overlay", Kind::Overlay, "Laid over the configuration for this grid only."),
    ],
};

const EXCLUDE: Block = Block {
    name: "exclude",
    doc: "Coordinates that are left out.",
    keys: &[
        required(
            "where",
            Kind::Map(&Kind::OneOf(&[Kind::Text, Kind::List(&Kind::Text)])),
            "Axis with a label or a list of labels; all named axes must match.",
        ),
        required("reason", Kind::Prose, "Why; shown in the plan and under tables."),
    ],
};

const INCLUDE: Block = Block {
    name: "include",
    doc: "A row beyond the products.",
    keys: &[
        required(
            "coordinates",
            COORDINATES,
            "Axis and label; the overlay of a declared point applies, another label is new.",
        ),
        optional("overlay", Kind::Overlay, "Laid over the configuration last."),
    ],
};

const PROFILE: Block = Block {
    name: "profile",
    doc: "A named variation of the experiment.",
    keys: &[
        optional("overlay", Kind::Overlay, "Laid over base and overlay of the file, below grids and axes."),
        optional("seeds", SEEDS, "Replaces the seeds of the file."),
        optional(
            "points",
            Kind::Map(&Kind::OneOf(&[Kind::List(&Kind::Any), Kind::Map(&Kind::Overlay)])),
            "Axis with the values (short form) or labels (other forms) that replace its points, or with tables as \
             `[axis.points.LABEL]` has them, for the labels that it keeps.",
        ),
        optional("baseline", COORDINATES, "Replaces the baseline of the file."),
    ],
};

const LIMITS: Block = Block {
    name: "limits",
    doc: "What the plan must not exceed.",
    keys: &[optional("max_runs", Kind::Whole(1), "Most runs that the plan may have.")],
};
