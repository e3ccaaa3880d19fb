//! `schema`: prints a JSON Schema, with which editors complete and check files.

use anyhow::Result;

use super::{json_text, print_bytes};
use crate::base_schema::{base_schema, overlay_schema};
use crate::cli::{SchemaArgs, SchemaOf};
use crate::exit::Exit;
use crate::program::Program;

pub(crate) fn run(arguments: &SchemaArgs, program: &Program) -> Result<Exit> {
    print_bytes(text(arguments.of, program)?.as_bytes())?;
    Ok(Exit::Done)
}

/// The schema of a kind of file, as JSON text.
pub(super) fn text(of: SchemaOf, program: &Program) -> Result<String> {
    let schema = match of {
        SchemaOf::Experiment => sweep_plan::experiment_schema(&overlay_schema(program)),
        SchemaOf::Base => base_schema(program),
        SchemaOf::Report => sweep_report::report_schema().into(),
    };
    Ok(json_text(&format!("{}\n", serde_json::to_string_pretty(&schema)?)))
}
