//! Columns of exported tables, apart from the axes' columns. No axis may have one of these names.
//!
//! The list is in this crate because it has two users that do not know each other: the crate that reads axis names, and
//! the crate that writes tables.

/// Columns of the data frame of all measurements, after the axes' columns.
pub const FRAME_COLUMNS: [&str; 9] = ["run", "seed", "status", "metric", "split", "form", "epoch", "value", "source"];

/// Columns of a report's table as CSV, after the axes' columns.
pub const TABLE_COLUMNS: [&str; 38] = [
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
    "relative",
    "relative_rounds",
    "relative_low95",
    "relative_high95",
    "p_holm",
    "welch_p",
    "welch_low95",
    "welch_high95",
    "d_z",
    "d_av",
    "d_s",
    "superiority",
    "paired_superiority",
    "margin",
    "equivalence",
    "equivalence_p",
];

/// More columns of such a table, if its runs stored their predictions: the interval of the difference over the choice
/// of the test images.
pub const IMAGE_COLUMNS: [&str; 2] = ["images_low95", "images_high95"];

/// Columns of a front of cost and value that other tables do not have, beside one per axis.
pub const FRONT_COLUMNS: [&str; 5] = ["cost_mean", "standing", "dominated_by", "perhaps_dominated_by", "challengers"];

/// Whether exported tables already have a column of this name.
pub fn is_reserved_column(name: &str) -> bool {
    [&FRAME_COLUMNS[..], &TABLE_COLUMNS, &IMAGE_COLUMNS, &FRONT_COLUMNS].iter().any(|columns| columns.contains(&name))
}

/// Returns the column name of an axis. Plans of older versions may have axes with reserved names; these get a prefix.
pub fn axis_column(name: &str) -> String {
    if is_reserved_column(name) { format!("axis_{name}") } else { name.to_owned() }
}
