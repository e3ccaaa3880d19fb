//! Adjustments of an experiment by the command line: keys that are laid over the base, and other seeds.
//!
//! An adjusted experiment has a profile of its own name. So its results never mix with those of the file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use sweep_protocol::MOST_NAME_BYTES;

use crate::document::{self, Node, SourceFile, WHOLE_FILE};
use crate::error::{Faults, PlanError};
use crate::grid::Grid;
use crate::overlay::{Overlay, leaves};

/// What a call changes in an experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adjustments {
    /// Keys with their values, as `training.epochs=3`. Text needs no quotes.
    pub set: Vec<String>,
    /// Number of seeds, counted from 0.
    pub seeds: Option<u64>,
}

impl Adjustments {
    /// Returns the name of a profile with these adjustments: `default with training.epochs 3 and seeds-5`. A long name
    /// is replaced by a digest of it.
    pub fn profile(&self, profile: &str) -> String {
        let mut texts: Vec<String> = self.set.iter().map(|set| as_name(set)).collect();
        texts.sort();
        texts.extend(self.seeds.map(|seeds| format!("seeds-{seeds}")));
        if texts.is_empty() {
            return profile.to_owned();
        }
        let name = format!("{profile} with {}", texts.join(" and "));
        // Different values must not become the same name because of characters that a name cannot have.
        let is_exact = self.set.iter().all(|set| set.chars().all(|c| is_of_name(c) || c == '='));
        if is_exact && name.len() <= MOST_NAME_BYTES {
            return name;
        }
        let mut sorted = self.set.clone();
        sorted.sort();
        let digest = blake3::hash(format!("{sorted:?} {:?}", self.seeds).as_bytes()).to_hex()[..10].to_owned();
        let room = MOST_NAME_BYTES - digest.len() - 1;
        let cut: String = name.char_indices().take_while(|(at, c)| at + c.len_utf8() <= room).map(|(_, c)| c).collect();
        format!("{} {digest}", cut.trim_end())
    }

    /// Reads the keys as overlays.
    ///
    /// # Errors
    /// When a text is not a key and a value, or a key is set twice.
    pub(crate) fn overlays(&self) -> Result<Vec<Overlay>, PlanError> {
        let mut seen = BTreeSet::new();
        let mut overlays = Vec::new();
        for set in &self.set {
            let overlay = overlay(set)?;
            let mut faults = Faults::new(&overlay.source);
            for leaf in leaves(&overlay.value) {
                let message = format!("`{leaf}` is set twice");
                if !seen.insert(leaf) {
                    faults.add(&WHOLE_FILE, message, "name each key once".to_owned());
                }
            }
            faults.check()?;
            overlays.push(overlay);
        }
        Ok(overlays)
    }

    /// Refuses keys that the points of an axis set anyway.
    pub(crate) fn check(overlays: &[Overlay], grids: &[Grid]) -> Result<(), PlanError> {
        for overlay in overlays {
            let mut faults = Faults::new(&overlay.source);
            for leaf in leaves(&overlay.value) {
                let keys: Vec<&str> = leaf.split('.').collect();
                let sets = |axis: &&crate::axis::Axis| {
                    axis.points.iter().any(|point| point.overlay.tree.find(&keys).is_some())
                };
                let axis = grids.iter().flat_map(|grid| &grid.axes).find(sets);
                if let Some(axis) = axis {
                    let message = format!("axis `{}` sets `{leaf}`, so this would change nothing", axis.name);
                    let help = format!("choose its points with --only {}=LABEL", axis.name);
                    faults.add(&(0..leaf.len()), message, help);
                }
            }
            faults.check()?;
        }
        Ok(())
    }
}

fn overlay(set: &str) -> Result<Overlay, PlanError> {
    let read = |text: String| {
        let source = Arc::new(SourceFile { path: PathBuf::from("--set"), text });
        document::parse(&source).map(|tree| (source, tree))
    };
    let mut parsed = read(set.to_owned());
    if let (Err(_), Some((key, value))) = (&parsed, set.split_once('=')) {
        // A text without quotes.
        let quoted = format!("{key}={}", serde_json::Value::from(value.trim()));
        parsed = read(quoted).or(parsed);
    }
    let (source, tree): (Arc<SourceFile>, Node) = parsed?;
    if tree.entries().is_empty() {
        let mut faults = Faults::new(&source);
        faults.add(&WHOLE_FILE, "a key and its value are expected", "write --set training.epochs=3".to_owned());
        faults.check()?;
    }
    Ok(Overlay::new(&source, tree))
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// Writes a key and its value with the characters of a name.
fn as_name(set: &str) -> String {
    let text: String = set.chars().map(|c| if is_of_name(c) { c } else { ' ' }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use sweep_protocol::check_name;

    use super::*;

    fn profile(set: &[&str], seeds: Option<u64>) -> String {
        let set = set.iter().map(|text| (*text).to_owned()).collect();
        Adjustments { set, seeds }.profile("default")
    }

    #[test]
    fn names_are_readable_valid_and_different() {
        assert_eq!(profile(&[], None), "default");
        assert_eq!(profile(&["training.epochs=3"], Some(5)), "default with training.epochs 3 and seeds-5");
        assert_eq!(profile(&["b=1", "a=2"], None), profile(&["a=2", "b=1"], None));
        let long = "model.block.partition_perceptron.kernel=3".repeat(4);
        let odd = ["a=[1, 2]", "a=[12]", "a=\"x/y\"", "a=\"x y\"", &long];
        let names: BTreeSet<String> = odd.iter().map(|set| profile(&[set], None)).collect();
        assert_eq!(names.len(), odd.len());
        assert!(names.iter().all(|name| check_name(name).is_ok()), "{names:?}");
    }

    #[test]
    fn values_are_toml_and_text_needs_no_quotes() {
        let value = |set: &str| overlay(set).unwrap().value;
        assert_eq!(value("training.epochs=3"), serde_json::json!({ "training": { "epochs": 3 } }));
        assert_eq!(value("a = [1, 3]"), serde_json::json!({ "a": [1, 3] }));
        assert_eq!(value("model.kind=res-net"), serde_json::json!({ "model": { "kind": "res-net" } }));
        assert!(overlay("training.epochs").is_err() && overlay("").is_err() && overlay("=3").is_err());
    }
}
