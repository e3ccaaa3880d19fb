//! The numbers that the paper prints and what it says about them, carried by the program so that it needs no clone of
//! its repository; and what the networks in its rows count.

use std::collections::BTreeMap;

use repmlp::catalogue;
use repmlp::cost::CountedForm;
use sweep_protocol::Form;
use sweep_report::{Counts, PaperNumbers};

/// The file of the paper's statements below `reports`.
pub(crate) const STATEMENTS: &str = "paper/claims.toml";
/// The text of that file.
const STATEMENTS_TEXT: &str = include_str!("../../../reports/paper/claims.toml");

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

/// Returns every carried file: its name below `reports`, and its text.
pub(crate) fn files() -> Vec<(&'static str, &'static str)> {
    TABLES.into_iter().chain([(STATEMENTS, STATEMENTS_TEXT)]).collect()
}

/// Counts the networks in the rows of some tables. Rows without a network of the catalogue are left out: they may be of
/// another paper.
pub(crate) fn counts(paper: &PaperNumbers) -> BTreeMap<String, Counts> {
    let mut counts = BTreeMap::new();
    for row in paper.tables.values().flat_map(|table| &table.rows) {
        let Some(named) = row.model.as_ref().and_then(|name| catalogue::find(name).ok()) else { continue };
        let form = if row.form == Some(Form::Training) { CountedForm::Training } else { CountedForm::Deployed };
        let account = named.model.account(named.task, form);
        counts.insert(row.id.clone(), Counts { params: account.params() as f64, flops: account.flops() as f64 });
    }
    counts
}

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
