//! A JSON Schema as a page of tables: one section for each kind of table, one line for each key.

use std::collections::VecDeque;
use std::fmt::Write;

use serde_json::Value;

use super::GENERATED;

/// The page of a schema. Tables come in the order in which they are first named.
pub(super) fn page(intro: &str, schema: &Value) -> String {
    let mut page = Page { schema, text: format!("{GENERATED}{intro}"), named: Vec::new(), waiting: VecDeque::new() };
    page.text += "\n## At the top of the file\n";
    page.table(schema);
    while let Some(name) = page.waiting.pop_front() {
        page.definition(&name);
    }
    page.text
}

struct Page<'a> {
    schema: &'a Value,
    text: String,
    /// Definitions that have a section or wait for one.
    named: Vec<String>,
    waiting: VecDeque<String>,
}

impl Page<'_> {
    fn definition(&mut self, name: &str) {
        let schema = &self.schema["definitions"][name];
        self.line(&format!("\n## {}\n", title(name)));
        self.line(&prose(schema));
        match variants(schema) {
            None => self.table(schema),
            Some(variants) if variants.iter().all(|v| v["properties"].is_null()) => self.words(variants),
            Some(variants) => {
                for variant in variants {
                    self.variant(variant);
                }
            }
        }
    }

    /// One of several forms of a table; `kind` says which.
    fn variant(&mut self, variant: &Value) {
        let kind = match variant["properties"]["kind"]["const"].as_str() {
            Some(kind) => format!("`kind = \"{kind}\"`"),
            None => "Or".to_owned(),
        };
        self.line(&format!("\n### {kind}\n"));
        self.line(&prose(variant));
        self.table(variant);
    }

    /// The keys of a table.
    fn table(&mut self, schema: &Value) {
        let Some(properties) = schema["properties"].as_object() else { return };
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let keys: Vec<_> =
            properties.iter().filter(|(key, value)| !(*key == "kind" && value["const"].is_string())).collect();
        if keys.is_empty() {
            return;
        }
        self.line("\n| key | type | default | meaning |\n|---|---|---|---|");
        for (key, value) in keys {
            let default = match (&value["default"], required.contains(&key.as_str())) {
                (_, true) => "required".to_owned(),
                (Value::Null, false) => String::new(),
                (default, false) => format!("`{}`", toml_of(default)),
            };
            let kind = self.kind(value);
            self.line(&format!("| `{key}` | {kind} | {default} | {} |", cell(&prose(value))));
        }
    }

    /// Words that a value can be, each with its meaning.
    fn words(&mut self, variants: &[Value]) {
        self.line("\n| value | meaning |\n|---|---|");
        for variant in variants {
            let words = variant["enum"].as_array().into_iter().flatten().chain([&variant["const"]]);
            for word in words.filter_map(Value::as_str) {
                self.line(&format!("| `\"{word}\"` | {} |", cell(&prose(variant))));
            }
            if variant["not"].is_object() {
                self.line(&format!("| other | {} |", cell(&prose(variant))));
            }
        }
    }

    /// The type of a value, as a reader of TOML calls it, with a link to the section of a table.
    fn kind(&mut self, value: &Value) -> String {
        if let Some(name) = value["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            return self.link(name);
        }
        for several in ["allOf", "anyOf", "oneOf"] {
            if let Some(all) = value[several].as_array() {
                let kinds = all.iter().filter(|one| one["type"] != "null").map(|one| self.kind(one));
                return kinds.collect::<Vec<String>>().join(" or ");
            }
        }
        if let Some(words) = value["enum"].as_array() {
            return words
                .iter()
                .filter_map(Value::as_str)
                .map(|word| format!("`\"{word}\"`"))
                .collect::<Vec<_>>()
                .join(", ");
        }
        let names: Vec<&str> = match &value["type"] {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
            _ => Vec::new(),
        };
        match names.as_slice() {
            ["array"] => format!("list of {}", self.kind(&value["items"])),
            ["object"] if value["additionalProperties"].is_object() => {
                format!("table of {}", self.kind(&value["additionalProperties"]))
            }
            ["object"] => "table".to_owned(),
            [] => "any".to_owned(),
            names => names.join(" or "),
        }
    }

    fn link(&mut self, name: &str) -> String {
        if !self.named.iter().any(|named| named == name) {
            self.named.push(name.to_owned());
            self.waiting.push_back(name.to_owned());
        }
        let title = title(name);
        format!("[{title}](#{})", title.to_lowercase().replace(' ', "-"))
    }

    fn line(&mut self, text: &str) {
        writeln!(self.text, "{text}").expect("writing to a string succeeds");
    }
}

/// The forms of a definition that has several.
fn variants(schema: &Value) -> Option<&Vec<Value>> {
    schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array())
}

/// `RepMlpConfig` and `experiment-axis` as a heading.
fn title(name: &str) -> String {
    let name = name.trim_start_matches("experiment-").trim_end_matches("Config").trim_end_matches("Declaration");
    let mut title = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !title.is_empty() {
            title.push(' ');
        }
        title.extend(c.to_lowercase());
    }
    let mut letters = title.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The description of a schema on one line.
fn prose(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text in a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A default as it would be written in TOML.
fn toml_of(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let keys: Vec<String> = table.iter().map(|(key, value)| format!("{key} = {}", toml_of(value))).collect();
            if keys.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", keys.join(", ")) }
        }
        Value::Array(values) => format!("[{}]", values.iter().map(toml_of).collect::<Vec<_>>().join(", ")),
        simple => simple.to_string(),
    }
}
