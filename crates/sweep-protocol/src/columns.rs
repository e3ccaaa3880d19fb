//! The columns that exported tables have beside those of the axes: no axis may have one of these names.
//!
//! Here, since the file that names an axis and the tables that show it are read and written by crates that do not know each other.

/// Columns of the frame of all measurements, after those of the axes.
pub const FRAME_COLUMNS: [&str; 9] = ["run", "seed", "status", "metric", "split", "form", "epoch", "value", "source"];

/// Columns of a report's table as CSV, after those of the axes.
pub const TABLE_COLUMNS: [&str; 22] = [
    "metric",
    "split",
    "form",
    "epoch",
    "n",
    "planned",
    "mean",
    "sd",
    "low95",
    "high95",
    "best",
    "tied",
    "missing",
    "delta",
    "delta_n",
    "delta_low95",
    "delta_high95",
    "p",
    "p_adjusted",
    "comparisons",
    "sign_flip_p",
    "paper",
];

/// Whether an exported table has a column of that name already.
pub fn is_reserved_column(name: &str) -> bool {
    FRAME_COLUMNS.contains(&name) || TABLE_COLUMNS.contains(&name)
}

/// The column of an axis; plans of older versions may have an axis with a reserved name.
pub fn axis_column(name: &str) -> String {
    if is_reserved_column(name) { format!("axis_{name}") } else { name.to_owned() }
}
