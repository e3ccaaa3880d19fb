//! Grids: products of axes. The plan is their union.
//!
//! This module knows how many rows a product has and which points row n takes. It does not know what happens with a
//! row.

use crate::axis::{Axis, Point};
use crate::document::Node;
use crate::error::Faults;
use crate::overlay::{Overlay, overlap};

/// One product: the axes of the file, then the grid's own axes.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    pub(crate) overlay: Option<Overlay>,
    pub(crate) axes: Vec<Axis>,
}

/// Reads the grids of a file. If the file declares none, the result is one grid without an overlay.
pub(crate) fn read(root: &Node, faults: &mut Faults) -> Vec<Grid> {
    let shared = axes(root, faults);
    let mut grids = Vec::new();
    for table in root.items_of("grid") {
        let overlay = Overlay::below(table, &faults.source);
        grids.push(Grid { overlay, axes: shared.iter().cloned().chain(axes(table, faults)).collect() });
    }
    if grids.is_empty() {
        grids.push(Grid { overlay: None, axes: shared });
    }
    grids.iter().for_each(|grid| grid.check(faults));
    grids
}

fn axes(table: &Node, faults: &mut Faults) -> Vec<Axis> {
    table.items_of("axis").iter().filter_map(|axis| Axis::read(axis, faults)).collect()
}

impl Grid {
    /// Refuses two axes with the same name. Also refuses two axes that set the same key: otherwise their order would
    /// matter.
    pub(crate) fn check(&self, faults: &mut Faults) {
        let leaves: Vec<_> = self.axes.iter().map(Axis::leaves).collect();
        for (at, axis) in self.axes.iter().enumerate() {
            for (other, other_leaves) in self.axes[..at].iter().zip(&leaves) {
                if other.name == axis.name {
                    let help = "rename one, or put each axis into its own grid".to_owned();
                    faults.add(&axis.span, format!("axis `{}` is declared twice in one product", axis.name), help);
                } else if let Some(leaf) = overlap(other_leaves, &leaves[at]) {
                    let message = format!("axes `{}` and `{}` both set `{leaf}`", other.name, axis.name);
                    let help = "set the key on one axis only, or change several keys together with `zip`".to_owned();
                    faults.add(&axis.span, message, help);
                }
            }
        }
    }

    /// Returns the number of rows of the product.
    pub(crate) fn size(&self) -> u64 {
        self.axes.iter().fold(1, |size, axis| size.saturating_mul(axis.points.len() as u64))
    }

    /// Explains the size, for example `groups 4 × partition 3`.
    pub(crate) fn formula(&self) -> String {
        let factors: Vec<_> = self.axes.iter().map(|axis| format!("{} {}", axis.name, axis.points.len())).collect();
        if factors.is_empty() { "1".to_owned() } else { factors.join(" × ") }
    }

    /// Returns the points of row n with the names of their axes. The last axis changes fastest.
    pub(crate) fn row(&self, mut number: u64) -> Vec<(&str, &Point)> {
        let mut points = Vec::with_capacity(self.axes.len());
        for axis in self.axes.iter().rev() {
            let size = axis.points.len() as u64;
            let at = usize::try_from(number % size).expect("a remainder is below a length in memory");
            points.push((axis.name.as_str(), &axis.points[at]));
            number /= size;
        }
        points.reverse();
        points
    }
}
