//! A row: a configuration before it gets seeds, and its position on the axes.

use serde_json::{Map, Value};
use sweep_protocol::{AxisRecord, Coordinates};

use crate::axis::Point;
use crate::overlay::{Overlay, merge};

/// The overlays of one row, in the order grid, points, last. They are laid over the ground: the configuration that all
/// rows share.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) grid: Option<&'a Overlay>,
    /// The points with the names of their axes.
    pub(crate) points: Vec<(&'a str, &'a Point)>,
    pub(crate) last: Option<&'a Overlay>,
}

impl<'a> Row<'a> {
    pub(crate) fn label(&self, axis: &str) -> Option<&'a str> {
        self.points.iter().find(|(name, _)| *name == axis).map(|(_, point)| point.label.as_str())
    }

    /// Returns the row's labels in the order of the experiment's axes.
    pub(crate) fn coordinates(&self, axes: &[AxisRecord]) -> Coordinates {
        let label = |axis: &AxisRecord| Some((axis.name.clone(), self.label(&axis.name)?.to_owned()));
        Coordinates(axes.iter().filter_map(label).collect())
    }

    /// Whether the row has all of these labels.
    pub(crate) fn has(&self, coordinates: &Coordinates) -> bool {
        coordinates.0.iter().all(|(axis, label)| self.label(axis) == Some(label))
    }

    /// Lays the row over the ground. All points are joined first. They set different keys, so their order does not
    /// matter, even if one of them replaces a component by another kind.
    pub(crate) fn lay(&self, table: &mut Value) {
        let mut points = Value::Object(Map::new());
        self.points.iter().for_each(|(_, point)| merge(&mut points, &point.overlay.value));
        self.grid.iter().for_each(|grid| merge(table, &grid.value));
        merge(table, &points);
        self.last.iter().for_each(|last| merge(table, &last.value));
    }

    /// Restores the ground in a table that the row was laid over. Only the sections that the row touches are copied.
    pub(crate) fn lift(&self, table: &mut Value, ground: &Value) {
        let points = self.points.iter().map(|(_, point)| &point.overlay);
        let overlays = self.grid.into_iter().chain(points).chain(self.last);
        for key in overlays.filter_map(|overlay| overlay.value.as_object()).flat_map(Map::keys) {
            match (ground.get(key), table.as_object_mut()) {
                (Some(section), Some(table)) => table.insert(key.clone(), section.clone()),
                (None, Some(table)) => table.remove(key),
                (_, None) => None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::document::{SourceFile, parse};

    fn overlay(text: &str) -> Overlay {
        let source = Arc::new(SourceFile { path: PathBuf::new(), text: text.to_owned() });
        Overlay::new(&source, parse(&source).unwrap())
    }

    #[test]
    fn a_row_is_laid_in_order_and_removed_completely() {
        let ground = json!({"model": {"kind": "mlp", "width": 8}, "training": {"rate": 0.1}, "data": {}});
        let grid = overlay("training.rate = 0.2\nmodel.width = 16");
        let kind = Point { label: "other".to_owned(), overlay: overlay("model.kind = 'other'") };
        let width = Point { label: "32".to_owned(), overlay: overlay("model.width = 32") };
        let last = overlay("training.rate = 0.3\nextra.key = true");
        for points in [[("a", &kind), ("b", &width)], [("b", &width), ("a", &kind)]] {
            let row = Row { grid: Some(&grid), points: points.to_vec(), last: Some(&last) };
            let mut table = ground.clone();
            row.lay(&mut table);
            let model = json!({"kind": "other", "width": 32});
            assert_eq!(table, json!({"model": model, "training": {"rate": 0.3}, "data": {}, "extra": {"key": true}}));
            row.lift(&mut table, &ground);
            assert_eq!(table, ground);
        }
    }
}
