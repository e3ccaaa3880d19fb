//! Changes to the products: rows removed by `[[exclude]]` and rows added by `[[include]]`.

use std::sync::Arc;

use sweep_protocol::{AxisRecord, Coordinates};

use crate::axis::Point;
use crate::document::{Item, Node, Span};
use crate::error::Faults;
use crate::grid::Grid;
use crate::labels::Labels;
use crate::overlay::Overlay;
use crate::row::Row;

/// Coordinates that are excluded.
#[derive(Debug)]
pub(crate) struct Exclude {
    labels: Vec<(String, Vec<String>)>,
    pub(crate) reason: String,
}

impl Exclude {
    /// Reads an `[[exclude]]` table whose keys have the right form.
    pub(crate) fn read(table: &Node, known: &Labels, faults: &mut Faults) -> Self {
        let mut labels = Vec::new();
        for entry in table.entries_of("where") {
            let nodes = match &entry.node.item {
                Item::List(nodes) => nodes.as_slice(),
                _ => std::slice::from_ref(&entry.node),
            };
            if known.check_axis(entry, faults) {
                nodes.iter().for_each(|label| known.check_label(&entry.key, label, faults));
            }
            labels.push((entry.key.clone(), nodes.iter().filter_map(Node::text).map(str::to_owned).collect()));
        }
        if let (true, Some(place)) = (labels.is_empty(), table.get("where")) {
            faults.add(
                &place.node.span,
                "`where` names no axis",
                "write, for example, `where = { axis = \"label\" }`".to_owned(),
            );
        }
        Self { labels, reason: table.text_of("reason").unwrap_or_default().to_owned() }
    }

    /// Returns the row's labels on the axes named here, if all of them match.
    pub(crate) fn matching(&self, row: &Row<'_>, axes: &[AxisRecord]) -> Option<Coordinates> {
        let is_match = |(axis, labels): &(String, Vec<String>)| {
            row.label(axis).is_some_and(|label| labels.iter().any(|excluded| excluded == label))
        };
        if !self.labels.iter().all(is_match) {
            return None;
        }
        let mut matched = row.coordinates(axes);
        matched.0.retain(|(axis, _)| self.labels.iter().any(|(named, _)| named == axis));
        Some(matched)
    }
}

/// A row that is added to the products.
#[derive(Debug)]
pub(crate) struct Include {
    pub(crate) span: Span,
    pub(crate) points: Vec<(String, Point)>,
    overlay: Option<Overlay>,
}

impl Include {
    /// Reads an `[[include]]` table whose keys have the right form. A label that a grid declares brings the overlay of
    /// its point.
    pub(crate) fn read(table: &Node, grids: &[&Grid], known: &Labels, faults: &mut Faults) -> Self {
        let coordinates = table.entries_of("coordinates");
        let span = table.get("coordinates").map_or(table.span.clone(), |entry| entry.node.span.clone());
        if coordinates.is_empty() {
            faults.add(
                &span,
                "`coordinates` names no axis",
                "write, for example, `coordinates = { axis = \"label\" }`".to_owned(),
            );
        }
        let source = Arc::clone(&faults.source);
        let declared = |axis: &str, label: &str| {
            let mut axes = grids.iter().flat_map(|grid| &grid.axes).filter(|known| known.name == axis);
            axes.find_map(|axis| axis.points.iter().find(|point| point.label == label)).cloned()
        };
        let point = |axis: &str, label: &Node| {
            let text = label.text().unwrap_or_default();
            let nothing = Node { span: label.span.clone(), item: Item::Table(Vec::new()) };
            let new = || Point { label: text.to_owned(), overlay: Overlay::new(&source, nothing) };
            (axis.to_owned(), declared(axis, text).unwrap_or_else(new))
        };
        let named = coordinates.iter().filter(|entry| known.check_axis(entry, faults));
        let points = named.map(|entry| point(&entry.key, &entry.node)).collect();
        Self { span, points, overlay: Overlay::below(table, &source) }
    }

    pub(crate) fn row(&self) -> Row<'_> {
        let points = self.points.iter().map(|(axis, point)| (axis.as_str(), point)).collect();
        Row { grid: None, points, last: self.overlay.as_ref() }
    }
}
