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
