//! What a command says: JSON lines between lines of its log.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::Deserialize;
use serde_json::{Map, Value};
use sweep_protocol::{FailureKind, Form, Measurement, Metric, Predictions, Split};

/// Words of the lines that commands report. No metric can have such a name.
pub const REPORT_WORDS: [&str; 10] =
    ["epoch", "epochs", "split", "form", "step", "notice", "checkpoint", "failed", "message", "predictions"];

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
    /// Classes of the images of a split.
    pub(super) predictions: Option<Predictions>,
    /// File of a complete checkpoint, relative to the attempt's folder.
    pub(super) checkpoint: Option<String>,
    pub(super) notice: Option<String>,
    /// Kind of failure that the command reports before it ends.
    pub(super) failed: Option<(FailureKind, String)>,
    /// What is wrong with the line. The rest of it counts.
    pub(super) complaints: Vec<Complaint>,
}

/// Something in a line that cannot be used. The same complaint is made once in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// What it is about, without the value.
    pub(super) about: String,
    pub(super) text: String,
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
        if !(line.starts_with('{') && line.ends_with('}')) {
            return None;
        }
        let is_word = |key: &String| REPORT_WORDS.contains(&key.as_str()) || self.metric(key).is_some();
        match read(line) {
            Ok(table) => table.keys().any(is_word).then(|| self.statement(&table)),
            // Such a line was probably meant as a statement.
            Err(fault) if line.starts_with("{\"") => {
                let shown: String = line.chars().take(SHOWN).collect();
                let text = format!("a line is no valid JSON, so it counts as log ({fault}): {shown}");
                let complaints = vec![Complaint { about: "invalid JSON".to_owned(), text }];
                Some(Statement { complaints, ..Statement::default() })
            }
            Err(_) => None,
        }
    }

    fn metric(&self, name: &str) -> Option<Metric> {
        let known = name.parse().ok().filter(|metric| !matches!(metric, Metric::Declared(_)));
        known.or_else(|| self.declared.get(name).copied())
    }

    fn statement(&self, table: &Map<String, Value>) -> Statement {
        let mut said = Statement::default();
        let mut is_placed = true;
        let mut complain = |key: &str, problem: String| {
            said.complaints.push(Complaint { about: key.to_owned(), text: format!("`{key}` {problem}") });
        };
        let mut place = |key: &str, is_valid: bool, wanted: &str| {
            if !is_valid {
                is_placed = false;
                let value = &table[key];
                complain(key, format!("is {value}, but {wanted} is expected: the values of this line are ignored"));
            }
        };
        let given = |key: &str| table.get(key).filter(|value| !value.is_null());
        let number = |key: &str| given(key).and_then(Value::as_u64);
        let small = |key: &str| number(key).and_then(|number| u32::try_from(number).ok());
        let word = |key: &str| given(key).and_then(Value::as_str);
        let (epochs, epoch, step) = (small("epochs"), small("epoch"), number("step"));
        let split: Option<Split> = word("split").and_then(|word| word.parse().ok());
        let form: Option<Form> = word("form").and_then(|word| word.parse().ok());
        place("split", split.is_some() || given("split").is_none(), "train, validation or test");
        place("form", form.is_some() || given("form").is_none(), "training or deployed");
        place("epoch", epoch.is_some() || given("epoch").is_none(), "a whole number");
        let mut measurements = Vec::new();
        let (mut checkpoint, mut failed, mut predictions) = (None, None, None);
        for (key, value) in table {
            let wanted = match key.as_str() {
                "split" | "form" | "epoch" | "notice" | "message" => None,
                "epochs" | "step" => number(key).is_none().then_some("a whole number"),
                "checkpoint" => {
                    checkpoint = value.as_str().filter(|file| is_inside(file)).map(str::to_owned);
                    checkpoint.is_none().then_some("a path in the attempt's folder")
                }
                "failed" => {
                    let message = word("message").unwrap_or("the command gave no reason");
                    failed = value.as_str().and_then(kind_of).map(|kind| (kind, message.to_owned()));
                    failed.is_none().then_some("config, data, diverged or oom")
                }
                "predictions" => {
                    let said = said_predictions(value, (split, form, epoch));
                    predictions = said.map_err(|problem| complain(key, problem)).ok();
                    None
                }
                name => match (self.metric(name), value.as_f64()) {
                    (Some(metric), Some(value)) if is_no_fraction(metric, value) => Some("a fraction from 0 to 1"),
                    (Some(metric), Some(value)) => {
                        measurements.push(Measurement { metric, split, form, epoch, value });
                        None
                    }
                    (Some(_), None) => Some("a finite number"),
                    (None, _) => {
                        let remedy = format!("declare it in the base file with [metric.{name}]");
                        complain(key, format!("is no metric, so it is ignored: {remedy}"));
                        None
                    }
                },
            };
            if let Some(wanted) = wanted {
                complain(key, format!("is {value}, but {wanted} is expected: it is ignored"));
            }
        }
        if is_placed {
            (said.measurements, said.predictions) = (measurements, predictions);
        }
        let notice = given("notice").map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        Statement { epochs, epoch, step, checkpoint, notice, failed, ..said }
    }
}

/// Predictions as a command says them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidPredictions {
    truth: Vec<u32>,
    predicted: Vec<u32>,
    /// Number of classes; by default, one more than the largest class.
    classes: Option<u32>,
}

/// Reads the classes of images, or says what is wrong with them. The lists may be long, so they are not shown.
fn said_predictions(
    value: &Value,
    (split, form, epoch): (Option<Split>, Option<Form>, Option<u32>),
) -> Result<Predictions, String> {
    let unusable = |problem: String| format!("cannot be used, so it is ignored: {problem}");
    let split = split.ok_or_else(|| unusable("the line names no `split`, such as \"test\"".to_owned()))?;
    let SaidPredictions { truth, predicted, classes } = SaidPredictions::deserialize(value)
        .map_err(|fault| unusable(format!("{fault}; {{\"truth\": [0, 1], \"predicted\": [0, 0]}} is an example")))?;
    let largest = truth.iter().chain(&predicted).max().copied().unwrap_or(0);
    let classes = classes.unwrap_or(largest.saturating_add(1));
    Predictions::new((split, form, epoch), classes, [&truth, &predicted]).map_err(|fault| unusable(fault.to_string()))
}

/// Whether a value of a metric of this program should be a fraction and is none: it is probably a percentage. Declared
/// metrics may have other limits.
fn is_no_fraction(metric: Metric, value: f64) -> bool {
    metric.unit() == "fraction" && !matches!(metric, Metric::Declared(_)) && !(0.0..=1.0).contains(&value)
}

/// Number of characters of a line that a message shows.
const SHOWN: usize = 120;

/// Reads an object. Python writes numbers that are not finite as `NaN` and `Infinity`, which JSON does not have, and
/// other languages may write numbers that are too large, such as `1e400`: all of these become null.
fn read(line: &str) -> serde_json::Result<Map<String, Value>> {
    serde_json::from_str(line).or_else(|fault| serde_json::from_str(&finite(line)).map_err(|_| fault))
}

/// Replaces numbers that are not finite by null. Words inside of texts stay.
fn finite(line: &str) -> String {
    let mut replaced = String::new();
    // Quotes divide the line into what is outside of texts and what is inside, by turns. An escaped quote ends no text.
    let (mut is_text, mut is_escaped, mut outside) = (false, false, String::new());
    let number = |word: &str| match word.trim().trim_start_matches('-') {
        "Infinity" | "NaN" => "null".to_owned(),
        digits if digits.starts_with(|c: char| c.is_ascii_digit()) && digits.parse().is_ok_and(f64::is_infinite) => {
            "null".to_owned()
        }
        _ => word.to_owned(),
    };
    // Numbers end at these signs.
    let numbers = |outside: &str| -> String {
        outside
            .split_inclusive([',', ':', '{', '}', '[', ']'])
            .map(|part| {
                let word = part.trim_end_matches([',', ':', '{', '}', '[', ']']);
                let blank = word.len() - word.trim_start().len();
                format!("{}{}{}", &word[..blank], number(&word[blank..]), &part[word.len()..])
            })
            .collect()
    };
    for sign in line.chars() {
        if is_text {
            replaced.push(sign);
            is_text = is_escaped || sign != '"';
            is_escaped = sign == '\\' && !is_escaped;
        } else if sign == '"' {
            replaced += &numbers(&std::mem::take(&mut outside));
            replaced.push(sign);
            is_text = true;
        } else {
            outside.push(sign);
        }
    }
    replaced + &numbers(&outside)
}

fn kind_of(word: &str) -> Option<FailureKind> {
    use FailureKind::{Config, Data, Diverged, Oom};
    [Config, Data, Diverged, Oom].into_iter().find(|kind| kind.name() == word)
}

/// Whether a path lies in the folder that it is relative to.
fn is_inside(file: &str) -> bool {
    let path = Path::new(file);
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
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
    fn predictions_have_the_split_form_and_epoch_of_their_line() {
        let line = r#"{"epoch": 3, "split": "test", "predictions": {"truth": [0, 2, 1], "predicted": [0, 1, 1]}}"#;
        let said = listener().hear(line).unwrap();
        assert_eq!(said.complaints, []);
        let predictions = said.predictions.unwrap();
        assert_eq!((predictions.split(), predictions.form(), predictions.epoch()), (Split::Test, None, Some(3)));
        assert_eq!((predictions.classes(), predictions.correct()), (3, vec![true, false, true]));
    }

    #[test]
    fn impossible_predictions_are_said_and_ignored() {
        for (line, told) in [
            (r#"{"predictions": {"truth": [0], "predicted": [0]}}"#, "names no `split`"),
            (r#"{"split": "tset", "predictions": {"truth": [0], "predicted": [0]}}"#, "train, validation or test"),
            (r#"{"split": "test", "predictions": {"truth": [0]}}"#, "missing field `predicted`"),
            (r#"{"split": "test", "predictions": [0, 1]}"#, "cannot be used"),
            (r#"{"split": "test", "predictions": {"truth": [0], "predicted": [-1]}}"#, "integer `-1`"),
            (r#"{"split": "test", "predictions": {"truth": [0, 1], "predicted": [0]}}"#, "2 true and 1 predicted"),
            (r#"{"split": "test", "predictions": {"truth": [0], "predicted": [2], "classes": 2}}"#, "has class 2"),
            (r#"{"split": "test", "predictions": {"truth": [], "predicted": []}}"#, "no images"),
            (
                r#"{"split": "test", "predictions": {"truth": [4294967295], "predicted": [0]}}"#,
                "classes; there must be",
            ),
        ] {
            let said = listener().hear(line).unwrap();
            assert_eq!(said.predictions, None, "{line}");
            assert!(said.complaints.iter().any(|it| it.text.contains(told)), "{line}: {:?}", said.complaints);
        }
    }

    #[test]
    fn words_inside_of_texts_stay() {
        let line = r#"{"a": NaN, "NaN \" Infinity": [-Infinity, "NaN"], "b": Infinity}"#;
        assert_eq!(finite(line), r#"{"a": null, "NaN \" Infinity": [null, "NaN"], "b": null}"#);
    }

    #[test]
    fn what_cannot_be_used_is_said_and_the_rest_counts() {
        for (line, told, values) in [
            (r#"{"epoch": 1, "accuracy": "high", "loss": 1}"#, "`accuracy` is \"high\", but a finite number", 1),
            (r#"{"epoch": 1, "accuracy": NaN, "loss": 1}"#, "`accuracy` is null, but a finite number", 1),
            (r#"{"epoch": 1, "accuracy":-1e400, "loss": 1}"#, "`accuracy` is null, but a finite number", 1),
            (r#"{"epoch": 1, "loss": 1, "accuracy": 1e999}"#, "`accuracy` is null, but a finite number", 1),
            (r#"{"epoch": 1, "accuracy": 87.5, "loss": 1}"#, "`accuracy` is 87.5, but a fraction from 0 to 1", 1),
            (r#"{"epoch": -1, "loss": 1}"#, "`epoch` is -1", 0),
            (r#"{"loss": 1e99x}"#, "no valid JSON", 0),
            (r#"{"split": "tset", "loss": 1}"#, "train, validation or test", 0),
            (r#"{"loss": 1, "latancy": 1}"#, "[metric.latancy]", 1),
            (r#"{"checkpoint": "../x"}"#, "a path in the attempt's folder", 0),
            (r#"{"failed": "crash"}"#, "config, data, diverged or oom", 0),
        ] {
            let said = listener().hear(line).unwrap();
            assert_eq!(said.measurements.len(), values, "{line}");
            assert!(
                said.complaints.len() == 1 && said.complaints[0].text.contains(told),
                "{line}: {:?}",
                said.complaints
            );
        }
    }
}
