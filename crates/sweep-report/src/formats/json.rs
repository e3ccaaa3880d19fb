//! A report as JSON for programs: in base units, not rounded.

use serde::Serialize;

use crate::ReportError;
use crate::claims::Judged;
use crate::document::Document;
use crate::overview::Overview;
use crate::table::Table;

/// Content of `report.json`.
#[derive(Serialize)]
struct Report<'a> {
    title: &'a str,
    overview: &'a Overview,
    tables: &'a [Table],
    #[serde(skip_serializing_if = "<[Judged]>::is_empty")]
    claims: &'a [Judged],
}

/// Formats the report.
pub(super) fn report(document: &Document) -> Result<String, ReportError> {
    let Document { title, overview, tables, claims, .. } = document;
    let fault = |source| ReportError::Json { path: "report.json".into(), source };
    Ok(serde_json::to_string_pretty(&Report { title, overview, tables, claims }).map_err(fault)? + "\n")
}
