//! Finds the first place where a table does not fit its JSON Schema, with the expected value and the most similar known
//! key.
//!
//! This module knows the keywords that schemars writes for structs, enums with a `kind`, lists, numbers and options. It
//! does not know any model.

use serde_json::{Map, Value};
use sweep_protocol::{ConfigFault, nearest};

/// Returns the first place, in the order of keys, where `value` does not fit `schema`; `None` if it fits.
pub fn first(schema: &Value, value: &Value) -> Option<ConfigFault> {
    Walk { root: schema }.check(schema, value, "")
}

struct Walk<'a> {
    root: &'a Value,
}

fn fault(path: &str, message: String, help: Option<String>) -> ConfigFault {
    ConfigFault { path: path.to_owned(), message, help }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'a> Walk<'a> {
    fn check(&self, schema: &'a Value, value: &Value, path: &str) -> Option<ConfigFault> {
        let schema = self.followed(schema);
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            // An option: null, or a value of the other schema.
            let mut choices = choices.iter().filter(|choice| choice.get("type") != Some(&"null".into()));
            return choices.next().and_then(|choice| self.check(choice, value, path));
        }
        if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
            return self.check_variants(variants, value, path);
        }
        if let Some(message) = misfit_of_type(schema, value) {
            return Some(fault(path, message, None));
        }
        match value {
            Value::Object(table) => self.check_table(schema, table, path),
            Value::Array(items) => self.check_items(schema, items, path),
            _ => None,
        }
    }

    /// Follows references to the schema itself.
    fn followed(&self, schema: &'a Value) -> &'a Value {
        let single = schema.get("allOf").and_then(|all| all.get(0)).unwrap_or(schema);
        let name = single.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/definitions/"));
        match name.and_then(|name| self.root.get("definitions")?.get(name)) {
            Some(definition) => self.followed(definition),
            None => single,
        }
    }

    fn check_variants(&self, variants: &'a [Value], value: &Value, path: &str) -> Option<ConfigFault> {
        let words: Option<Vec<&str>> = variants.iter().map(|variant| variant.get("const")?.as_str()).collect();
        if let Some(words) = words {
            return check_word(&words, value, path);
        }
        let kind_of = |variant: &'a Value| variant.get("properties")?.get("kind")?.get("const")?.as_str();
        let kinds: Vec<&str> = variants.iter().filter_map(kind_of).collect();
        let known = format!("kinds: {}", kinds.join(", "));
        let Some(table) = value.as_object() else {
            return Some(fault(path, "a table with a `kind` is expected".to_owned(), Some(known)));
        };
        let Some(kind) = table.get("kind") else {
            return Some(fault(path, "`kind` is missing".to_owned(), Some(known)));
        };
        let variant = variants.iter().find(|variant| kind.as_str().is_some() && kind_of(variant) == kind.as_str());
        match variant {
            Some(variant) => self.check(variant, value, path),
            None => {
                let help = kind.as_str().and_then(|word| suggestion(word, &kinds)).unwrap_or(known);
                Some(fault(&below(path, "kind"), format!("{kind} is not a known kind"), Some(help)))
            }
        }
    }

    fn check_table(&self, schema: &'a Value, table: &Map<String, Value>, path: &str) -> Option<ConfigFault> {
        let properties = schema.get("properties").and_then(Value::as_object)?;
        let names: Vec<&str> = properties.keys().map(String::as_str).collect();
        for key in table.keys() {
            if !properties.contains_key(key) && schema.get("additionalProperties") == Some(&Value::Bool(false)) {
                let help = suggestion(key, &names).unwrap_or_else(|| format!("keys: {}", names.join(", ")));
                return Some(fault(&below(path, key), "unknown key".to_owned(), Some(help)));
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for key in required.filter_map(Value::as_str) {
            if !table.contains_key(key) {
                return Some(fault(path, format!("`{key}` is missing"), None));
            }
        }
        let known = table.iter().filter_map(|(key, value)| Some((key, value, properties.get(key)?)));
        known.into_iter().find_map(|(key, value, schema)| self.check(schema, value, &below(path, key)))
    }

    fn check_items(&self, schema: &'a Value, items: &[Value], path: &str) -> Option<ConfigFault> {
        let count = |key: &str| schema.get(key).and_then(Value::as_u64);
        let length = items.len() as u64;
        if count("minItems").is_some_and(|least| length < least) || count("maxItems").is_some_and(|most| length > most)
        {
            let expected = count("minItems").unwrap_or(0);
            return Some(fault(path, format!("{length} values found, {expected} expected"), None));
        }
        let schema = schema.get("items")?;
        items.iter().enumerate().find_map(|(i, item)| self.check(schema, item, &format!("{path}[{i}]")))
    }
}

/// Checks a value that must be one of these words.
fn check_word(words: &[&str], value: &Value, path: &str) -> Option<ConfigFault> {
    let known = || format!("words: {}", words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", "));
    match value.as_str() {
        Some(word) if words.contains(&word) => None,
        Some(word) => {
            let help = suggestion(word, words).unwrap_or_else(known);
            Some(fault(path, format!("{value} is not a known word"), Some(help)))
        }
        None => Some(fault(path, format!("a text in quotes is expected, not {value}"), Some(known()))),
    }
}

/// Describes what is wrong with the type or range of a value.
fn misfit_of_type(schema: &Value, value: &Value) -> Option<String> {
    let expected = match schema.get("type")? {
        Value::String(name) => name.as_str(),
        // An option of a simple type.
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null")?,
        _ => return None,
    };
    let (fits, article) = match expected {
        "integer" => (value.is_u64() || value.is_i64(), "a whole number"),
        "number" => (value.is_number(), "a number"),
        "boolean" => (value.is_boolean(), "true or false"),
        "string" => (value.is_string(), "a text in quotes"),
        "array" => (value.is_array(), "a list"),
        "object" => (value.is_object(), "a table"),
        _ => return None,
    };
    if !fits {
        return Some(format!("{article} is expected, not {value}"));
    }
    let least = schema.get("minimum").and_then(Value::as_f64)?;
    (value.as_f64()? < least).then(|| format!("{value} is less than {least}"))
}

/// Suggests a known word for a misspelled one.
fn suggestion(word: &str, known: &[&str]) -> Option<String> {
    nearest(word, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
}
