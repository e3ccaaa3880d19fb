//! Named networks. `catalogue.toml` describes the networks of the paper's tables; users describe their own networks in
//! the same format.

use serde::Deserialize;

use crate::models::{ModelConfig, Task};
use crate::{ConfigFault, OwnKinds};

const CATALOGUE: &str = include_str!("catalogue.toml");

/// A network with its name and task.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedModel {
    /// Name in the catalogue, or the name of a user's own description.
    pub name: String,
    /// The images and classes that the network is built for.
    pub task: Task,
    /// The network.
    pub model: ModelConfig,
}

/// Error of a lookup in the catalogue, or of reading a description.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The catalogue has no network of this name.
    #[error("the catalogue has no network `{name}`; it has: {}", known.join(", "))]
    Unknown {
        /// The requested name.
        name: String,
        /// All names in the catalogue.
        known: Vec<String>,
    },
    /// The text does not describe a network.
    #[error("{name} must contain the tables `task` and `model` of a network")]
    Unreadable {
        /// Name of the description.
        name: String,
        /// The error of the TOML parser.
        source: toml::de::Error,
    },
    /// The described network cannot be built.
    #[error("{name}: {fault}")]
    Unbuildable {
        /// Name of the description.
        name: String,
        /// The first fault of the network.
        fault: ConfigFault,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    task: TaskTable,
    model: ModelConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskTable {
    channels: usize,
    image: [usize; 2],
    classes: usize,
}

impl NamedModel {
    /// Reads a network from a text with the tables `task` and `model`.
    ///
    /// # Errors
    /// When the text does not have this form, or the network cannot be built.
    pub fn parse(name: &str, text: &str) -> Result<Self, CatalogueError> {
        Self::parse_with(name, text, &OwnKinds::new())
    }

    /// Like [`NamedModel::parse`]. The network and its blocks may be of these kinds, too.
    ///
    /// # Errors
    /// When the text does not have this form, or the network cannot be built.
    pub fn parse_with(name: &str, text: &str, kinds: &OwnKinds) -> Result<Self, CatalogueError> {
        let unreadable = |source| CatalogueError::Unreadable { name: name.to_owned(), source };
        let mut entry: Entry = toml::from_str(text).map_err(unreadable)?;
        let unbuildable = |fault| CatalogueError::Unbuildable { name: name.to_owned(), fault };
        entry.model.bind(kinds).map_err(unbuildable)?;
        Self::checked(name, entry)
    }

    fn checked(
        name: &str,
        Entry { task: TaskTable { channels, image: [h, w], classes }, model }: Entry,
    ) -> Result<Self, CatalogueError> {
        let task = Task { channels, image: (h, w), classes };
        match task_fault(task).or_else(|| model.faults(task).into_iter().next()) {
            None => Ok(Self { name: name.to_owned(), task, model }),
            Some(fault) => Err(CatalogueError::Unbuildable { name: name.to_owned(), fault }),
        }
    }
}

/// Limits far above any real task. They keep all sizes from overflowing.
const MOST_CHANNELS: usize = 1024;
const MOST_PIXELS: usize = 8192;
const MOST_CLASSES: usize = 1 << 20;

fn task_fault(Task { channels, image: (h, w), classes }: Task) -> Option<ConfigFault> {
    let checks = [
        ("channels", channels, MOST_CHANNELS),
        ("image", h.min(w), MOST_PIXELS),
        ("image", h.max(w), MOST_PIXELS),
        ("classes", classes, MOST_CLASSES),
    ];
    let wrong = checks.into_iter().find(|(_, value, most)| !(1..=*most).contains(value));
    wrong.map(|(key, _, most)| ConfigFault::new(format!("task.{key}"), format!("must be between 1 and {most}")))
}

/// Returns all networks of the catalogue in the order of their names.
///
/// # Errors
/// When the embedded catalogue is damaged.
pub fn all() -> Result<Vec<NamedModel>, CatalogueError> {
    let unreadable = |source| CatalogueError::Unreadable { name: "the catalogue".to_owned(), source };
    let table: toml::Table = CATALOGUE.parse().map_err(unreadable)?;
    let entry = |(name, value): (String, toml::Value)| {
        NamedModel::checked(&name, Entry::deserialize(value).map_err(unreadable)?)
    };
    table.into_iter().map(entry).collect()
}

/// Returns the network of the catalogue with this name.
///
/// # Errors
/// When the catalogue has no such network.
pub fn find(name: &str) -> Result<NamedModel, CatalogueError> {
    let all = all()?;
    let known = all.iter().map(|model| model.name.clone()).collect();
    let found = all.into_iter().find(|model| model.name == name);
    found.ok_or_else(|| CatalogueError::Unknown { name: name.to_owned(), known })
}
