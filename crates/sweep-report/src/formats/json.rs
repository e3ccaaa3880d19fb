//! A report as JSON for programs: in base units, not rounded.

use serde::Serialize;

use crate::ReportError;
use crate::document::Document;
use crate::overview::Overview;
use crate::table::Table;

/// Content of `report.json`.
#[derive(Serialize)]
struct Report<'a> {
    title: &'a str,
    overview: &'a Overview,
    tables: &'a [Table],
}

/// Formats the report.
pub(super) fn report(document: &Document) -> Result<String, ReportError> {
    let Document { title, overview, tables, .. } = document;
    let fault = |source| ReportError::Json { path: "report.json".into(), source };
    Ok(serde_json::to_string_pretty(&Report { title, overview, tables }).map_err(fault)? + "\n")
}
