//! The known axes and labels, and checks that a name in the file is one of them.

use std::collections::BTreeSet;

use sweep_protocol::{AxisRecord, Coordinates};

use crate::document::{Entry, Node, Span};
use crate::error::Faults;
use crate::grid::Grid;
use crate::nearest::suggest;

/// Axes with their labels, each once, in the order of their first use.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    axes: Vec<AxisRecord>,
    seen: BTreeSet<(String, String)>,
}

impl Labels {
    /// Collects the axes of all grids.
    pub(crate) fn of<'a>(grids: impl IntoIterator<Item = &'a Grid>) -> Self {
        let mut labels = Self::default();
        for axis in grids.into_iter().flat_map(|grid| &grid.axes) {
            axis.points.iter().for_each(|point| labels.add(&axis.name, &point.label));
        }
        labels
    }

    pub(crate) fn add(&mut self, axis: &str, label: &str) {
        if !self.seen.insert((axis.to_owned(), label.to_owned())) {
            return;
        }
        match self.axes.iter_mut().find(|known| known.name == axis) {
            Some(known) => known.labels.push(label.to_owned()),
            None => self.axes.push(AxisRecord { name: axis.to_owned(), labels: vec![label.to_owned()] }),
        }
    }

    pub(crate) fn into_axes(self) -> Vec<AxisRecord> {
        self.axes
    }

    /// Whether the key names an axis. Adds a fault if it does not.
    pub(crate) fn check_axis(&self, key: &Entry, faults: &mut Faults) -> bool {
        let is_known = self.axes.iter().any(|axis| axis.name == key.key);
        if !is_known {
            let help = suggest(&key.key, "axes", self.axes.iter().map(|axis| axis.name.as_str()));
            faults.add(&key.key_span, format!("there is no axis `{}`", key.key), help);
        }
        is_known
    }

    /// Adds a fault if the node is not a label of the axis.
    pub(crate) fn check_label(&self, axis: &str, label: &Node, faults: &mut Faults) {
        self.check_name(axis, (&crate::axis::spell(&label.value()), &label.span), faults);
    }

    /// Adds a fault if the axis does not have this label.
    pub(crate) fn check_name(&self, axis: &str, (name, span): (&str, &Span), faults: &mut Faults) {
        let Some(axis) = self.axes.iter().find(|known| known.name == axis) else { return };
        if !self.seen.contains(&(axis.name.clone(), name.to_owned())) {
            let help = suggest(name, "labels", axis.labels.iter().map(String::as_str));
            faults.add(span, format!("axis `{}` has no label `{name}`", axis.name), help);
        }
    }

    /// Reads a table from axis to label. Adds a fault for each axis or label that does not exist.
    pub(crate) fn coordinates(&self, table: &[Entry], faults: &mut Faults) -> Coordinates {
        for entry in table {
            if self.check_axis(entry, faults) {
                self.check_label(&entry.key, &entry.node, faults);
            }
        }
        let label = |axis: &AxisRecord| {
            let entry = table.iter().find(|entry| entry.key == axis.name)?;
            Some((axis.name.clone(), entry.node.text()?.to_owned()))
        };
        Coordinates(self.axes.iter().filter_map(label).collect())
    }
}
