//! Turns an untyped table into a typed, checked and canonical run configuration.

mod misfit;

use std::sync::LazyLock;

use repmlp_train::config::RunConfig;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value;
use sweep_plan::{ConfigFault, Resolved};

/// Returns the JSON Schema (draft 07) of a run configuration.
pub(crate) fn config_schema() -> Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<RunConfig>().to_value()
}

/// Returns the typed configuration of a table. Checks everything that can be checked without data.
///
/// # Errors
/// When the table is invalid. The error is the first fault, with its place.
pub(crate) fn typed(table: &Value) -> Result<RunConfig, ConfigFault> {
    let config = RunConfig::deserialize(table).map_err(|_| located(table))?;
    match config.faults().into_iter().next() {
        None => Ok(config),
        Some(fault) => Err(ConfigFault { path: fault.path, message: fault.message, help: None }),
    }
}

/// Resolves a table for a plan: checks it and returns its canonical form.
///
/// # Errors
/// When the table is invalid. The error is the first fault, with its place.
pub(crate) fn resolve(table: &Value) -> Result<Resolved, ConfigFault> {
    let config = typed(table)?;
    // Maps of serde_json are sorted, so this text is the canonical form.
    let canonical = serde_json::to_value(&config).map(|value| value.to_string());
    canonical.map(|canonical| Resolved { canonical }).map_err(|fault| ConfigFault {
        path: String::new(),
        message: format!("cannot be written as JSON: {fault}"),
        help: None,
    })
}

/// Returns the first fault and its place. Inside a table with a `kind` serde loses the place, so the schema is checked
/// first. If the schema finds no fault, a second reader that tracks its place reads the table again.
fn located(table: &Value) -> ConfigFault {
    static SCHEMA: LazyLock<Value> = LazyLock::new(config_schema);
    let read_again = || match serde_path_to_error::deserialize::<_, RunConfig>(table) {
        Ok(_) => ConfigFault { path: String::new(), message: "cannot be read".to_owned(), help: None },
        Err(fault) => ConfigFault { path: fault.path().to_string(), message: fault.inner().to_string(), help: None },
    };
    misfit::first(&SCHEMA, table).unwrap_or_else(read_again)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Value {
        let text = include_str!("../../../../experiments/base/pure-mlp.toml");
        serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
    }

    fn with(path: &str, value: Value) -> Value {
        let mut table = base();
        *table.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap() = value;
        table
    }

    #[test]
    fn the_base_resolves_and_its_canonical_form_is_a_fixed_point() {
        let canonical = resolve(&base()).unwrap().canonical;
        let again: Value = serde_json::from_str(&canonical).unwrap();
        assert_eq!(resolve(&again).unwrap().canonical, canonical);
    }

    #[test]
    fn different_spellings_of_a_number_give_the_same_configuration() {
        let rate = |text: &str| {
            let value: toml::Table = format!("v = {text}").parse().unwrap();
            let value = serde_json::to_value(&value["v"]).unwrap();
            resolve(&with("training.optimizer.weight_decay", value)).unwrap().canonical
        };
        assert_eq!(rate("1e-4"), rate("0.0001"));
        assert_eq!(rate("1"), rate("1.0"));
    }

    #[test]
    fn a_fault_inside_a_kind_is_found_at_its_key() {
        let faults = [
            ("model.block.groups", "two".into()),
            ("model.block.groups", 3.into()),
            ("model.block.kind", "rep-mpl".into()),
            ("model.block.partition", serde_json::json!([8])),
            ("model.block.partition_perceptron", serde_json::json!({"kind": "fc", "kernel": 9})),
            ("data.augment", serde_json::json!({"flipp": true})),
            ("data", serde_json::json!({"image_size": 32})),
            ("training.epochs", serde_json::json!(1.5)),
            ("training.epochs", serde_json::json!(-1)),
            ("training.optimizer", serde_json::json!("sgd")),
        ];
        let text: String = faults
            .into_iter()
            .map(|(path, value): (&str, Value)| {
                let fault = typed(&with(path, value)).unwrap_err();
                format!("{}: {} ({})\n", fault.path, fault.message, fault.help.unwrap_or_default())
            })
            .collect();
        insta::assert_snapshot!("faults", text);
    }
}
