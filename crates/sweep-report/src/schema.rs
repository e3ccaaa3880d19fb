//! The words of the protocol as JSON Schema enumerations, so that an editor completes them.
//!
//! Knows no word itself: the lists come from the protocol.

use schemars::{Schema, SchemaGenerator, json_schema};
use sweep_protocol::{Form, Metric, Split};

pub(crate) fn metric(_: &mut SchemaGenerator) -> Schema {
    one_of(&Metric::all().map(Metric::name).collect::<Vec<_>>())
}

pub(crate) fn split(_: &mut SchemaGenerator) -> Schema {
    one_of(&[Split::Train, Split::Validation, Split::Test].map(Split::name))
}

pub(crate) fn form(_: &mut SchemaGenerator) -> Schema {
    one_of(&[Form::Training, Form::Deployed].map(Form::name))
}

fn one_of(words: &[&str]) -> Schema {
    json_schema!({ "type": "string", "enum": words })
}
