//! Turns an untyped table into a typed, checked and canonical run configuration.

use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value;
use sweep_protocol::ConfigFault;
use sweep_trainer::misfit;

use crate::config::RunConfig;
use repmlp::OwnKinds;

/// Returns the JSON Schema (draft 07) of a run configuration.
pub(crate) fn config_schema(kinds: &OwnKinds) -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<RunConfig>().to_value();
    kinds.extend_schema(&mut schema);
    schema
}

/// Returns the typed configuration of a table. Checks everything that can be checked without data. `schema` is the
/// result of [`config_schema`].
///
/// # Errors
/// When the table is invalid. The error is the first fault, with its place.
pub(crate) fn typed(table: &Value, schema: &Value, kinds: &OwnKinds) -> Result<RunConfig, ConfigFault> {
    let mut config = RunConfig::deserialize(table).map_err(|_| located(table, schema))?;
    // The schema knows the place of a fault in a table of another crate.
    let bound = config.model.bind(kinds);
    let fault = match bound {
        Ok(()) => config.faults().into_iter().next(),
        Err(fault) => return Err(misfit(schema, table).unwrap_or_else(|| shown(fault))),
    };
    fault.map_or(Ok(config), |fault| Err(shown(fault)))
}

fn shown(fault: repmlp::ConfigFault) -> ConfigFault {
    ConfigFault { path: fault.path, message: fault.message, help: None }
}

/// Returns the canonical form of a configuration: JSON with sorted keys.
pub(crate) fn canonical(config: &RunConfig) -> Result<String, ConfigFault> {
    // Maps of serde_json are sorted.
    let text = serde_json::to_value(config).map(|value| value.to_string());
    text.map_err(|fault| ConfigFault {
        path: String::new(),
        message: format!("cannot be written as JSON: {fault}"),
        help: None,
    })
}

/// Returns the first fault and its place. Inside a table with a `kind` serde loses the place, so the schema is checked
/// first. If the schema finds no fault, a second reader that tracks its place reads the table again.
fn located(table: &Value, schema: &Value) -> ConfigFault {
    let read_again = || match serde_path_to_error::deserialize::<_, RunConfig>(table) {
        Ok(_) => ConfigFault { path: String::new(), message: "cannot be read".to_owned(), help: None },
        Err(fault) => ConfigFault { path: fault.path().to_string(), message: fault.inner().to_string(), help: None },
    };
    misfit(schema, table).unwrap_or_else(read_again)
}
#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Value {
        let text = include_str!("../../../experiments/base/pure-mlp.toml");
        serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
    }

    fn resolve(table: &Value) -> Result<String, ConfigFault> {
        typed(table, &config_schema(&OwnKinds::new()), &OwnKinds::new()).and_then(|config| canonical(&config))
    }

    fn with(path: &str, value: Value) -> Value {
        let mut table = base();
        *table.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap() = value;
        table
    }

    #[test]
    fn the_base_resolves_and_its_canonical_form_is_a_fixed_point() {
        let canonical = resolve(&base()).unwrap();
        let again: Value = serde_json::from_str(&canonical).unwrap();
        assert_eq!(resolve(&again).unwrap(), canonical);
    }

    #[test]
    fn different_spellings_of_a_number_give_the_same_configuration() {
        let rate = |text: &str| {
            let value: toml::Table = format!("v = {text}").parse().unwrap();
            let value = serde_json::to_value(&value["v"]).unwrap();
            resolve(&with("training.optimizer.weight_decay", value)).unwrap()
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
                let fault = resolve(&with(path, value)).unwrap_err();
                format!("{}: {} ({})\n", fault.path, fault.message, fault.help.unwrap_or_default())
            })
            .collect();
        insta::assert_snapshot!("faults", text);
    }

    #[test]
    fn a_wrong_word_is_found_at_its_key_and_right_words_beside_it_are_not() {
        let fault = |keep: Value| {
            let mut table = base();
            table["training"]["keep"] = keep;
            let ConfigFault { path, message, help } = resolve(&table).unwrap_err();
            (path, message, help.unwrap_or_default())
        };
        let (path, message, help) = fault(serde_json::json!({ "best": "test accuracy" }));
        assert_eq!((path.as_str(), message.as_str()), ("training.keep.best", "\"test accuracy\" is not a known word"));
        assert!(help.contains("validation"), "{help}");
        let (path, ..) = fault(serde_json::json!({ "best": "validation accuracy", "last": -1 }));
        assert_eq!(path, "training.keep.last");
    }
}
