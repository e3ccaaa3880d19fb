//! `schema`: what an editor needs to complete and check files.

use anyhow::Result;

use super::print_json;
use crate::cli::{SchemaArgs, SchemaOf};
use crate::exit::Exit;
use crate::resolve::config_schema;

pub(crate) fn run(arguments: &SchemaArgs) -> Result<Exit> {
    match arguments.of {
        SchemaOf::Experiment => print_json(&sweep_plan::experiment_schema(&config_schema()))?,
        SchemaOf::Base => print_json(&config_schema())?,
        SchemaOf::Report => print_json(&sweep_report::report_schema())?,
    }
    Ok(Exit::Done)
}
