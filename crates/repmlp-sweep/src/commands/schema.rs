//! `schema`: prints a JSON Schema, with which editors complete and check files.

use anyhow::Result;

use super::{json_text, print_bytes};
use crate::cli::{SchemaArgs, SchemaOf};
use crate::exit::Exit;
use crate::resolve::config_schema;

pub(crate) fn run(arguments: &SchemaArgs) -> Result<Exit> {
    print_bytes(text(arguments.of)?.as_bytes())?;
    Ok(Exit::Done)
}

/// The schema of a kind of file, as JSON text.
pub(super) fn text(of: SchemaOf) -> Result<String> {
    let schema = match of {
        SchemaOf::Experiment => sweep_plan::experiment_schema(&config_schema()),
        SchemaOf::Base => config_schema(),
        SchemaOf::Report => sweep_report::report_schema().into(),
    };
    Ok(json_text(&format!("{}\n", serde_json::to_string_pretty(&schema)?)))
}
