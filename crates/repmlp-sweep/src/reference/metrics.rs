//! The page of all metrics.

use std::fmt::Write;

use anyhow::{Context, Result};
use schemars::generate::SchemaSettings;
use serde_json::Value;
use sweep_protocol::{Better, Metric};

use super::GENERATED;

const INTRO: &str = "# Metrics

Tables, plots and the database name metrics by these words. Values are stored in base units: an accuracy is a fraction,
a time is in seconds. Reports show fractions in percent.

A metric that is measured on images has a split (`train`, `validation`, `test`). A metric of one form of the network has
a form (`training`, `deployed`); the others compare both forms.
";

const HEADER: &str = "\
| name | heading | unit | better | of images | of a form | meaning |
|---|---|---|---|---|---|---|";

pub(super) fn page() -> Result<String> {
    let schema: Value = SchemaSettings::draft07().into_generator().into_root_schema_for::<Metric>().into();
    let meanings = schema["oneOf"].as_array().context("the schema of a metric lists its words")?;
    let mut text = format!("{GENERATED}{INTRO}\n{HEADER}\n");
    for metric in Metric::all() {
        let meaning =
            meanings.iter().find(|word| word["const"] == metric.name()).context("every metric has a meaning")?;
        let meaning: Vec<&str> = meaning["description"].as_str().unwrap_or_default().split_whitespace().collect();
        let better = match metric.better() {
            Better::Higher => "higher",
            Better::Lower => "lower",
            Better::Neither => "",
        };
        let yes = |is: Option<bool>| if is == Some(true) { "yes" } else { "" };
        writeln!(
            text,
            "| `{}` | {} | {} | {better} | {} | {} | {} |",
            metric.name(),
            metric.title(),
            metric.unit(),
            yes(metric.is_of_images()),
            yes(metric.is_of_a_form()),
            meaning.join(" ")
        )
        .expect("writing to a string succeeds");
    }
    Ok(text)
}
