//! The JSON Schema for editors must agree with the parser.

use serde_json::{Value, json};
use sweep_plan::experiment_schema;

use crate::bench::Bench;

fn schema() -> Value {
    experiment_schema(&json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": { "model": { "$ref": "#/definitions/Model" } },
        "required": ["model"],
        "additionalProperties": false,
        "definitions": {
            "Model": { "type": "object", "properties": { "width": { "type": "integer" } }, "required": ["width"] },
        },
    }))
}

#[test]
fn overlays_are_parts_of_the_configuration() {
    let schema = schema();
    let overlay = &schema["properties"]["overlay"]["allOf"][0]["$ref"];
    assert_eq!(overlay, "#/definitions/experiment-overlay");
    let definitions = &schema["definitions"];
    assert_eq!(definitions["experiment-overlay"]["properties"]["model"]["$ref"], "#/definitions/Model");
    assert_eq!(definitions["Model"], json!({ "type": "object", "properties": { "width": { "type": "integer" } } }));
    assert_eq!(schema["required"], json!(["question", "base"]));
}

#[test]
fn every_reference_has_a_target() {
    fn check(value: &Value, root: &Value) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(target)) => {
                    assert!(root.pointer(target.trim_start_matches('#')).is_some(), "{target}");
                }
                _ => check(value, root),
            }),
            Value::Array(items) => items.iter().for_each(|item| check(item, root)),
            _ => {}
        }
    }
    check(&schema(), &schema());
}

#[test]
fn the_parser_knows_every_key_of_the_schema_and_no_other() {
    let schema = schema();
    let bench = Bench::new();
    let known = |block: &str, key: &str| {
        let text = match block {
            "" => format!("{key} = 0\n"),
            "profile" => format!("[profile.p]\n{key} = 0\n"),
            "limits" => format!("[limits]\n{key} = 0\n"),
            block => format!("[[{block}]]\n{key} = 0\n"),
        };
        let error = bench.load(&text, None).unwrap_err();
        !error.faults().iter().any(|fault| fault.message().contains(&format!("unknown key `{key}`")))
    };
    for block in ["", "axis", "grid", "exclude", "include", "profile", "limits"] {
        let table = if block.is_empty() { &schema } else { &schema["definitions"][format!("experiment-{block}")] };
        for key in table["properties"].as_object().unwrap().keys() {
            assert!(known(block, key), "{block} {key}");
        }
        assert!(!known(block, "nonsense"), "{block}");
    }
}
