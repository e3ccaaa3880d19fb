//! The merge rule: how one table is laid over another.
//!
//! Tables merge key by key; any other value replaces the old one. If the upper table names another `kind` than the
//! lower one, it replaces the lower table as a whole. So nothing of the old component remains. This module knows no
//! other key.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::document::{Entry, Item, Node, SourceFile, Span};

/// A table that is laid over others, with the positions of its values in the file.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    pub(crate) source: Arc<SourceFile>,
    pub(crate) tree: Node,
    pub(crate) value: Value,
}

impl Overlay {
    pub(crate) fn new(source: &Arc<SourceFile>, tree: Node) -> Self {
        Self { source: Arc::clone(source), value: tree.value(), tree }
    }

    /// Returns the overlay that a table of the file has under its key `overlay`.
    pub(crate) fn below(table: &Node, source: &Arc<SourceFile>) -> Option<Self> {
        table.get("overlay").map(|entry| Self::new(source, entry.node.clone()))
    }
}

/// Lays `upper` over `lower`.
pub(crate) fn merge(lower: &mut Value, upper: &Value) {
    match (lower, upper) {
        (Value::Object(lower), Value::Object(upper)) if !is_other_kind(lower, upper) => {
            for (key, value) in upper {
                match lower.get_mut(key) {
                    Some(slot) => merge(slot, value),
                    None => {
                        lower.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (slot, _) => *slot = upper.clone(),
    }
}

fn is_other_kind(lower: &Map<String, Value>, upper: &Map<String, Value>) -> bool {
    matches!((lower.get("kind"), upper.get("kind")), (Some(old), Some(new)) if old != new)
}

/// Creates a tree that holds only `leaf`, at a dotted path. Returns `None` if a key of the path is empty.
pub(crate) fn nest(path: &str, key_span: &Span, leaf: Node) -> Option<Node> {
    let keys: Vec<_> = path.split('.').map(str::trim).collect();
    if keys.iter().any(|key| key.is_empty()) {
        return None;
    }
    Some(keys.into_iter().rev().fold(leaf, |node, key| Node {
        span: node.span.clone(),
        item: Item::Table(vec![Entry { key: key.to_owned(), key_span: key_span.clone(), node }]),
    }))
}

/// Returns the dotted paths of all values that are not tables.
pub(crate) fn leaves(table: &Value) -> Vec<String> {
    match table {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match value {
                Value::Object(_) => leaves(value).into_iter().map(|leaf| format!("{key}.{leaf}")).collect(),
                _ => vec![key.clone()],
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Finds a leaf of one set that the other set also sets, as a whole or in part.
pub(crate) fn overlap(left: &BTreeSet<String>, right: &BTreeSet<String>) -> Option<String> {
    let is_set = |leaf: &str, set: &BTreeSet<String>| {
        set.contains(leaf) || leaf.match_indices('.').any(|(end, _)| set.contains(&leaf[..end]))
    };
    let shared = left.iter().find(|leaf| is_set(leaf, right));
    shared.or_else(|| right.iter().find(|leaf| is_set(leaf, left))).cloned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
    use serde_json::json;

    use super::*;

    fn merged(lower: &Value, upper: &Value) -> Value {
        let mut result = lower.clone();
        merge(&mut result, upper);
        result
    }

    /// Tables with kinds. One key may be a table in one place and a scalar in another.
    fn table() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i8>().prop_map(Value::from), Just(json!([1])), Just(json!("text"))];
        let of = |inner: proptest::strategy::BoxedStrategy<Value>| {
            let key = prop_oneof![Just("a"), Just("b"), Just("kind")].prop_map(str::to_owned);
            proptest::collection::btree_map(key, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
        };
        of(leaf.prop_recursive(3, 16, 4, move |inner| of(inner.boxed())).boxed())
    }

    /// Tables without kinds. Keys in capital letters are tables; keys in small letters are scalars.
    fn regular() -> impl Strategy<Value = Value> {
        let scalars = || proptest::collection::btree_map("[xy]", any::<i8>().prop_map(Value::from), 0..3);
        let tables = proptest::collection::btree_map("[AB]", scalars().prop_map(|m| json!(m)), 0..3);
        (scalars(), tables).prop_map(|(scalars, tables)| Value::Object(scalars.into_iter().chain(tables).collect()))
    }

    proptest! {
        #[test]
        fn the_empty_table_changes_nothing(a in table()) {
            prop_assert_eq!(&merged(&a, &json!({})), &a);
            prop_assert_eq!(&merged(&json!({}), &a), &a);
        }

        #[test]
        fn laying_the_same_table_twice_changes_nothing(a in table(), b in table()) {
            let once = merged(&a, &b);
            prop_assert_eq!(&merged(&once, &b), &once);
        }

        #[test]
        fn the_upper_table_wins_at_every_leaf(a in table(), b in table()) {
            let result = merged(&a, &b);
            for leaf in leaves(&b) {
                let pointer = format!("/{}", leaf.replace('.', "/"));
                prop_assert_eq!(result.pointer(&pointer), b.pointer(&pointer));
            }
        }

        #[test]
        fn grouping_does_not_matter_without_kinds(a in regular(), b in regular(), c in regular()) {
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        }
    }

    #[test]
    fn another_kind_replaces_and_the_same_or_no_kind_merges() {
        let sgd = json!({"optimizer": {"kind": "sgd", "rate": 0.1, "momentum": 0.9}});
        let over = |optimizer| merged(&sgd, &json!({"optimizer": optimizer}))["optimizer"].take();
        assert_eq!(over(json!({"kind": "adam", "rate": 0.2})), json!({"kind": "adam", "rate": 0.2}));
        assert_eq!(over(json!({"kind": "sgd", "rate": 0.2})), json!({"kind": "sgd", "rate": 0.2, "momentum": 0.9}));
        assert_eq!(over(json!({"rate": 0.2})), json!({"kind": "sgd", "rate": 0.2, "momentum": 0.9}));
    }

    #[test]
    fn a_key_overlaps_with_itself_and_with_its_parts() {
        let set = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect();
        assert_eq!(overlap(&set(&["a.b"]), &set(&["a.c", "a.bc"])), None);
        assert_eq!(overlap(&set(&["a.b"]), &set(&["a.b"])).unwrap(), "a.b");
        assert_eq!(overlap(&set(&["a"]), &set(&["a.b.c"])).unwrap(), "a.b.c");
    }

    #[test]
    fn a_path_creates_missing_tables() {
        let leaf = Node { span: 3..4, item: Item::Scalar(json!(8)) };
        let tree = nest("model.block.groups", &(3..4), leaf.clone()).unwrap();
        assert_eq!(tree.value(), json!({"model": {"block": {"groups": 8}}}));
        assert!(nest("model..groups", &(3..4), leaf).is_none());
    }
}
