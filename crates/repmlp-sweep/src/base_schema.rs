//! The JSON Schema of a base file: a configuration of the built-in trainer, or a command with free keys.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use sweep_trainer::CommandConfig;

use crate::program::Program;

/// Returns the schema of a base file, for editors.
pub(crate) fn base_schema(program: &Program) -> Value {
    let mut schema = with_command(program);
    let Some(table) = schema.as_object_mut() else { return schema };
    let required = table.remove("required").unwrap_or_default();
    let known: Map<String, Value> =
        table["properties"].as_object().into_iter().flatten().map(|(key, _)| (key.clone(), json!(true))).collect();
    // With a command, all other keys are free.
    table.insert("if".to_owned(), json!({ "required": ["trainer"] }));
    table.insert("then".to_owned(), json!({}));
    let closed = json!({ "required": required, "additionalProperties": false, "properties": known });
    table.insert("else".to_owned(), closed);
    schema
}

/// Returns the schema of everything that an overlay of an experiment may contain, for editors.
pub(crate) fn overlay_schema(program: &Program) -> Value {
    with_command(program)
}

/// Returns the keys of the built-in trainer with those that name a command. Other keys are allowed.
fn with_command(program: &Program) -> Value {
    let mut schema = program.candle.schema().clone();
    let mut command = SchemaSettings::draft07().into_generator().into_root_schema_for::<CommandConfig>().to_value();
    if let Some(table) = command.as_object_mut() {
        ["$schema", "title"].iter().for_each(|key| drop(table.remove(*key)));
    }
    let meaning = "A command that trains each run. Then all other keys are free, and the command reads them.";
    schema["properties"]["trainer"] =
        json!({ "allOf": [{ "$ref": "#/definitions/CommandConfig" }], "description": meaning });
    schema["definitions"]["CommandConfig"] = command;
    schema["properties"]["metric"] = json!({
        "type": "object",
        "description": "Metrics that the program does not know, by name: `[metric.latency]`.",
        "additionalProperties": { "$ref": "#/definitions/MetricDeclaration" },
    });
    schema["definitions"]["MetricDeclaration"] = json!({
        "type": "object",
        "description": "Declaration of a metric.",
        "properties": {
            "unit": {
                "type": "string",
                "description": "Unit of its values: `ms`, `fraction` (shown in %), … Empty for none; at most 16 bytes.",
            },
            "better": {
                "enum": ["higher", "lower", "neither"],
                "description": "Direction in which it improves. It decides marks and verdicts.",
            },
        },
        "required": ["unit", "better"],
        "additionalProperties": false,
    });
    if let Some(table) = schema.as_object_mut() {
        table.remove("additionalProperties");
    }
    schema
}
