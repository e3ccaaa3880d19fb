//! An experiment under one of its profiles, as the files describe it.

use sweep_protocol::{AxisRecord, Coordinates};

use crate::document::Span;
use crate::exec::Exec;
use crate::grid::Grid;
use crate::log::Log;
use crate::overlay::Overlay;
use crate::selection::{Exclude, Include};

/// Maximum number of runs in a plan, even if the file sets a higher limit.
pub(crate) const CEILING: u64 = 1_000_000;

/// An experiment under one of its profiles, ready to be planned.
#[derive(Debug)]
pub struct Experiment {
    pub(crate) name: String,
    pub(crate) profile: String,
    pub(crate) question: String,
    pub(crate) profiles: Vec<String>,
    /// The overlays beneath every row, lowest first: base files, the file's overlay, the profile's overlay.
    pub(crate) ground: Vec<Overlay>,
    pub(crate) grids: Vec<Grid>,
    pub(crate) excludes: Vec<Exclude>,
    pub(crate) includes: Vec<Include>,
    pub(crate) axes: Vec<AxisRecord>,
    pub(crate) baseline: Coordinates,
    pub(crate) baseline_span: Span,
    pub(crate) seeds: Vec<u64>,
    pub(crate) exec: Exec,
    pub(crate) log: Log,
    pub(crate) launcher: serde_json::Value,
    pub(crate) digest: String,
}

impl Experiment {
    /// Returns the experiment's name: the stem of its file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the digest of the files that it was read from.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the names of all profiles that [`load`](crate::load) accepts, `default` first.
    pub fn profiles(&self) -> &[String] {
        &self.profiles
    }
}
