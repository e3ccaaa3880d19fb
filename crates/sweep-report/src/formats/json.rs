//! A report as JSON for programs: in base units, not rounded.

use serde::Serialize;

use crate::ReportError;
use crate::analysis::Analysis;
use crate::claims::Judged;
use crate::document::{Answers, Document};
use crate::overview::Overview;
use crate::table::Table;

/// Content of `report.json`.
#[derive(Serialize)]
struct Report<'a> {
    title: &'a str,
    overview: &'a Overview,
    tables: &'a [Table],
    #[serde(skip_serializing_if = "<[Analysis]>::is_empty")]
    analyses: &'a [Analysis],
    #[serde(skip_serializing_if = "<[Judged]>::is_empty")]
    claims: &'a [Judged],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    withdrawn: &'a [String],
}

/// Formats the report.
pub(super) fn report(document: &Document) -> Result<String, ReportError> {
    let Document { title, overview, answers: Answers { tables, analyses, claims, withdrawn }, .. } = document;
    let fault = |source| ReportError::Json { path: "report.json".into(), source };
    Ok(serde_json::to_string_pretty(&Report { title, overview, tables, analyses, claims, withdrawn }).map_err(fault)?
        + "\n")
}
