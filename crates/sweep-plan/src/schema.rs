//! The JSON Schema of an experiment file. Editors use it to complete keys and show their descriptions.
//!
//! It is generated from the same key tables that the parser uses. The caller provides the schema of a configuration.

use serde_json::{Map, Value, json};

use crate::keys::{Block, EXPERIMENT, Kind, Need};

const OVERLAY: &str = "experiment-overlay";

/// Returns the JSON Schema (draft 7) of an experiment file. Overlays in the file are partial configurations of
/// `config_schema`.
///
/// Definitions of `config_schema` keep their names.
pub fn experiment_schema(config_schema: &Value) -> Value {
    let mut definitions = Map::new();
    let mut overlay = partial(config_schema);
    if let Value::Object(keywords) = &mut overlay {
        keywords.remove("$schema");
        for keyword in ["definitions", "$defs"] {
            if let Some(Value::Object(hoisted)) = keywords.remove(keyword) {
                definitions.extend(hoisted);
            }
        }
    }
    definitions.insert(OVERLAY.to_owned(), overlay);
    let mut schema = block(&EXPERIMENT, &mut definitions);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["definitions"] = Value::Object(definitions);
    schema
}

fn block(of: &Block, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for key in of.keys {
        let form = kind(&key.kind, definitions);
        // Draft 7 ignores all keywords next to a reference.
        let mut property = if form.get("$ref").is_some() { json!({ "allOf": [form] }) } else { form };
        property["description"] = json!(key.doc);
        properties.insert(key.name.to_owned(), property);
    }
    let required: Vec<_> = of.keys.iter().filter(|key| key.need == Need::Required).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": of.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn kind(of: &Kind, definitions: &mut Map<String, Value>) -> Value {
    match of {
        Kind::Any => json!({}),
        Kind::Text | Kind::Prose | Kind::Name => json!({ "type": "string", "minLength": 1 }),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Whole(from, u64::MAX) => json!({ "type": "integer", "minimum": from }),
        Kind::Whole(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::List(items) => json!({ "type": "array", "minItems": 1, "items": kind(items, definitions) }),
        Kind::Map(values) | Kind::Named(values) => {
            json!({ "type": "object", "additionalProperties": kind(values, definitions) })
        }
        Kind::OneOf(kinds) => {
            let forms: Vec<_> = kinds.iter().map(|of| kind(of, definitions)).collect();
            json!({ "anyOf": forms })
        }
        Kind::Overlay => reference(OVERLAY),
        Kind::Block(of) => {
            let name = format!("experiment-{}", of.name);
            if !definitions.contains_key(&name) {
                let schema = block(of, definitions);
                definitions.insert(name.clone(), schema);
            }
            reference(&name)
        }
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// Converts the schema of a configuration into the schema of a partial configuration. No key is required. `oneOf`
/// becomes `anyOf`, because an alternative without its tag may match several of them.
fn partial(schema: &Value) -> Value {
    match schema {
        Value::Object(keywords) => Value::Object(keywords.iter().filter_map(|(k, v)| keyword(k, v)).collect()),
        Value::Array(schemas) => schemas.iter().map(partial).collect(),
        other => other.clone(),
    }
}

fn keyword(name: &str, value: &Value) -> Option<(String, Value)> {
    let value = match (name, value) {
        ("required", _) => return None,
        ("oneOf", value) => return Some(("anyOf".to_owned(), partial(value))),
        ("const" | "enum" | "default" | "examples", data) => data.clone(),
        ("$ref", Value::String(target)) if target == "#" => json!(format!("#/definitions/{OVERLAY}")),
        ("$ref", Value::String(target)) => json!(target.replace("#/$defs/", "#/definitions/")),
        // The keys of these tables are names, not keywords.
        ("properties" | "patternProperties" | "definitions" | "$defs", Value::Object(schemas)) => {
            schemas.iter().map(|(name, schema)| (name.clone(), partial(schema))).collect::<Map<_, _>>().into()
        }
        (_, value) => partial(value),
    };
    Some((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_schema_requires_nothing_and_keeps_properties_called_required() {
        let schema = json!({
            "properties": { "required": { "type": "boolean" }, "self": { "$ref": "#" } },
            "required": ["required"],
            "definitions": { "A": { "oneOf": [{ "required": ["kind"], "default": { "required": [1] } }] } },
        });
        let expected = json!({
            "properties": { "required": { "type": "boolean" }, "self": { "$ref": "#/definitions/experiment-overlay" } },
            "definitions": { "A": { "anyOf": [{ "default": { "required": [1] } }] } },
        });
        assert_eq!(partial(&schema), expected);
    }
}
