//! What a command says: JSON lines between lines of its log.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sweep_protocol::{FailureKind, Form, Measurement, Metric, Split};

/// Words of a line that are not metrics.
const KEYS: [&str; 9] = ["epoch", "epochs", "split", "form", "step", "notice", "checkpoint", "failed", "message"];

/// What one line says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Statement {
    /// Number of epochs of the whole run.
    pub(super) epochs: Option<u32>,
    /// Number of finished epochs.
    pub(super) epoch: Option<u32>,
    /// Number of steps since the run began.
    pub(super) step: Option<u64>,
    /// Measured values.
    pub(super) measurements: Vec<Measurement>,
    /// File of a complete checkpoint.
    pub(super) checkpoint: Option<String>,
    pub(super) notice: Option<String>,
    /// Kind of failure that the command reports before it ends.
    pub(super) failed: Option<(FailureKind, String)>,
    /// What is wrong with the line. The rest of it counts.
    pub(super) complaints: Vec<String>,
}

/// Reads lines of a command.
#[derive(Debug, Default)]
pub(super) struct Listener {
    /// Metrics that the base file declares, by name.
    pub(super) declared: BTreeMap<String, Metric>,
}

impl Listener {
    /// Returns what a line says; `None` if it is a line of the log. A JSON object is a statement if one of its keys is
    /// a word of the contract, a metric that the program knows, or a declared metric.
    pub(super) fn hear(&self, line: &str) -> Option<Statement> {
        let line = line.trim();
        if !line.starts_with('{') {
            return None;
        }
        let table: Map<String, Value> = serde_json::from_str(line).ok()?;
        let is_word = |key: &String| KEYS.contains(&key.as_str()) || self.metric(key).is_some();
        table.keys().any(is_word).then(|| self.statement(&table))
    }

    fn metric(&self, name: &str) -> Option<Metric> {
        let known = name.parse().ok().filter(|metric| !matches!(metric, Metric::Declared(_)));
        known.or_else(|| self.declared.get(name).copied())
    }

    fn statement(&self, table: &Map<String, Value>) -> Statement {
        let mut said = Statement::default();
        let mut wrong = |key: &str, value: &Value, wanted: &str| {
            said.complaints.push(format!("`{key}` is {value}, but {wanted} is expected: it is ignored"));
        };
        let small = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let word = |key: &str| table.get(key).and_then(Value::as_str);
        let split = word("split").map(str::parse::<Split>).transpose();
        let form = word("form").map(str::parse::<Form>).transpose();
        let place = split.is_ok() && form.is_ok();
        let (mut epochs, mut epoch, mut step) = (None, None, None);
        let (mut checkpoint, mut notice, mut failed) = (None, None, None);
        let mut values = Vec::new();
        for (key, value) in table {
            match key.as_str() {
                "epochs" => epochs = whole(small(value), key, value, &mut wrong),
                "epoch" => epoch = whole(small(value), key, value, &mut wrong),
                "step" => step = whole(value.as_u64(), key, value, &mut wrong),
                "split" if split.is_err() => wrong(key, value, "train, validation or test"),
                "form" if form.is_err() => wrong(key, value, "training or deployed"),
                "split" | "form" | "message" => {}
                "checkpoint" => match value.as_str().filter(|file| is_inside(file)) {
                    Some(file) => checkpoint = Some(file.to_owned()),
                    None => wrong(key, value, "the name of a file in the attempt's folder"),
                },
                "notice" => notice = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
                "failed" => match value.as_str().and_then(kind_of) {
                    Some(kind) => {
                        failed = Some((kind, word("message").unwrap_or("the command gave no reason").to_owned()));
                    }
                    None => wrong(key, value, "config, data, diverged or oom"),
                },
                name => match (self.metric(name), value.as_f64()) {
                    (Some(metric), Some(number)) if place => values.push((metric, number)),
                    (Some(_), None) => wrong(key, value, "a number"),
                    (Some(_), Some(_)) => {}
                    (None, _) => {
                        wrong(key, value, &format!("a metric (declare it in the base file with [metric.{name}])"));
                    }
                },
            }
        }
        let measured = |(metric, value)| Measurement {
            metric,
            split: split.as_ref().ok().copied().flatten(),
            form: form.as_ref().ok().copied().flatten(),
            epoch,
            value,
        };
        said.measurements = values.into_iter().map(measured).collect();
        Statement { epochs, epoch, step, checkpoint, notice, failed, ..said }
    }
}

/// Notes a value that should be a whole number.
fn whole<T>(number: Option<T>, key: &str, value: &Value, wrong: &mut impl FnMut(&str, &Value, &str)) -> Option<T> {
    if number.is_none() {
        wrong(key, value, "a whole number");
    }
    number
}

fn kind_of(word: &str) -> Option<FailureKind> {
    use FailureKind::{Config, Data, Diverged, Oom};
    [Config, Data, Diverged, Oom].into_iter().find(|kind| kind.name() == word)
}

/// Whether a name is a file directly in a folder.
fn is_inside(file: &str) -> bool {
    !file.is_empty() && !file.contains(['/', '\0']) && ![".", ".."].contains(&file)
}

#[cfg(test)]
mod tests {
    use sweep_protocol::{Better, MetricRecord};

    use super::*;

    fn listener() -> Listener {
        let latency = MetricRecord { name: "latency".into(), unit: "ms".into(), better: Better::Lower };
        Listener { declared: [("latency".to_owned(), latency.metric().unwrap())].into() }
    }

    #[test]
    fn statements_are_told_from_the_log() {
        let hear = |line: &str| listener().hear(line);
        for log in ["", "epoch 3", "{", "[1]", r#"{"lr": 0.1}"#, r#"{"accuracy": 0.9"#] {
            assert_eq!(hear(log), None, "{log}");
        }
        let said = hear(r#"{"epoch": 3, "split": "test", "accuracy": 0.5, "latency": 2}"#).unwrap();
        let expected = [("accuracy", 0.5), ("latency", 2.0)];
        let found: Vec<_> = said.measurements.iter().map(|m| (m.metric.name().to_owned(), m.value)).collect();
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
        assert!(said.measurements.iter().all(|m| (m.split, m.epoch) == (Some(Split::Test), Some(3))));
        assert_eq!(hear(r#"{"checkpoint": "last.pt"}"#).unwrap().checkpoint.as_deref(), Some("last.pt"));
        let failed = hear(r#"{"failed": "diverged", "message": "NaN"}"#).unwrap().failed;
        assert_eq!(failed, Some((FailureKind::Diverged, "NaN".to_owned())));
    }

    #[test]
    fn what_cannot_be_used_is_said_and_the_rest_counts() {
        for (line, told, values) in [
            (r#"{"epoch": 1, "accuracy": "high", "loss": 1}"#, "`accuracy` is \"high\", but a number", 1),
            (r#"{"epoch": -1, "loss": 1}"#, "`epoch` is -1", 1),
            (r#"{"split": "tset", "loss": 1}"#, "train, validation or test", 0),
            (r#"{"loss": 1, "latancy": 1}"#, "[metric.latancy]", 1),
            (r#"{"checkpoint": "../x"}"#, "a file in the attempt's folder", 0),
            (r#"{"failed": "crash"}"#, "config, data, diverged or oom", 0),
        ] {
            let said = listener().hear(line).unwrap();
            assert_eq!(said.measurements.len(), values, "{line}");
            assert!(said.complaints.len() == 1 && said.complaints[0].contains(told), "{line}: {:?}", said.complaints);
        }
    }
}
