//! Explains why a run is new: names the keys of its configuration that changed since the recorded plan.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sweep_protocol::{PlanRecord, ResultsLayout, RunFile, RunId, read_regular_file};

use crate::costed_plan::CostedPlan;
use crate::work::Work;

/// Maximum number of keys that are named.
const NAMED: usize = 3;

/// Digests of a command's files have this prefix. The files alone are named.
const DIGESTS: &str = "trainer.digests.";

/// Adds to each new run which keys changed since the recorded plan, if that plan had a run with the same coordinates
/// and seed.
pub(crate) fn explain(
    works: &mut [Work],
    costed: &CostedPlan<'_>,
    recorded: Option<&PlanRecord>,
    layout: &ResultsLayout,
) {
    let Some(recorded) = recorded else { return };
    let place = |planned: &sweep_protocol::PlannedRunRecord| ((planned.coordinates.clone(), planned.seed), planned.run);
    let former: BTreeMap<_, RunId> = recorded.runs.iter().map(place).collect();
    for (run, work) in costed.plan.runs.iter().zip(works) {
        let Work::Start { why } = work else { continue };
        let Some(before) = former.get(&(run.coordinates.clone(), run.seed)).filter(|id| **id != run.id) else {
            continue;
        };
        let Some(config) = config_of(layout, *before) else { continue };
        let Ok(now) = serde_json::from_str(&costed.plan.configurations[run.configuration]) else { continue };
        *why = Some(sentence(&changes(&config, &now)));
    }
}

/// Returns the configuration of a run; `None` if none is stored here, or that of another run.
pub(crate) fn config_of(layout: &ResultsLayout, run: RunId) -> Option<Value> {
    let file = RunFile::parse(&read_regular_file(&layout.run(run).config()).ok()?).filter(|file| file.id() == run)?;
    serde_json::from_str(&file.config).ok()
}

fn sentence(keys: &[String]) -> String {
    let more = keys.len().saturating_sub(NAMED);
    let named = keys[..keys.len().min(NAMED)].join(", ");
    if more > 0 { format!("{named} and {more} more changed") } else { format!("{named} changed") }
}

/// A dotted key with its values in two configurations.
pub(crate) type Difference = (String, [Option<String>; 2]);

/// Returns the keys that differ, in their order.
pub(crate) fn differences(before: &Value, now: &Value) -> Vec<Difference> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    leaves("", before, &mut old);
    leaves("", now, &mut new);
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).collect();
    let text = |values: &BTreeMap<String, &Value>, key: &String| values.get(key).map(ToString::to_string);
    let named = |key: &String| key.strip_prefix(DIGESTS).unwrap_or(key).to_owned();
    keys.into_iter().map(|key| (named(key), [text(&old, key), text(&new, key)])).collect()
}

/// Returns the dotted keys that differ.
fn changes(before: &Value, now: &Value) -> Vec<String> {
    differences(before, now).into_iter().map(|(key, _)| key).collect()
}

fn leaves<'a>(path: &str, value: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(&path, value, found);
            }
        }
        value => drop(found.insert(path.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changed_added_and_removed_keys_are_named() {
        let before = json!({ "a": 1, "b": { "c": [1], "d": 2 }, "trainer": { "digests": { "train.py": "x" } } });
        let now = json!({ "a": 2, "b": { "c": [1], "e": 2 }, "trainer": { "digests": { "train.py": "y" } } });
        let keys = changes(&before, &now);
        assert_eq!(keys, ["a", "b.d", "b.e", "train.py"]);
        assert_eq!(sentence(&keys), "a, b.d, b.e and 1 more changed");
        assert_eq!(sentence(&keys[3..]), "train.py changed");
    }
}
