//! A test folder with experiment files, and a resolver for their small configuration.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sweep_plan::{Colors, ConfigFault, Experiment, Plan, PlanError, Resolved, load, plan};
use tempfile::TempDir;

/// The base configuration of every test experiment, stored as `base.toml`.
pub(crate) const BASE: &str = r#"[model]
kind = "mlp"
width = 64
groups = 2
kernels = [1, 3]

[training]
epochs = 10
optimizer = { kind = "sgd", rate = 0.1, momentum = 0.9 }
"#;

/// An axis over the groups.
pub(crate) const GROUPS: &str = "[[axis]]\nname = \"groups\"\npath = \"model.groups\"\nvalues = [1, 2, 4]\n";

/// A temporary folder that is removed after the test.
pub(crate) struct Bench(TempDir);

impl Bench {
    /// Creates a folder with `base.toml`.
    pub(crate) fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.write("base.toml", BASE);
        bench
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Loads a text as `x.toml`.
    pub(crate) fn load(&self, text: &str, profile: Option<&str>) -> Result<Experiment, PlanError> {
        self.write("x.toml", text);
        load(&self.path().join("x.toml"), profile)
    }

    /// Plans a text as `x.toml`.
    pub(crate) fn plan(&self, text: &str, profile: Option<&str>) -> Result<Plan, PlanError> {
        plan(&self.load(text, profile)?, &resolve)
    }

    /// Returns the message that a user reads when loading a text fails.
    pub(crate) fn faults(&self, text: &str, profile: Option<&str>) -> String {
        self.rendered(&self.load(text, profile).unwrap_err())
    }

    /// Returns the message that a user reads, without the folder's name.
    pub(crate) fn rendered(&self, error: &PlanError) -> String {
        self.without_folder(&error.render(Colors::Off))
    }

    pub(crate) fn without_folder(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.path().display()), "")
    }
}

/// Appends lines to a valid experiment without axes and returns the message that a user reads.
pub(crate) fn more_faults(more: &str) -> String {
    Bench::new().faults(&format!("question = \"q\"\nbase = \"base.toml\"\n{more}"), None)
}

/// Accepts any configuration unchanged.
#[expect(clippy::unnecessary_wraps, reason = "the signature of a resolver")]
pub(crate) fn accept(table: &Value) -> Result<Resolved, ConfigFault> {
    Ok(Resolved { canonical: table.to_string(), metrics: Vec::new() })
}

/// Knows the keys of [`BASE`] and checks that the groups divide the width.
pub(crate) fn resolve(table: &Value) -> Result<Resolved, ConfigFault> {
    let fault = |path: &str, message: String, help: Option<&str>| {
        Err(ConfigFault { path: path.to_owned(), message, help: help.map(str::to_owned) })
    };
    let sections: [(&str, &[&str]); 2] =
        [("model", &["kind", "width", "groups", "kernels"]), ("training", &["epochs", "optimizer"])];
    for (section, keys) in sections {
        let Some(map) = table[section].as_object() else {
            return fault("", format!("missing field `{section}`"), None);
        };
        if let Some(key) = map.keys().find(|key| !keys.contains(&key.as_str())) {
            let help = format!("known keys: {}", keys.join(", "));
            return fault(&format!("{section}.{key}"), "unknown key".to_owned(), Some(&help));
        }
    }
    let Some(groups) = table["model"]["groups"].as_u64() else {
        return fault("model.groups", format!("expected a whole number, found {}", table["model"]["groups"]), None);
    };
    if let Some(at) = table["model"]["kernels"].as_array().and_then(|k| k.iter().position(|k| k.as_u64() == Some(2))) {
        return fault(&format!("model.kernels[{at}]"), "a kernel of size 2 is even".to_owned(), None);
    }
    if table["model"]["width"].as_u64().is_none_or(|width| width % groups != 0) {
        return fault("model.groups", format!("{groups} does not divide the width"), Some("choose a power of two"));
    }
    accept(table)
}
