//! Profiles: named variations of an experiment with other points, seeds, baseline or overlay.
//!
//! All profiles are read and checked, even if another one is chosen.

use std::collections::BTreeSet;

use crate::axis::spell;
use crate::document::{Entry, Item, Node, WHOLE_FILE};
use crate::error::Faults;
use crate::grid::Grid;
use crate::labels::Labels;
use crate::nearest::{list, nearest};

/// Name of the default profile: the experiment file without any profile.
pub const DEFAULT_PROFILE: &str = "default";

/// A profile and its grids.
#[derive(Debug)]
pub(crate) struct Profile<'a> {
    pub(crate) name: &'a str,
    /// The profile's table; `None` for the default profile.
    pub(crate) table: Option<&'a Node>,
    pub(crate) grids: Vec<Grid>,
}

/// Reads all profiles of a file. The default profile comes first.
pub(crate) fn read<'a>(root: &'a Node, grids: Vec<Grid>, faults: &mut Faults) -> Vec<Profile<'a>> {
    let mut profiles = vec![Profile { name: DEFAULT_PROFILE, table: None, grids }];
    for entry in root.entries_of("profile") {
        if entry.key == DEFAULT_PROFILE {
            let help = "move its keys to the top of the file, or give it another name".to_owned();
            faults.add(&entry.key_span, "`default` is reserved: it means the experiment without a profile", help);
        }
        let grids = with_points(&profiles[0].grids, entry, faults);
        profiles.push(Profile { name: &entry.key, table: Some(&entry.node), grids });
    }
    profiles
}

/// Returns the profile with this name. If there is none, adds a fault and returns the default profile.
pub(crate) fn choose<'p, 'a>(profiles: &'p [Profile<'a>], name: &str, faults: &mut Faults) -> &'p Profile<'a> {
    profiles.iter().find(|profile| profile.name == name).unwrap_or_else(|| {
        let names: Vec<_> = profiles.iter().map(|profile| profile.name).collect();
        let near = nearest(name, names.iter().copied()).map(|near| format!("did you mean `{near}`? "));
        let help = near.unwrap_or_default() + &list("profiles", &names);
        faults.add(&WHOLE_FILE, format!("there is no profile `{name}`"), help);
        &profiles[0]
    })
}

/// Returns the grids after applying the points that a profile chooses or declares.
fn with_points(declared: &[Grid], profile: &Entry, faults: &mut Faults) -> Vec<Grid> {
    let mut grids = declared.to_vec();
    let known = Labels::of(declared);
    for wanted in profile.node.entries_of("points") {
        if !known.check_axis(wanted, faults) {
            continue;
        }
        check_repeats(wanted, faults);
        let mut axes: Vec<_> = grids.iter_mut().flat_map(|g| &mut g.axes).filter(|a| a.name == wanted.key).collect();
        if !axes.iter().any(|axis| axis.is_short()) {
            wanted.node.items().iter().for_each(|label| known.check_label(&wanted.key, label, faults));
        }
        wanted.node.entries().iter().for_each(|own| known.check_name(&wanted.key, (&own.key, &own.key_span), faults));
        axes.iter_mut().for_each(|axis| **axis = axis.with_points(&wanted.node, faults));
        axes.iter().for_each(|axis| axis.check_spelling(faults));
        if matches!(&wanted.node.item, Item::Table(own) if own.is_empty()) {
            let message = format!("profile `{}` leaves axis `{}` without points", profile.key, wanted.key);
            faults.add(&wanted.key_span, message, "give at least one point, or remove the key".to_owned());
        }
        let left_empty = axes.iter().filter(|axis| axis.points.is_empty()).count();
        if left_empty > 0 && left_empty < axes.len() {
            let message = format!("profile `{}` leaves a grid without points of axis `{}`", profile.key, wanted.key);
            faults.add(
                &wanted.node.span,
                message,
                "each grid with this axis needs at least one of its labels".to_owned(),
            );
        }
    }
    grids.iter().for_each(|grid| grid.check(faults));
    grids
}

fn check_repeats(wanted: &Entry, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for node in wanted.node.items() {
        let label = spell(&node.value());
        if seen.contains(&label) {
            faults.add(&node.span, format!("`{label}` is named twice"), "name every point once".to_owned());
        }
        seen.insert(label);
    }
}
