//! Finds the lines that caused faults in resolved configurations.
//!
//! This module knows which overlay set a path last. Only the resolver knows why the value is wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use sweep_protocol::ConfigFault;

use crate::document::{SourceFile, Span, WHOLE_FILE};
use crate::error::Fault;
use crate::experiment::Experiment;
use crate::overlay::Overlay;
use crate::row::Row;

/// One fault of a file that appears in one or more rows.
struct Group {
    fault: Fault,
    coordinates: String,
    is_of_row: bool,
    rows: usize,
}

/// Turns faults of rows into faults of files, each once.
pub(crate) fn faults<'a>(
    experiment: &Experiment,
    all_rows: usize,
    found: impl Iterator<Item = (&'a Row<'a>, &'a ConfigFault)>,
) -> Vec<Fault> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known = BTreeMap::new();
    for (row, fault) in found {
        let place = locate(experiment, row, &fault.path);
        let key = (place.source.path.clone(), place.span.start, place.span.end, fault.path.clone(), &fault.message);
        let at = *known.entry(key).or_insert_with(|| {
            let message = match fault.path.as_str() {
                "" => fault.message.clone(),
                path => format!("`{path}`: {}", fault.message),
            };
            let fault = Fault { source: place.source, span: place.span, message, help: fault.help.clone() };
            let coordinates = row.coordinates(&experiment.axes).to_string();
            groups.push(Group { fault, coordinates, is_of_row: place.is_of_row, rows: 0 });
            groups.len() - 1
        });
        groups[at].rows += 1;
    }
    groups.into_iter().map(|group| group.into_fault(all_rows)).collect()
}

impl Group {
    /// Adds to the message which configurations have the fault, unless all of them have it.
    fn into_fault(mut self, all: usize) -> Fault {
        let others = match self.rows - 1 {
            0 => String::new(),
            1 => ", and 1 more configuration".to_owned(),
            more => format!(", and {more} more configurations"),
        };
        let is_everywhere = self.rows == all && !self.is_of_row;
        if !is_everywhere && !self.coordinates.is_empty() {
            self.fault.message += &format!(" (at {}{others})", self.coordinates);
        }
        self.fault
    }
}

struct Place {
    source: Arc<SourceFile>,
    span: Span,
    /// Whether the place is in an overlay that other rows do not share.
    is_of_row: bool,
}

/// Finds the last overlay that set the path, or that set its longest parent. If there is none, returns the lowest file.
fn locate(experiment: &Experiment, row: &Row<'_>, path: &str) -> Place {
    let keys: Vec<_> = path.split(['.', '[', ']']).filter(|key| !key.is_empty()).collect();
    let points = row.points.iter().rev().map(|(_, point)| &point.overlay);
    let of_row = row.last.into_iter().chain(points).map(|overlay| (overlay, true));
    let shared = row.grid.into_iter().chain(experiment.ground.iter().rev()).map(|overlay| (overlay, false));
    let overlays: Vec<(&Overlay, bool)> = of_row.chain(shared).collect();
    let place = |overlay: &Overlay, span, is_of_row| Place { source: Arc::clone(&overlay.source), span, is_of_row };
    (1..=keys.len())
        .rev()
        .find_map(|length| {
            overlays.iter().find_map(|(o, is_of_row)| Some(place(o, o.tree.find(&keys[..length])?, *is_of_row)))
        })
        .unwrap_or_else(|| place(&experiment.ground[0], WHOLE_FILE, false))
}
