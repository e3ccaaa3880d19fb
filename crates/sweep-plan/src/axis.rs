//! One dimension of an experiment. An axis has three written forms; all become labelled points.
//!
//! This module knows where a point's overlay was written. It does not know the keys of a configuration.

use std::collections::BTreeSet;

use serde_json::Value;
use sweep_protocol::{FRAME_COLUMNS, TABLE_COLUMNS, check_line, is_reserved_column};

use crate::document::{Entry, Item, Node, Span};
use crate::error::Faults;
use crate::overlay::{Overlay, leaves, nest, overlap};
use crate::shape::check_text;

const FORMS: &str = "give `path` and `values`, or `zip`, or `[axis.points.LABEL]` tables";

/// An axis: one dimension of an experiment.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) name: String,
    pub(crate) span: Span,
    form: Form,
    pub(crate) points: Vec<Point>,
}

/// What a profile may replace the points of an axis with.
#[derive(Clone, Debug)]
enum Form {
    /// Any values of this key.
    Short { path: String },
    /// Only the declared labels.
    Fixed,
}

/// One choice on an axis.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) label: String,
    pub(crate) overlay: Overlay,
}

impl Axis {
    /// Reads an `[[axis]]` table whose keys have the right form. Returns `None` if it has faults.
    pub(crate) fn read(table: &Node, faults: &mut Faults) -> Option<Self> {
        let name = &table.get("name")?.node;
        let given: Vec<_> =
            ["path", "values", "zip", "points"].into_iter().filter(|key| table.get(key).is_some()).collect();
        let mut form = Form::Fixed;
        let points = match given.as_slice() {
            ["path", "values"] => {
                let path = &table.get("path")?.node;
                form = Form::Short { path: path.text()?.to_owned() };
                points_of(path.text()?, &path.span, table.items_of("values"), faults)?
            }
            ["zip"] => zip(table.entries_of("zip"), faults)?,
            ["points"] => long(table.entries_of("points"), faults),
            [] => Vec::new(),
            some => {
                let keys = some.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
                let message =
                    format!("axis `{}` has {keys}, which matches none of the three forms of an axis", name.text()?);
                faults.add(&name.span, message, FORMS.to_owned());
                return None;
            }
        };
        if is_reserved_column(name.text()?) {
            let message =
                format!("an axis cannot be called `{}`: exported tables have a column of that name", name.text()?);
            let reserved =
                FRAME_COLUMNS.iter().chain(TABLE_COLUMNS.iter().filter(|name| !FRAME_COLUMNS.contains(name)));
            let reserved = reserved.copied().collect::<Vec<_>>().join(", ");
            faults.add(&name.span, message, format!("choose another name; reserved names: {reserved}"));
        }
        let mut axis = Self { name: name.text()?.to_owned(), span: name.span.clone(), form, points };
        if axis.points.is_empty() {
            faults.add(&axis.span, format!("axis `{}` has no points", axis.name), FORMS.to_owned());
            return None;
        }
        axis.relabel(table, faults);
        axis.check_labels(faults);
        Some(axis)
    }

    /// Whether a profile may give the axis any values.
    pub(crate) fn is_short(&self) -> bool {
        matches!(self.form, Form::Short { .. })
    }

    /// Returns the dotted paths that the points set.
    pub(crate) fn leaves(&self) -> BTreeSet<String> {
        leaves_of(&self.points)
    }

    /// Returns the axis with the points that a profile asks for. The profile gives a list of values or labels, or one
    /// table per label. Labels that this axis does not have are ignored: they belong to another grid.
    pub(crate) fn with_points(&self, wanted: &Node, faults: &Faults) -> Self {
        let point = |node: &Node| match &self.form {
            Form::Short { path } => self.replacement(path, node, faults),
            Form::Fixed => self.points.iter().find(|point| point.label == spell(&node.value())).cloned(),
        };
        let points = match &wanted.item {
            Item::Table(own) => {
                let has = |label: &str| self.points.iter().any(|point| point.label == label);
                long(own, faults).into_iter().filter(|point| has(&point.label)).collect()
            }
            _ => wanted.items().iter().filter_map(point).collect(),
        };
        Self { points, ..self.clone() }
    }

    /// Creates a point for a value that a profile gives. If the value is declared, it keeps its declared label.
    fn replacement(&self, path: &str, node: &Node, faults: &Faults) -> Option<Point> {
        let overlay = Overlay::new(&faults.source, nest(path, &node.span, node.clone())?);
        let declared = self.points.iter().find(|point| point.overlay.value == overlay.value);
        Some(Point { label: declared.map_or_else(|| spell(&node.value()), |point| point.label.clone()), overlay })
    }

    fn relabel(&mut self, table: &Node, faults: &mut Faults) {
        let Some(labels) = table.get("labels") else { return };
        let names = labels.node.items();
        if table.get("points").is_some() {
            let message = format!("axis `{}` has `points` and `labels`", self.name);
            faults.add(
                &labels.key_span,
                message,
                "remove `labels`: the names of the `points` tables are the labels".to_owned(),
            );
        } else if names.len() != self.points.len() {
            let message = format!("axis `{}` needs {} labels, not {}", self.name, self.points.len(), names.len());
            faults.add(&labels.node.span, message, "give one label for each point".to_owned());
        } else {
            for (point, name) in self.points.iter_mut().zip(names) {
                point.label = spell(&name.value());
            }
        }
    }

    /// Refuses labels that cannot be shown. Labels that are made from values have not been checked before.
    pub(crate) fn check_spelling(&self, faults: &mut Faults) {
        let what = format!("a label of axis `{}`", self.name);
        for point in &self.points {
            check_text(check_line(&point.label), &what, &point.overlay.tree.span, faults);
        }
    }

    fn check_labels(&self, faults: &mut Faults) {
        self.check_spelling(faults);
        let mut seen = BTreeSet::new();
        for point in self.points.iter().filter(|point| !seen.insert(point.label.as_str())) {
            let message = format!("axis `{}` has two points with the label `{}`", self.name, point.label);
            faults.add(&point.overlay.tree.span, message, "remove one, or give them different `labels`".to_owned());
        }
    }
}

fn leaves_of(points: &[Point]) -> BTreeSet<String> {
    points.iter().flat_map(|point| leaves(&point.overlay.value)).collect()
}

/// Creates one point per value of a dotted key. The label is the value as text.
fn points_of(path: &str, path_span: &Span, values: &[Node], faults: &mut Faults) -> Option<Vec<Point>> {
    let point = |value: &Node| {
        let tree = nest(path, &value.span, value.clone())?;
        Some(Point { label: spell(&value.value()), overlay: Overlay::new(&faults.source, tree) })
    };
    let points: Option<Vec<_>> = values.iter().map(point).collect();
    if points.is_none() {
        let help = "join keys by single dots, as in `model.width`".to_owned();
        faults.add(path_span, format!("`{path}` is not a dotted key"), help);
    }
    points
}

/// Combines several lists. Point n takes value n of every path; its label comes from the first path.
fn zip(paths: &[Entry], faults: &mut Faults) -> Option<Vec<Point>> {
    let Some((first, others)) = paths.split_first() else { return Some(Vec::new()) };
    let mut points = points_of(&first.key, &first.key_span, first.node.items(), faults)?;
    for path in others {
        let more = points_of(&path.key, &path.key_span, path.node.items(), faults)?;
        if more.len() != points.len() {
            let (key, length) = (&path.key, more.len());
            let message = format!("`{key}` needs {} values, as many as `{}`, not {length}", points.len(), first.key);
            faults.add(&path.node.span, message, "give all lists of a `zip` the same length".to_owned());
            return None;
        }
        if let Some(leaf) = overlap(&leaves_of(&points), &leaves_of(&more)) {
            let message = format!("`{leaf}` is set by two lists of the `zip`");
            faults.add(&path.key_span, message, "name every key once".to_owned());
            return None;
        }
        for (point, other) in points.iter_mut().zip(more) {
            point.overlay = Overlay::new(&faults.source, point.overlay.tree.join(&other.overlay.tree));
        }
    }
    Some(points)
}

fn long(points: &[Entry], faults: &Faults) -> Vec<Point> {
    let overlay = |node: &Node| Overlay::new(&faults.source, node.clone());
    points.iter().map(|point| Point { label: point.key.clone(), overlay: overlay(&point.node) }).collect()
}

/// Writes a value as a label: `1`, `0.05`, `adam`, `[1,3,5]`, `{kind=full}`.
pub(crate) fn spell(value: &Value) -> String {
    let comma = |parts: Vec<String>| parts.join(",");
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", comma(items.iter().map(spell).collect())),
        Value::Object(map) => {
            format!("{{{}}}", comma(map.iter().map(|(key, value)| format!("{key}={}", spell(value))).collect()))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_short() {
        let cases = [
            (json!(1), "1"),
            (json!(0.05), "0.05"),
            (json!(1e-7), "1e-7"),
            (json!(2.0), "2.0"),
            (json!(true), "true"),
            (json!("adam"), "adam"),
            (json!([1, 3, 5]), "[1,3,5]"),
            (json!([]), "[]"),
            (json!({"kind": "full", "x": [1]}), "{kind=full,x=[1]}"),
        ];
        for (value, label) in cases {
            assert_eq!(spell(&value), label);
        }
    }
}
