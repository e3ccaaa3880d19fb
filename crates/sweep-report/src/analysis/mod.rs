//! Declared analyses: effects of axes, what is worth its cost, and what is classified right and wrong. Every output
//! format shows them.
//!
//! Values are unrounded and in base units. `formats/analysis.rs` decides how they look.

mod classes;
mod effects;
mod front;

use serde::{Deserialize, Serialize};
use sweep_protocol::PlanRecord;

use crate::declaration::{Declaration, Quantity};
use crate::measured::Measured;

pub use classes::{Classes, ClassesRow};
pub use effects::{Effects, GridAxis};
pub use front::{Front, FrontRow};

/// What an analysis found, or the reason why there is nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found<T> {
    /// The result.
    Computed(T),
    /// The reason.
    Missing(String),
}

/// A computed analysis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Analysis {
    /// Effects of axes.
    Effects(Effects),
    /// Rows that no other row dominates.
    Front(Front),
    /// Rows by class.
    Classes(Classes),
}

impl Analysis {
    /// Name of its files, without extension.
    pub fn id(&self) -> &str {
        match self {
            Self::Effects(effects) => &effects.id,
            Self::Front(front) => &front.id,
            Self::Classes(classes) => &classes.id,
        }
    }

    /// The quantities that it shows.
    pub(crate) fn quantities_mut(&mut self) -> Vec<&mut Quantity> {
        match self {
            Self::Effects(effects) => vec![&mut effects.quantity],
            Self::Front(front) => vec![&mut front.cost, &mut front.value],
            Self::Classes(_) => Vec::new(),
        }
    }

    /// Heading.
    pub fn title(&self) -> &str {
        match self {
            Self::Effects(effects) => &effects.title,
            Self::Front(front) => &front.title,
            Self::Classes(classes) => &classes.title,
        }
    }
}

/// Computes every declared analysis: first the effects, then the fronts, then the classes.
pub(crate) fn of(plan: &PlanRecord, measured: &Measured<'_>, declaration: &Declaration) -> Vec<Analysis> {
    let effects = declaration.effects.iter().map(|declared| Effects::of(plan, measured, declared));
    let fronts = declaration.fronts.iter().map(|declared| Front::of(plan, measured, declared));
    let classes = declaration.classes.iter().map(|declared| Classes::of(plan, measured, declared));
    effects.map(Analysis::Effects).chain(fronts.map(Analysis::Front)).chain(classes.map(Analysis::Classes)).collect()
}

/// Returns the reason why nothing is computed for a sweep with pruned runs.
fn pruned(measured: &Measured<'_>) -> Option<String> {
    (!measured.is_comparable()).then(|| "some runs were pruned, so the means of the others are too good".to_owned())
}

fn title(title: Option<&String>, id: &str) -> String {
    title.cloned().unwrap_or_else(|| id.replace('_', " "))
}
