//! The numbers that the paper prints, carried by the program so that it needs no clone of its repository.

use anyhow::{Context, Result};
use serde::Deserialize;

/// Each table: its file below `reports`, and its text.
pub(crate) const TABLES: [(&str, &str); 7] = [
    ("paper/table1.toml", include_str!("../../../reports/paper/table1.toml")),
    ("paper/table2.toml", include_str!("../../../reports/paper/table2.toml")),
    ("paper/table3.toml", include_str!("../../../reports/paper/table3.toml")),
    ("paper/table4.toml", include_str!("../../../reports/paper/table4.toml")),
    ("paper/table5.toml", include_str!("../../../reports/paper/table5.toml")),
    ("paper/table6.toml", include_str!("../../../reports/paper/table6.toml")),
    ("paper/table7.toml", include_str!("../../../reports/paper/table7.toml")),
];

/// What is shown of Figure 4, beside our own. Its file says more.
#[derive(Debug, Deserialize)]
pub(crate) struct PaperFigure {
    pub(crate) source: String,
    /// What was trained, in words.
    pub(crate) setting: String,
    /// The block whose FC3 is shown, in words.
    pub(crate) layer: String,
    pub(crate) slice: String,
    /// The cells that the text names.
    #[serde(rename = "row")]
    pub(crate) rows: Vec<PaperCells>,
}

/// Cells of the figure, with their smallest and largest value where the paper gives them.
#[derive(Debug, Deserialize)]
pub(crate) struct PaperCells {
    pub(crate) name: String,
    pub(crate) before: Option<[f64; 2]>,
    pub(crate) after: Option<[f64; 2]>,
}

const FIGURE_4: &str = include_str!("../../../reports/paper/figure4.toml");

/// Reads Figure 4.
///
/// # Errors
/// Never: a test reads the same text.
pub(crate) fn figure4() -> Result<PaperFigure> {
    toml::from_str(FIGURE_4).context("Figure 4 of the paper")
}

#[cfg(test)]
mod tests {
    use repmlp::catalogue;

    use super::*;

    #[test]
    fn figure_4_shows_a_block_of_its_network() {
        let (figure, all) = (figure4().unwrap(), toml::from_str::<toml::Table>(FIGURE_4).unwrap());
        let network = catalogue::find(all["model"].as_str().unwrap()).unwrap();
        let (_, shape) = network.model.fc3s(network.task).remove(0);
        let view = [shape.outputs, shape.h, shape.w, shape.inputs, shape.h, shape.w];
        assert_eq!(all["view"].clone().try_into::<Vec<usize>>().unwrap(), view);
        for row in &figure.rows {
            assert!([row.before, row.after].into_iter().flatten().all(|[low, high]| low <= high), "{row:?}");
        }
    }
}
