//! Checks the free keys of a configuration against a JSON Schema of the user's.

use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};
use sweep_protocol::{ConfigFault, nearest};

/// Refuses keys and values that do not fit. The error is the first fault, with its place.
pub(super) fn check(schema: &Value, free: &Map<String, Value>) -> Result<(), ConfigFault> {
    let unusable = |fault: &dyn std::fmt::Display| ConfigFault {
        path: "trainer.schema".to_owned(),
        message: format!("is not a usable JSON Schema: {fault}"),
        help: None,
    };
    let validator = jsonschema::options().build(schema).map_err(|fault| unusable(&fault))?;
    let instance = Value::Object(free.clone());
    let Some(fault) = validator.iter_errors(&instance).next() else { return Ok(()) };
    let place: Vec<String> = fault.instance_path().as_str().split('/').skip(1).map(str::to_owned).collect();
    let mut path = place.join(".");
    let mut help = None;
    if let ValidationErrorKind::AdditionalProperties { unexpected } = fault.kind()
        && let Some(key) = unexpected.first()
    {
        path = place.iter().map(String::as_str).chain([key.as_str()]).collect::<Vec<_>>().join(".");
        let known = known_keys(schema, &place);
        help = nearest(key, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        help = help.or_else(|| (!known.is_empty()).then(|| format!("keys: {}", known.join(", "))));
        return Err(ConfigFault { path, message: "unknown key".to_owned(), help });
    }
    Err(ConfigFault { path, message: fault.to_string(), help })
}

/// Returns the keys that a schema names for the table at a place, as far as plain `properties` and references lead
/// there.
fn known_keys(schema: &Value, place: &[String]) -> Vec<String> {
    let followed = |at: &Value| {
        let reference = at.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        reference.and_then(|pointer| schema.pointer(pointer)).unwrap_or(at).clone()
    };
    let mut at = followed(schema);
    for key in place {
        let Some(inner) = at.get("properties").and_then(|properties| properties.get(key)) else { return Vec::new() };
        at = followed(inner);
    }
    let properties = at.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(schema: &Value, keys: &Value) -> Option<ConfigFault> {
        check(schema, keys.as_object().unwrap()).err()
    }

    #[test]
    fn references_unions_and_limits_count() {
        let schema = json!({
            "$defs": { "data": {
                "type": "object",
                "properties": { "noise": { "type": "number" } },
                "additionalProperties": false,
            } },
            "type": "object",
            "properties": {
                "data": { "$ref": "#/$defs/data" },
                "rate": { "anyOf": [{ "type": "number" }, { "const": "auto" }] },
                "kind": { "enum": ["a", "b"] },
                "k": { "type": "integer", "maximum": 9 },
            },
            "required": ["k"],
        });
        assert_eq!(fault(&schema, &json!({ "k": 3.0, "rate": "auto", "kind": "a", "data": { "noise": 1 } })), None);
        for (keys, path) in [
            (json!({ "k": 3, "data": { "noise": "high" } }), "data.noise"),
            (json!({ "k": 3, "rate": "fast" }), "rate"),
            (json!({ "k": 3, "kind": "c" }), "kind"),
            (json!({ "k": 10 }), "k"),
            (json!({}), ""),
        ] {
            assert_eq!(fault(&schema, &keys).map(|fault| fault.path).as_deref(), Some(path), "{keys}");
        }
        let unknown = fault(&schema, &json!({ "k": 3, "data": { "noize": 1 } })).unwrap();
        assert_eq!((unknown.path.as_str(), unknown.help.as_deref()), ("data.noize", Some("did you mean `noise`?")));
        assert_eq!(fault(&json!({ "type": 3 }), &json!({})).unwrap().path, "trainer.schema");
    }
}
